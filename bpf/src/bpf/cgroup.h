/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kernel-born memberships: a cgroup made inside a zone is in the zone before anything can run in
 * it. Both tracepoints fire with a spin lock held and interrupts off, so neither is preempted or
 * skipped.
 */
#include "quota.h"
#include <bpf/bpf_tracing.h>

/* Ids are unique within a hierarchy only; the default one has number 0 (see /proc/self/cgroup). */
static __always_inline bool in_default_hierarchy(struct cgroup *cgroup)
{
	return cgroup->root->hierarchy_id == 0;
}

static __always_inline __u64 parent_cgroup(struct cgroup *cgroup)
{
	void *css = BPF_CORE_READ(cgroup, self.parent);
	struct cgroup *parent;

	if (!css)
		return 0;
	parent = css - bpf_core_field_offset(struct cgroup, self);
	return BPF_CORE_READ(parent, kn, id);
}

static __always_inline void filter_add(__u64 cgroup, __s64 count)
{
	struct filter_slot *slot = slot_of(cgroup);

	if (slot)
		__sync_fetch_and_add(&slot->members, count);
}

/*
 * Whether the zone may not have another one, by a task of whichever zone. Its mkdir(2) is refused
 * before it comes here (hook_mutate.h), but for those of a zone that nothing is refused to, and for
 * those that were under way when the last one took what was left. Such a cgroup is nobody's, and no
 * zone's task can enter it. What the host makes inside a zone is counted like any, and has no bound
 * but the table's.
 */
static __always_inline bool beyond_quota(__u32 zone)
{
	struct subject maker;

	return current_subject(&maker) && !has_room(zone, SHARE_CGROUPS);
}

/*
 * Runs after the cgroup is set up and before its directory is activated; the kernel makes one
 * cgroup at a time, so that none comes between the question for room and the count.
 */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct member_row row = {};
	__u64 id, parent;
	int err; /* not long: before 6.4 the upper half of what map helpers return is undefined */

	if (!in_default_hierarchy(cgroup))
		return 0;
	id = cgroup->kn->id;
	parent = parent_cgroup(cgroup);
	if (!id || !parent) {
		count_error(SITE_MKDIR_IDS);
		return 0;
	}
	if (zone_of_cgroup(parent) == ZONE_HOST || !read_member(parent, &row))
		return 0;
	if (beyond_quota(row.zone)) {
		count_refused(row.zone, SHARE_CGROUPS);
		return 0;
	}
	row.cgroup = id;
	row.origin = ORIGIN_KERNEL;
	/* Added before it can be found, and taken back only if it was not inserted: never too low.
	 */
	filter_add(id, 1);
	count_share(row.zone, SHARE_CGROUPS, 1);
	err = bpf_map_update_elem(&members, &id, &row, BPF_NOEXIST);
	if (err) {
		filter_add(id, -1);
		count_share(row.zone, SHARE_CGROUPS, -1);
		/* The daemon's walk was faster, which is fine; else the cgroup is outside its zone.
		 */
		if (err != -EEXIST)
			count_error(SITE_MKDIR_INHERIT);
	}
	return 0;
}

/* Runs when the last reference to a removed cgroup is gone: no task, zombie or socket is in it. */
SEC("tp_btf/cgroup_release")
int BPF_PROG(cgroup_release, struct cgroup *cgroup, const char *path)
{
	struct filter_slot *slot;
	struct member_row row = {};
	__u32 counted = ZONE_HOST;
	__u64 id;
	int err;

	if (!in_default_hierarchy(cgroup))
		return 0;
	id = cgroup->kn->id;
	slot = slot_of(id);
	if (!slot || !slot->members)
		return 0;
	/* If the daemon puts the row into another zone right now, the wrong one is credited: the
	 * reconciler counts again. */
	if (read_member(id, &row) && row.origin == ORIGIN_KERNEL)
		counted = row.zone;
	err = bpf_map_delete_elem(&members, &id);
	if (!err) {
		filter_add(id, -1);
		count_share(counted, SHARE_CGROUPS, -1);
	} else if (err != -ENOENT) {
		count_error(SITE_RELEASE_DELETE);
	}
	return 0;
}
