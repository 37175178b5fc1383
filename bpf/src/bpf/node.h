/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The node's own: files through which it, or enforcement, is ruled. They are told by their file
 * system, which the kernel has one of, whatever it is mounted as and wherever; so a second mount, a
 * bind mount and a mount in a namespace of one's own are no way around.
 */
#ifndef SYVA_NODE_H
#define SYVA_NODE_H

#include "emit.h"

#define CGROUP_MAGIC  0x27e0eb
#define CGROUP2_MAGIC 0x63677270
#define BPFFS_MAGIC   0xcafe4a11

/* What is asked of a file that is the node's own, instead of its label. */
struct stake {
	enum object_kind kind;
	enum operation operation;
	__u32 object;
};

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

/* Whether the file is the node's own, and what is to be asked of it then. */
static __always_inline bool stake_in(enum hook hook, struct inode *inode, bool writes,
				     __u32 subject, struct stake *stake)
{
	unsigned long magic = inode->i_sb->s_magic;

	stake->kind = OBJECT_NODE;
	stake->operation = OPERATION_GOVERN;
	stake->object = ZONE_HOST;
	if (magic == BPFFS_MAGIC)
		return true;
	if (!is_cgroup_file(magic) || !writes)
		return false;
	stake->object = zone_of_cgroup_file(hook, inode, magic, subject);
	return true;
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
		describe_place(event, BPF_CORE_READ(file, f_path.dentry));
		event_end(event);
	}
	return answer(verdict);
}

#endif
