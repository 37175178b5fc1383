/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The node's own: files through which it, or enforcement, is ruled. They are told by their file
 * system, which the kernel has one of, whatever it is mounted as and wherever; so a second mount, a
 * bind mount and a mount in a namespace of one's own are no way around.
 */
#ifndef SYVA_NODE_H
#define SYVA_NODE_H

#include "proc.h"
#include "syscall.h"
#include "terminal.h"

#define CGROUP_MAGIC	  0x27e0eb
#define CGROUP2_MAGIC	  0x63677270
#define BPFFS_MAGIC	  0xcafe4a11
#define PROC_MAGIC	  0x9fa0
#define SYSFS_MAGIC	  0x62656572
#define DEBUGFS_MAGIC	  0x64626720
#define TRACEFS_MAGIC	  0x74726163
#define SECURITYFS_MAGIC  0x73636673
#define EFIVARFS_MAGIC	  0xde5e81e4
#define PSTORE_MAGIC	  0x6165676c
#define CONFIGFS_MAGIC	  0x62656570
#define BINFMT_MISC_MAGIC 0x42494e4d
#define NSFS_MAGIC	  0x6e736673
#define SELINUX_MAGIC	  0xf97cff8c
#define SMACK_MAGIC	  0x43415d53
#define APPARMOR_MAGIC	  0x5a3c69f0
#define RESCTRL_MAGIC	  0x7655821
#define FUSECTL_MAGIC	  0x65735543
#define NFSD_MAGIC	  0x6e667364
#define ECRYPTFS_MAGIC	  0xf15f
#define DEVPTS_MAGIC	  0x1cd1

static __always_inline bool is_cgroup_file(unsigned long magic)
{
	return magic == CGROUP2_MAGIC || magic == CGROUP_MAGIC;
}

static __always_inline struct kernfs_node *parent_node(struct kernfs_node *node)
{
	struct kernfs_node___rcu *renamed = (void *)node;

	if (bpf_core_field_exists(renamed->__parent))
		return BPF_CORE_READ(renamed, __parent);
	return BPF_CORE_READ(node, parent);
}

/* The cgroup that is a directory of cgroup2, or that a file there is of; 0 if it cannot be read. */
static __always_inline __u64 cgroup_of_inode(struct inode *inode)
{
	struct kernfs_node *node = BPF_CORE_READ(inode, i_private);

	if ((BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFDIR)
		node = parent_node(node);
	return BPF_CORE_READ(node, id);
}

/*
 * A cgroup's file is its zone's: a zone rules the cgroups it was given and those it made, as a
 * container does whose cgroups are mounted to be written. Other hierarchies than version 2's hold
 * no zone, and the host's alone.
 */
static __always_inline __u32 zone_of_cgroup_file(enum hook hook, struct inode *inode,
						 unsigned long magic, __u32 subject)
{
	__u64 cgroup;

	if (magic != CGROUP2_MAGIC)
		return ZONE_HOST;
	cgroup = cgroup_of_inode(inode);
	if (!cgroup) {
		count_hook_error(hook, SITE_CGROUP_FILE);
		return subject;
	}
	return zone_of_cgroup(cgroup);
}

/*
 * Sysfs shows devices and the kernel's parameters. Only what belongs to a network namespace is not
 * the node's: such directories bear its address, and are seen in mounts made in it alone.
 */
#define SYSFS_LEVELS 16
static __always_inline bool is_of_own_network(struct inode *inode)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
	struct kernfs_node *node = BPF_CORE_READ(inode, i_private);

	for (int level = 0; level < SYSFS_LEVELS && node; level++) {
		const void *ns = BPF_CORE_READ(node, ns);

		/* Since 7.x the address is that of the part all namespaces have. */
		if (ns &&
		    (ns == net || ns == (const void *)net + bpf_core_field_offset(struct net, ns)))
			return true;
		node = parent_node(node);
	}
	return false;
}

/*
 * A security module's files: its policy, and whether it enforces that, are the node's. A question
 * is written too, and its answer is read back: programs ask so whether something would be allowed.
 * What is no file (SELinux's null device) the kernel opens for a task that it starts.
 */
static __always_inline bool rules_module(enum hook hook, struct inode *inode, struct dentry *dentry)
{
	if (hook != HOOK_FILE_OPEN)
		return true;
	if ((inode->i_mode & S_IFMT) != S_IFREG)
		return false;
	switch (beginning(BPF_CORE_READ(dentry, d_name.name))) {
	case LETTERS('a', 'c', 'c', 'e', 's', 's', 0, 0):
	case LETTERS('.', 'a', 'c', 'c', 'e', 's', 's', 0): /* AppArmor's */
	case LETTERS('c', 'o', 'n', 't', 'e', 'x', 't', 0):
	case LETTERS('c', 'r', 'e', 'a', 't', 'e', 0, 0):
	case LETTERS('m', 'e', 'm', 'b', 'e', 'r', 0, 0):
	case LETTERS('r', 'e', 'l', 'a', 'b', 'e', 'l', 0):
	case LETTERS('u', 's', 'e', 'r', 0, 0, 0, 0):
	case LETTERS('v', 'a', 'l', 'i', 'd', 'a', 't', 'e'): /* validatetrans */
		return false;
	default:
		return true;
	}
}

#define NR_OPEN_BY_HANDLE_AT	304
#define NR_OPEN_BY_HANDLE_AT_32 NR_32(342)

/*
 * By a handle is opened what no path leads to in the caller's mounts: every file of a file system
 * of which it has one mounted, be it a directory of the host's; another's System V memory and
 * memfds, and since 6.18 namespaces. What a handle holds can be guessed, of the root it is known.
 * With O_PATH no hook sees a file, and what is opened from there on looks like any other: so it is
 * the capability that is refused. To leave it is to go by paths, or to have a user namespace's root
 * look below what it has mounted (6.11).
 */
static __always_inline bool is_opened_by_handle(__u32 call)
{
	return call == NR_OPEN_BY_HANDLE_AT || call == NR_OPEN_BY_HANDLE_AT_32;
}

/*
 * Whether the file is the node's own, and what is to be asked of it then. Reading is free but where
 * it shows the kernel's own memory and work (debugfs, tracefs), or what enforces.
 */
static __always_inline bool stake_in(enum hook hook, struct inode *inode, struct dentry *dentry,
				     bool writes, __u32 subject, struct stake *stake)
{
	unsigned long magic = inode->i_sb->s_magic;
	bool directory = (inode->i_mode & S_IFMT) == S_IFDIR;

	stake->kind = OBJECT_NODE;
	stake->operation = OPERATION_USE;
	stake->object = ZONE_HOST;
	stake->pid = 0;
	switch (magic) {
	case BPFFS_MAGIC:
		stake->operation = OPERATION_GOVERN;
		return true;
	case CGROUP2_MAGIC:
	case CGROUP_MAGIC:
		if (!writes)
			return false;
		stake->operation = OPERATION_GOVERN;
		stake->object = zone_of_cgroup_file(hook, inode, magic, subject);
		return true;
	case PROC_MAGIC:
		return stake_in_proc(inode, dentry, writes, stake);
	case DEVPTS_MAGIC:
		/* One that was given to a task is its to use; whose it is, and for whom, is not
		 * its to change: how it came by it is not known then. */
		return hook != HOOK_FILE_PERMISSION && !directory &&
		       is_anothers_terminal(dentry, &stake->object);
	case NSFS_MAGIC:
		return is_opened_by_handle(current_syscall());
	case SYSFS_MAGIC:
		return writes && !is_of_own_network(inode);
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
		return writes || !directory;
	case BINFMT_MISC_MAGIC:
		/* Since 6.7 one can be mounted in a user namespace, and rules over that alone. */
		return writes && BPF_CORE_READ(inode, i_sb, s_user_ns, level) == 0;
	case SECURITYFS_MAGIC:
	case SELINUX_MAGIC:
	case SMACK_MAGIC:
	case APPARMOR_MAGIC:
		return writes && rules_module(hook, inode, dentry);
	case EFIVARFS_MAGIC:
	case PSTORE_MAGIC:
	case CONFIGFS_MAGIC:
	case RESCTRL_MAGIC:
	case FUSECTL_MAGIC:
	case NFSD_MAGIC: /* what serves is the kernel's own threads, which are in no zone */
		return writes;
	default:
		return false;
	}
}

/* How much of a directory's name is told before a file's. */
#define DIRECTORY_BYTES 64

/* The file's name, after its directory's: which of many files of that name it was. */
static __always_inline void describe_place(struct event *event, struct dentry *dentry)
{
	struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	__u64 got = 0;

	event->inode = BPF_CORE_READ(dentry, d_inode, i_ino);
	if (parent != dentry && BPF_CORE_READ(parent, d_parent) != parent)
		got = bpf_probe_read_kernel_str(event->name, DIRECTORY_BYTES,
						BPF_CORE_READ(parent, d_name.name));
	/* A failure is more than that, too. What is compared is to be what is used, as elsewhere.
	 */
	asm volatile("" : "+r"(got));
	if (got > DIRECTORY_BYTES) {
		count_error(SITE_NAME);
		return;
	}
	if (got > 0)
		event->name[got - 1] = '/';
	if (bpf_probe_read_kernel_str(event->name + got, NAME_BYTES - DIRECTORY_BYTES,
				      BPF_CORE_READ(dentry, d_name.name)) < 0)
		count_error(SITE_NAME);
}

/* Counts the answer about a file of the node's own, and tells of a refusal; the hook's return
 * value. */
static __always_inline int judge_stake(enum hook hook, const struct subject *subject,
				       struct file *file, const struct stake *stake)
{
	enum verdict verdict = judge(hook, stake->kind, stake->operation, subject, stake->object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, stake->object);
	if (event) {
		event->kind = stake->kind;
		event->operation = stake->operation;
		event->object_pid = stake->pid;
		describe_place(event, BPF_CORE_READ(file, f_path.dentry));
		event_end(event);
	}
	return answer(verdict);
}

#endif
