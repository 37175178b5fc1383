/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Processes that a zone has pulled into a cgroup of its own. That cannot be refused
 * (hook_cgroup.h); so it is written down, in a map that outlives the daemon, which moves them back.
 * The event alone would not do: the ring may be full, and there may be no daemon.
 */
#ifndef SYVA_PULLED_H
#define SYVA_PULLED_H

#include "count.h"
#include <bpf/bpf_core_read.h>

/* How long after cgroup_can_fork() a child's time of start is read, at most. */
#define FORK_NS 100000000ull

/* Whether the row is of that process, and not of one that had its number before. */
static __always_inline bool is_of_process(const struct pulled_row *row, struct task_struct *task)
{
	return row && BPF_CORE_READ(task, group_leader, start_time) <= row->since;
}

static __always_inline void keep_pulled(const struct pulled_row *row)
{
	if (bpf_map_update_elem(&pulled, &row->tgid, row, BPF_ANY))
		count_error(SITE_PARK);
}

/* One that is pulled on keeps its home. */
static __always_inline void note_pulled(struct task_struct *task, __u64 from, __u64 into)
{
	struct pulled_row row = {
		.home = from,
		.into = into,
		.since = bpf_ktime_get_ns(),
		.tgid = BPF_CORE_READ(task, tgid),
	};
	struct pulled_row *before = bpf_map_lookup_elem(&pulled, &row.tgid);

	if (is_of_process(before, task))
		row.home = before->home;
	keep_pulled(&row);
}

/*
 * What a process forks where it was pulled to is no more the zone's than itself. Asked of every
 * fork, under the lock that keeps the parent from being moved meanwhile. The child has its number
 * by then, and no time of start.
 */
static __always_inline void follow_fork(struct task_struct *child)
{
	__u32 parent = bpf_get_current_pid_tgid() >> 32;
	struct pulled_row *of_parent = bpf_map_lookup_elem(&pulled, &parent);
	struct pulled_row row = {};

	if (!of_parent)
		return;
	row.tgid = BPF_CORE_READ(child, tgid);
	if (row.tgid == parent || !is_of_process(of_parent, (void *)bpf_get_current_task()))
		return;
	row.home = of_parent->home;
	row.into = of_parent->into;
	row.since = bpf_ktime_get_ns() + FORK_NS;
	keep_pulled(&row);
}

#endif
