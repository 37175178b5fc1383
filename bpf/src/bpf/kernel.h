/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The kernel types the programs read, cut down to the fields they read. CO-RE finds the real
 * offsets at load time; a name with ___ (a flavour) is another kernel's layout of the type before
 * it.
 */
#ifndef SYVA_KERNEL_H
#define SYVA_KERNEL_H

#include "uapi.h"

#define EPERM	 1
#define ENOENT	 2
#define EEXIST	 17
#define EINVAL	 22
#define ENOSPC	 28
#define S_IFMT	 0170000
#define S_IFDIR	 0040000
#define S_IFBLK	 0060000
#define S_IFCHR	 0020000
#define S_IFREG	 0100000
#define S_IFSOCK 0140000

#define FMODE_WRITE	  2
#define MAY_WRITE	  2
#define SIGKILL		  9
#define CLONE_INTO_CGROUP 0x200000000ull

#define SIGIO		    29
#define PROT_EXEC	    4
#define VM_EXEC		    4
#define PTRACE_MODE_ATTACH  2
#define PTRACE_MODE_NOAUDIT 4

/* Only ever pointed to. */
struct cred;
struct kernel_siginfo;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Of x86_64. */
struct pt_regs {
	unsigned long bx;
	unsigned long cx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

struct hlist_node {
	struct hlist_node *next;
};

struct list_head {
	struct list_head *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct qstr {
	const unsigned char *name;
};

struct file_system_type {
	int fs_flags;
	const char *name;
};

struct user_namespace {
	int level;
};

struct super_block {
	__u32 s_dev;
	struct file_system_type *s_type;
	unsigned long s_magic;
	struct dentry *s_root;
	struct user_namespace *s_user_ns;
	char s_id[32];
};

/* In 6.12 a file system's mounts are in a list, … */
struct super_block___listing {
	struct list_head s_mounts;
};

/* … in 7.3 each knows the next. */
struct super_block___chaining {
	struct mount *s_mounts;
};

struct inode {
	void *i_private;
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	__u32 i_rdev;
	struct hlist_head i_dentry;
	__u32 i_generation;
};

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
	void *d_fsdata;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* Since 7.1 the union has no name. */
struct dentry___flat {
	struct hlist_node d_alias;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_mode;
	void *private_data;
};

/* Since 5.19. */
struct io_uring_cmd {
	struct file *file;
	unsigned int cmd_op;
};

/* Who gets a file's signals. */
struct fown_struct {
};

/* Until 6.12 it is part of the file … */
struct file___owned {
	struct fown_struct f_owner;
};

/* … and then allocated when it is set. */
struct fown_struct___apart {
	struct file *file;
};

struct vm_area_struct {
	unsigned long vm_flags;
	struct file *vm_file;
};

struct linux_binprm {
	struct file *file;
};

/* Since 5.12 mounts map ids, and functions like vfs_link() take the mapping as an argument. */
struct vfsmount___userns {
	void *mnt_userns;
};

/* Since 6.2. */
struct vfsmount___idmap {
	void *mnt_idmap;
};

struct renamedata {
	struct inode *old_dir;
	struct inode *new_dir;
};

/* Since 6.18 the directories are given by their dentries. */
struct renamedata___parents {
	struct dentry *old_parent;
	struct dentry *new_parent;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	const void *ns;
	__u64 id;
};

/* Since 6.15 it is read under RCU, and has another name. */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct ns_common {
	unsigned int inum;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct ipc_namespace {
	struct ns_common ns;
};

struct mount {
	struct mount *mnt_parent;
	struct vfsmount mnt;
	struct list_head mnt_share;
	struct mnt_namespace *mnt_ns;
};

struct mount___listed {
	struct list_head mnt_instance;
};

struct mount___chained {
	struct mount *mnt_next_for_sb;
};

struct net {
	struct ns_common ns;
};

struct uts_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct kernel_clone_args {
	__u64 flags;
	struct css_set *cset;
};

struct pid {
	unsigned int level;
	struct hlist_head tasks[4];
};

struct ctl_table_set {
	int (*is_seen)(struct ctl_table_set *set);
};

struct ctl_table_header {
	struct ctl_table_set *set;
};

struct proc_dir_entry {
	struct proc_dir_entry *parent;
	const char *name;
};

struct proc_inode {
	struct pid *pid;
	struct proc_dir_entry *pde;
	struct ctl_table_header *sysctl;
	struct inode vfs_inode;
};

struct perf_event {
	struct {
		struct task_struct *target;
	} hw;
};

/* Its type is an enumeration in 7.3, and a number before. */
struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	struct tty_driver *driver;
	struct pid *session;
};

/* Since 5.16. */
struct tty_struct___ctrl {
	struct {
		struct pid *session;
	} ctrl;
};

struct tty_file_private {
	struct tty_struct *tty;
	struct file *file;
};

/* What the threads of a process share. */
struct signal_struct {
	struct tty_struct *tty;
};

struct thread_info {
	__u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	void *stack;
	unsigned int flags;
	struct hlist_node pid_links[4];
	int pid;
	int tgid;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
	struct pid *thread_pid;
	struct files_struct *files;
	__u64 start_time;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	const struct cred *real_cred;
	const struct cred *cred;
	char comm[16];
};

struct key {
	__s32 serial;
};

/* System V shared memory, a message queue, a set of semaphores. */
struct kern_ipc_perm {
	int id;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Before 5.15: a pointer whose low bits say that it is something else (a v1 class or priority). */
struct sock_cgroup_data___val {
	__u64 val;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	unsigned short sk_protocol;
};

struct sk_buff;

struct sock___val {
	struct sock_cgroup_data___val sk_cgrp_data;
};

struct socket {
	struct sock *sk;
};

struct sockaddr_un {
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct path path;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

/* Reasons of locked_down() that are no door: their numbers differ between kernels. */
enum lockdown_reason___asked {
	LOCKDOWN_HIBERNATION___asked = 5,
	LOCKDOWN_XFRM_SECRET___asked = 29,
};

/* What is watched: its number differs between kernels, too. */
enum fsnotify_obj_type___asked {
	FSNOTIFY_OBJ_TYPE_VFSMOUNT___asked = 1,
};

/* Asked of the running kernel: whether it has bpf_get_current_task_btf() (since 5.11). */
enum bpf_func_id___task_btf {
	BPF_FUNC_get_current_task_btf___task_btf = 158,
};

/* The same of bpf_task_pt_regs() (since 5.15). */
enum bpf_func_id___pt_regs {
	BPF_FUNC_task_pt_regs___pt_regs = 175,
};

#endif
