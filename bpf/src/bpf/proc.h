/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whose a file of procfs is that is opened: a task's, a namespace's, or the node's. */
#ifndef SYVA_PROC_H
#define SYVA_PROC_H

#include "emit.h"
#include "namespace.h"

/* What is asked of a file that is the node's own, instead of its label. */
struct stake {
	enum object_kind kind;
	enum operation operation;
	__u32 object;
	__u32 pid; /* the task's whose file it is, if it is one's */
};

/* The task with that number, 0 if it is gone. */
static __always_inline struct task_struct *task_of_pid(struct pid *pid)
{
	struct hlist_node *first = BPF_CORE_READ(pid, tasks[0].first);

	if (!first)
		return NULL;
	return (void *)first - bpf_core_field_offset(struct task_struct, pid_links);
}

/* The first eight bytes of a name, with zeros behind its end. */
static __always_inline __u64 beginning(const unsigned char *name)
{
	__u64 word = 0;
	char bytes[9] = {};

	if (bpf_probe_read_kernel_str(bytes, sizeof(bytes), name) < 0)
		return 0;
	__builtin_memcpy(&word, bytes, sizeof(word));
	return word;
}

/* Up to eight letters as beginning() gives them. */
#define LETTERS(a, b, c, d, e, f, g, h)                                                            \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |   \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

#define KERNEL_PARAMETER LETTERS('k', 'e', 'r', 'n', 'e', 'l', 0, 0)
#define HOST_NAME	 LETTERS('h', 'o', 's', 't', 'n', 'a', 'm', 'e')
#define DOMAIN_NAME	 LETTERS('d', 'o', 'm', 'a', 'i', 'n', 'n', 'a')

/*
 * Whether a parameter is its namespace's. Those of network and user namespaces, and of others in
 * newer kernels, are in sets of their own, which know who sees them. Up to 5.18 those of IPC and,
 * in every kernel, those of UTS and pid namespaces are in the node's set, by names that lead
 * everyone to his own; but a name is the node's in the host's namespace of names.
 */
static __always_inline bool is_namespaced(struct ctl_table_header *header, struct dentry *dentry)
{
	__u64 name, above;

	if (BPF_CORE_READ(header, set, is_seen))
		return true;
	name = beginning(BPF_CORE_READ(dentry, d_name.name));
	above = beginning(BPF_CORE_READ(dentry, d_parent, d_name.name));
	if (above == LETTERS('m', 'q', 'u', 'e', 'u', 'e', 0, 0))
		return true;
	if (above != KERNEL_PARAMETER)
		return false;
	switch (name & 0xffffff) {
	case LETTERS('m', 's', 'g', 0, 0, 0, 0, 0):
	case LETTERS('s', 'e', 'm', 0, 0, 0, 0, 0):
	case LETTERS('s', 'h', 'm', 0, 0, 0, 0, 0):
		return true;
	default:
		if (name == HOST_NAME || name == DOMAIN_NAME)
			return !in_host_uts_namespace();
		return name == LETTERS('a', 'u', 't', 'o', '_', 'm', 's', 'g') ||
		       name == LETTERS('n', 's', '_', 'l', 'a', 's', 't', '_');
	}
}

/*
 * Whether what is written to a file of procfs becomes the host's name or domain's: of the namespace
 * that the writer is in as it writes, wherever the file was opened.
 */
static __always_inline bool names_host(struct file *file)
{
	struct proc_inode *proc =
		(void *)file->f_inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	struct dentry *dentry;
	__u64 name;

	if (!BPF_CORE_READ(proc, sysctl))
		return false;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	name = beginning(BPF_CORE_READ(dentry, d_name.name));
	return (name == HOST_NAME || name == DOMAIN_NAME) &&
	       beginning(BPF_CORE_READ(dentry, d_parent, d_name.name)) == KERNEL_PARAMETER &&
	       in_host_uts_namespace();
}

static __always_inline __u64 name_of_entry(struct proc_dir_entry *entry)
{
	return beginning((const unsigned char *)BPF_CORE_READ(entry, name));
}

/*
 * Files below /proc itself: those of the network namespace are its own, and a pressure file is
 * written to be told, not to change something. But what is exported by NFS is served by threads of
 * the kernel's own, which are in no zone.
 */
#define PROC_LEVELS 8
static __always_inline bool is_node_s(struct proc_dir_entry *entry)
{
	struct proc_dir_entry *below = NULL;
	__u64 name;

	for (int level = 0; level < PROC_LEVELS; level++) {
		struct proc_dir_entry *parent = BPF_CORE_READ(entry, parent);

		/* The root is its own parent. */
		if (!parent || BPF_CORE_READ(parent, parent) == parent)
			break;
		below = entry;
		entry = parent;
	}
	name = name_of_entry(entry);
	if (name == LETTERS('n', 'e', 't', 0, 0, 0, 0, 0))
		return name_of_entry(below) == LETTERS('r', 'p', 'c', 0, 0, 0, 0, 0);
	return name != LETTERS('p', 'r', 'e', 's', 's', 'u', 'r', 'e');
}

/*
 * Files that show a task's memory, or what lies where in it. Whoever opens one is asked by the
 * kernel for the right to inspect the task, which hook_ptrace.h answers; but since 6.15 not if he
 * has CAP_PERFMON or CAP_SYS_ADMIN. So it is asked here as well.
 */
static __always_inline bool shows_memory(struct dentry *dentry)
{
	switch (beginning(BPF_CORE_READ(dentry, d_name.name))) {
	case LETTERS('m', 'a', 'p', 's', 0, 0, 0, 0):
	case LETTERS('s', 'm', 'a', 'p', 's', 0, 0, 0):
	case LETTERS('s', 'm', 'a', 'p', 's', '_', 'r', 'o'): /* smaps_rollup */
	case LETTERS('n', 'u', 'm', 'a', '_', 'm', 'a', 'p'):
	case LETTERS('p', 'a', 'g', 'e', 'm', 'a', 'p', 0):
	case LETTERS('e', 'n', 'v', 'i', 'r', 'o', 'n', 0):
	case LETTERS('a', 'u', 'x', 'v', 0, 0, 0, 0):
		return true;
	default:
		return false;
	}
}

/* The task whose file it is; false if it is gone. */
static __always_inline bool stake_in_task(struct pid *pid, struct stake *stake)
{
	struct task_struct *task = task_of_pid(pid);

	if (!task)
		return false;
	stake->kind = OBJECT_TASK;
	stake->pid = BPF_CORE_READ(task, tgid);
	stake->object = zone_of_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id));
	return true;
}

/* Whether it is for us to ask about a file of procfs that is to be opened. */
static __always_inline bool stake_in_proc(struct inode *inode, struct dentry *dentry, bool writes,
					  struct stake *stake)
{
	struct proc_inode *proc =
		(void *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
	struct ctl_table_header *header = BPF_CORE_READ(proc, sysctl);
	struct proc_dir_entry *entry = BPF_CORE_READ(proc, pde);
	struct pid *pid = BPF_CORE_READ(proc, pid);

	if (pid && dentry && shows_memory(dentry)) {
		/* However it is opened: a pair opens writing, but not this. */
		stake->operation = OPERATION_INSPECT;
		return stake_in_task(pid, stake);
	}
	if (!writes)
		return false;
	if (header)
		return !is_namespaced(header, dentry);
	if (pid)
		return stake_in_task(pid, stake);
	return entry && is_node_s(entry);
}

#endif
