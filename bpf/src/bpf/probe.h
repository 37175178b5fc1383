/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The probe: an iterator over the daemon's open descriptors that tells what the hooks will see of
 * one of them. It costs the hooks nothing, and asks no path of anyone.
 */
#include "socket.h"
#include <bpf/bpf_tracing.h>

/*
 * Rust's types are generated from the object's BTF. Those of the maps are in it anyway; these are
 * in none, and are put there by asking for their type's number, which costs one instruction, here.
 */
struct exported {
	struct event event;
	struct facts facts;
	enum verdict verdict;
	enum zone_flag zone_flag;
	enum claim_scope claim_scope;
	enum member_origin member_origin;
	enum syscall_table syscall_table;
};

static __always_inline void export_types(void)
{
	asm volatile("" : : "r"(bpf_core_type_id_local(struct exported)));
}

SEC("iter/task_file")
int probe(struct bpf_iter__task_file *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct roomy_place at = {};
	struct facts facts = {};
	struct inode *inode;
	__u32 zero = 0;
	__u32 *fd = bpf_map_lookup_elem(&probe_request, &zero);

	export_types();
	if (!task || !file || !fd || ctx->fd != *fd)
		return 0;
	/* The reader is the daemon: no pid namespace can confuse the two. */
	if (task->tgid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	inode = file->f_inode;
	facts.key.dev = inode->i_sb->s_dev;
	facts.key.ino = inode->i_ino;
	facts.generation = inode->i_generation;
	facts.magic = inode->i_sb->s_magic;
	facts.task_cgroup = cgroup_of_task(task);
	if ((inode->i_mode & S_IFMT) == S_IFSOCK) {
		struct socket *socket = file->private_data;

		facts.socket_cgroup = cgroup_of_socket(BPF_CORE_READ(socket, sk));
	}
	facts.place_length = PLACE_UNKNOWN;
	if (place_of_dentry(file->f_path.dentry, &at)) {
		facts.place_length = at.socket.length;
		__builtin_memcpy(facts.place, at.socket.place, sizeof(facts.place));
	}
	bpf_seq_write(seq, &facts, sizeof(facts));
	return 0;
}
