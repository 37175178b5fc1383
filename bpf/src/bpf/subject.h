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

static __always_inline struct filter_slot *slot_of(__u64 cgroup)
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
		copy->origin = row->origin;
		copy->cgroup = row->cgroup;
		if (copy->cgroup == cgroup)
			return true;
	}
	count_error(SITE_MEMBER_REUSED);
	return false;
}

/* The low half of the members' epoch, which is what fits above a zone. */
static __always_inline __u64 member_epoch_half(void)
{
	__u32 zero = 0;
	__u64 *epoch = bpf_map_lookup_elem(&member_epoch, &zero);

	return epoch ? *(volatile __u64 *)epoch << 32 : 0;
}

/*
 * Spreads the copy over the whole word, so that a seal made with another copy gives another
 * cgroup's id with no more likelihood than any 64-bit number; the factor is 2^64 divided by the
 * golden ratio.
 */
#define SPREAD(copy) ((copy)*0x9e3779b97f4a7c15ULL)

/*
 * The zone of the cgroup's row, from the copy in its slot if that is this cgroup's and of this
 * epoch. Whoever changes a row that exists, the daemon or park(), advances the epoch after it; what
 * the kernel itself inserts is of a cgroup that nobody has looked up, and what it removes is
 * nobody's any more. So a copy of the epoch that was read before the look-up is as good as the row.
 */
static __always_inline __u32 zone_of_member(struct filter_slot *slot, __u64 cgroup)
{
	__u64 epoch = member_epoch_half();
	__u64 copy = *(volatile __u64 *)&slot->copy;
	__u64 seal = *(volatile __u64 *)&slot->seal;
	struct member_row row;

	if ((seal ^ SPREAD(copy)) == cgroup && copy >> 32 == epoch >> 32)
		return copy;
	if (!read_member(cgroup, &row))
		return ZONE_HOST;
	copy = epoch | row.zone;
	*(volatile __u64 *)&slot->copy = copy;
	*(volatile __u64 *)&slot->seal = SPREAD(copy) ^ cgroup;
	return row.zone;
}

static __always_inline __u32 zone_of_cgroup(__u64 cgroup)
{
	struct filter_slot *slot = slot_of(cgroup);

	if (!slot || !*(volatile __u64 *)&slot->members)
		return ZONE_HOST;
	return zone_of_member(slot, cgroup);
}

/* Whether tasks of the cgroup are in a zone. */
static __always_inline bool subject_of(__u64 cgroup, struct subject *subject)
{
#ifdef SYVA_OTHER_OBJECT
	/* For the tests of an upgrade: all that decide are other programs. */
	asm volatile("goto +0");
#endif
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
