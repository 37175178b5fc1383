/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Counting decisions and failures. The additions are atomic although the slots are per CPU: a
 * program may be preempted by another one on its CPU, and denials are counted exactly.
 */
#ifndef SYVA_COUNT_H
#define SYVA_COUNT_H

#include "decide.h"
#include "maps.h"

static __always_inline void add_one(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* A helper failed outside any decision. */
static __always_inline void count_error(enum error_site site)
{
	__u32 index = site;
	__u64 *counter = bpf_map_lookup_elem(&error_sites, &index);

	if (counter)
		add_one(counter);
}

/* The hook decided without knowing; what failed is counted already. */
static __always_inline void count_hook_unknowing(enum hook hook)
{
	__u32 index = hook;
	struct hook_counts *counts = bpf_map_lookup_elem(&hook_counters, &index);

	if (counts)
		add_one(&counts->error);
}

/* A helper failed while the hook was deciding. */
static __always_inline void count_hook_error(enum hook hook, enum error_site site)
{
	count_hook_unknowing(hook);
	count_error(site);
}

static __always_inline void count_lost(enum hook hook)
{
	__u32 index = hook;
	struct hook_counts *counts = bpf_map_lookup_elem(&hook_counters, &index);

	if (counts)
		add_one(&counts->lost);
}

static __always_inline void count_verdict(enum hook hook, enum verdict verdict)
{
	__u32 index = hook;
	struct hook_counts *counts = bpf_map_lookup_elem(&hook_counters, &index);

	if (!counts)
		return;
	if (verdict == VERDICT_ALLOW)
		add_one(&counts->allow);
	else if (verdict == VERDICT_DENY)
		add_one(&counts->deny);
	else
		add_one(&counts->would_deny);
}

static __always_inline bool same_denial(const struct denial_key *a, const struct denial_key *b)
{
	return a->hook == b->hook && a->subject == b->subject && a->object == b->object;
}

/* Counts a denial by its pair, or in the overflow counter if the pair has no place in the table. */
static __always_inline void count_denial(enum hook hook, __u32 subject, __u32 object)
{
	struct denial_count fresh = {
		.key = {.hook = hook, .subject = subject, .object = object},
	};
	struct denial_count *row = bpf_map_lookup_elem(&denials, &fresh.key);
	__u32 zero = 0;

	if (!row) {
		/* Fails with EEXIST if another CPU was faster, with E2BIG if the table is full. */
		bpf_map_update_elem(&denials, &fresh.key, &fresh, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&denials, &fresh.key);
	}
	if (row && same_denial(&row->key, &fresh.key)) {
		add_one(&row->count);
	} else {
		__u64 *overflow = bpf_map_lookup_elem(&denials_overflow, &zero);

		if (overflow)
			add_one(overflow);
	}
}

#endif
