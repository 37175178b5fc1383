/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What one zone may take of the tables that all zones share: cgroups made inside it, which get a
 * row in members, and System V objects and keys, which get one in ipc_objects. A full table would
 * keep every zone from making any.
 *
 * The count is derived from the rows, and changed by whoever inserts, moves or deletes one: by the
 * programs here, by the daemon in a map of its own. Where the two meet it may be wrong for a while;
 * the reconciler counts the rows, and corrects it (tables/usage.rs).
 *
 * The helpers that would fetch what they add to need 5.12. So a share is taken first and looked at
 * then: of makers at the same moment the last one sees all others' additions, and the bound is
 * never passed, though they may all be refused what is left for one.
 */
#ifndef SYVA_QUOTA_H
#define SYVA_QUOTA_H

#include "subject.h"

/* The bounds; the daemon sets them, and a restart can change them. */
const volatile __u64 cgroup_quota = ~0ull >> 1;
const volatile __u64 ipc_quota = ~0ull >> 1;

enum share {
	SHARE_CGROUPS,
	SHARE_IPC,
};

static __always_inline __u64 *held_of(struct usage_row *row, enum share share)
{
	return share == SHARE_CGROUPS ? &row->cgroups : &row->ipc;
}

/*
 * The zone's row, which is made when there is first something to count: of a zone that there is.
 * What a removed zone leaves behind counts for nobody.
 */
static __always_inline struct usage_row *usage_of(__u32 zone)
{
	struct usage_row *row = bpf_map_lookup_elem(&zone_usage, &zone);
	struct usage_row fresh = {.zone = zone};

	if (row)
		return row;
	if (zone != ZONE_LIMBO && !bpf_map_lookup_elem(&zones, &zone))
		return NULL;
	/* Fails with EEXIST if another CPU was faster. */
	bpf_map_update_elem(&zone_usage, &zone, &fresh, BPF_NOEXIST);
	row = bpf_map_lookup_elem(&zone_usage, &zone);
	if (!row)
		count_error(SITE_ZONE_USAGE);
	return row;
}

/* The host is not counted: nothing bounds it, and it pays for nothing. */
static __always_inline void count_share(__u32 zone, enum share share, __s64 by)
{
	struct usage_row *row;

	if (zone == ZONE_HOST)
		return;
	row = usage_of(zone);
	if (row)
		__sync_fetch_and_add(held_of(row, share), by);
}

static __always_inline void count_refused(__u32 zone, enum share share)
{
	struct usage_row *row = usage_of(zone);

	if (row)
		add_one(share == SHARE_CGROUPS ? &row->cgroups_refused : &row->ipc_refused);
}

/* How many rows the zone holds, as counted by both sides; less than nothing for a moment. */
static __always_inline __s64 held_by(__u32 zone, enum share share)
{
	struct usage_row *programs = bpf_map_lookup_elem(&zone_usage, &zone);
	struct usage_row *daemon = bpf_map_lookup_elem(&usage_by_daemon, &zone);
	__u64 held = 0;

	if (programs)
		held += *(volatile __u64 *)held_of(programs, share);
	if (daemon)
		held += *(volatile __u64 *)held_of(daemon, share);
	return held;
}

static __always_inline __s64 quota_of(enum share share)
{
	return share == SHARE_CGROUPS ? cgroup_quota : ipc_quota;
}

/* Whether the zone may have another one. */
static __always_inline bool has_room(__u32 zone, enum share share)
{
	return zone == ZONE_HOST || held_by(zone, share) < quota_of(share);
}

/* Counts one more for the zone, unless that is more than it may have. */
static __always_inline bool take_share(__u32 zone, enum share share)
{
	if (zone == ZONE_HOST)
		return true;
	count_share(zone, share, 1);
	if (held_by(zone, share) <= quota_of(share))
		return true;
	count_share(zone, share, -1);
	return false;
}

#endif
