/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Who acts: a task's cgroup, and that cgroup's membership. */
#ifndef SYVA_SUBJECT_H
#define SYVA_SUBJECT_H

#include "count.h"
#include <bpf/bpf_core_read.h>

struct subject {
	__u64 cgroup;
	__u32 zone;
};

/* The task's cgroup in the default hierarchy, by direct loads: a fault reads as 0, no id. */
static __always_inline __u64 cgroup_of_task(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

static __always_inline __u64 current_cgroup(void)
{
	/* 5.10 has only the helper; four loads cost a quarter of the call. */
	if (bpf_core_enum_value_exists(enum bpf_func_id___task_btf,
				       BPF_FUNC_get_current_task_btf___task_btf))
		return cgroup_of_task(bpf_get_current_task_btf());
	return bpf_get_current_cgroup_id();
}

static __always_inline __u64 *filter_slot(__u64 cgroup)
{
	__u32 slot = cgroup & (FILTER_SLOTS - 1);

	return bpf_map_lookup_elem(&member_filter, &slot);
}

/*
 * Reads a cgroup's row into `copy`. The key is read last: an element freed under us was refilled
 * key first, so a payload of its new life is never taken for one of the old. Such a miss is looked
 * up again, since the row may have been replaced rather than removed.
 */
static __always_inline bool read_member(__u64 cgroup, struct member_row *copy)
{
	for (int attempt = 0; attempt < 2; attempt++) {
		volatile struct member_row *row = bpf_map_lookup_elem(&members, &cgroup);

		if (!row)
			return false;
		copy->root = row->root;
		copy->zone = row->zone;
		copy->cgroup = row->cgroup;
		if (copy->cgroup == cgroup)
			return true;
	}
	count_error(SITE_MEMBER_REUSED);
	return false;
}

static __always_inline __u32 zone_of_cgroup(__u64 cgroup)
{
	__u64 *slot = filter_slot(cgroup);
	struct member_row row;

	if (!slot || !*slot || !read_member(cgroup, &row))
		return ZONE_HOST;
	return row.zone;
}

/* Whether tasks of the cgroup are in a zone. */
static __always_inline bool subject_of(__u64 cgroup, struct subject *subject)
{
	subject->cgroup = cgroup;
	subject->zone = zone_of_cgroup(cgroup);
	return subject->zone != ZONE_HOST;
}

/* Whether the current task is in a zone. Everyone pays for this on every hook. */
static __always_inline bool current_subject(struct subject *subject)
{
	return subject_of(current_cgroup(), subject);
}

#endif
