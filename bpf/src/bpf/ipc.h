/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whose a System V object or a key is: the zone's that its maker's cgroup is in, or was in then. */
#ifndef SYVA_IPC_H
#define SYVA_IPC_H

#include "emit.h"
#include "namespace.h"
#include "quota.h"

/* Asked after the last one who could find the object has gone. */
static __always_inline int forget_ipc(__u64 object)
{
	struct ipc_row *row = bpf_map_lookup_elem(&ipc_objects, &object);
	__u32 zone;
	int err;

	if (!row)
		return 0;
	zone = row->zone;
	err = bpf_map_delete_elem(&ipc_objects, &object);
	if (!err)
		count_share(zone, SHARE_IPC, -1);
	else if (err != -ENOENT)
		count_error(SITE_IPC_TABLE);
	return 0;
}

/* The hook's return value where there is no room: as in answer(). A zone that nothing is refused to
 * makes what is nobody's then. */
static __always_inline int no_room(__u32 zone)
{
	int full = 0;

	if (zone != ZONE_HOST && !(flags_of_zone(zone) & (ZONE_FLAG_PRIVILEGED | ZONE_FLAG_AUDIT)))
		asm volatile("%0 = %1" : "=r"(full) : "i"(-ENOSPC));
	return full;
}

static __always_inline bool same_maker(const struct ipc_row *a, const struct ipc_row *b)
{
	return a->object == b->object && a->cgroup == b->cgroup && a->zone == b->zone &&
	       a->kind == b->kind;
}

/*
 * Writes down who makes the object; the hook's return value. A zoned maker for whom there is no
 * room, in the table or in its zone's share of it, is refused: its object would pass for the
 * host's. The host's may: that is what it is.
 */
static __always_inline int record_ipc(__u64 object, enum ipc_kind kind, int ret)
{
	struct ipc_row row = {.object = object, .kind = kind};
	struct ipc_row *there;
	struct subject subject;

	if (ret)
		return ret;
	current_subject(&subject);
	row.cgroup = subject.cgroup;
	row.zone = subject.zone;
	there = bpf_map_lookup_elem(&ipc_objects, &object);
	if (there) {
		/* Written by the program that this one takes the place of: both run for a moment.
		 */
		if (same_maker(there, &row))
			return 0;
		/* Left by an object whose end was missed. */
		forget_ipc(object);
	}
	if (!take_share(row.zone, SHARE_IPC)) {
		count_refused(row.zone, SHARE_IPC);
		return no_room(row.zone);
	}
	if (!bpf_map_update_elem(&ipc_objects, &object, &row, BPF_NOEXIST))
		return 0;
	count_share(row.zone, SHARE_IPC, -1);
	count_error(SITE_IPC_TABLE);
	return no_room(row.zone);
}

/*
 * The zone by the object's row. The maker's cgroup is asked first: a container may be attached
 * after it has begun, or go from zone to zone.
 */
static __always_inline __u32 zone_of_row(volatile struct ipc_row *row, __u64 object)
{
	__u32 zone, now;
	__u64 cgroup;

	cgroup = row->cgroup;
	zone = row->zone;
	/* Read last: the element may have been given to another object meanwhile. */
	if (row->object != object) {
		count_error(SITE_IPC_REUSED);
		return ZONE_UNKNOWN;
	}
	now = zone_of_cgroup(cgroup);
	return now == ZONE_HOST ? zone : now;
}

/* Of what is older than the programs nothing is known: in the host's IPC namespace it is the
 * host's, in a container's the container's. */
static __always_inline __u32 zone_of_ipc(__u64 object, const struct subject *subject)
{
	volatile struct ipc_row *row = bpf_map_lookup_elem(&ipc_objects, &object);

	if (!row)
		return in_host_ipc_namespace() ? ZONE_HOST : subject->zone;
	return zone_of_row(row, object);
}

/* Only zoned tasks' keys are in the table. */
static __always_inline __u32 zone_of_key(__u64 object)
{
	volatile struct ipc_row *row = bpf_map_lookup_elem(&ipc_objects, &object);

	return row ? zone_of_row(row, object) : ZONE_HOST;
}

#endif
