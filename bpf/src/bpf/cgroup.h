/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Kernel-born memberships: a cgroup made inside a zone is in the zone before anything can run in
 * it. Both tracepoints fire with a spin lock held and interrupts off, so neither is preempted or
 * skipped.
 */
#include "subject.h"
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

/* Runs after the cgroup is set up and before its directory is activated. */
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
	row.cgroup = id;
	row.origin = ORIGIN_KERNEL;
	/* Added before it can be found, and taken back only if it was not inserted: never too low.
	 */
	filter_add(id, 1);
	err = bpf_map_update_elem(&members, &id, &row, BPF_NOEXIST);
	if (err) {
		filter_add(id, -1);
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
	__u64 id;
	int err;

	if (!in_default_hierarchy(cgroup))
		return 0;
	id = cgroup->kn->id;
	slot = slot_of(id);
	if (!slot || !slot->members)
		return 0;
	err = bpf_map_delete_elem(&members, &id);
	if (!err)
		filter_add(id, -1);
	else if (err != -ENOENT)
		count_error(SITE_RELEASE_DELETE);
	return 0;
}
