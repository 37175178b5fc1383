/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Tasks that change their cgroup. Writing the files that do it is refused where they are opened and
 * written (hook_file.h). What is left is what no LSM hook can refuse at a price that everyone could
 * pay: the kernel asks inode_permission alone, of every directory of every path. So the programs
 * here watch the kernel's own functions, and kill the caller; the kernel then undoes what it began,
 * or the caller is dead before it returns.
 */
#include "emit.h"
#include "pulled.h"
#include "quota.h"
#include <bpf/bpf_tracing.h>

static __always_inline void kill_current(enum hook hook)
{
	if (bpf_send_signal(SIGKILL))
		count_hook_error(hook, SITE_KILL);
}

static __always_inline void describe_cgroup(struct event *event, struct cgroup *cgroup)
{
	event->operation = OPERATION_GOVERN;
	event->inode = BPF_CORE_READ(cgroup, kn, id);
	if (bpf_probe_read_kernel_str(event->name, sizeof(event->name),
				      BPF_CORE_READ(cgroup, kn, name)) < 0)
		count_error(SITE_NAME);
}

/*
 * clone3(2) with CLONE_INTO_CGROUP, which needs no more than a descriptor of the cgroup's
 * directory: where the kernel has found the cgroup and before the child can be seen or run.
 * copy_process() looks for a fatal signal after this, and then undoes all and returns EINTR.
 */
SEC("fexit/cgroup_can_fork")
int BPF_PROG(cgroup_can_fork, struct task_struct *child, struct kernel_clone_args *kargs, int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct cgroup *cgroup;
	struct event *event;
	__u32 object;
	__u64 id;

	if (ret)
		return 0;
	follow_fork(child);
	if (!(kargs->flags & CLONE_INTO_CGROUP) || !current_subject(&subject))
		return 0;
	cgroup = kargs->cset->dfl_cgrp;
	id = cgroup->kn->id;
	if (!id) {
		count_hook_error(HOOK_CGROUP_CAN_FORK, SITE_MOVED_TASK);
		return 0;
	}
	object = zone_of_cgroup(id);
	verdict = judge(HOOK_CGROUP_CAN_FORK, OBJECT_NODE, OPERATION_GOVERN, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	if (verdict == VERDICT_DENY)
		kill_current(HOOK_CGROUP_CAN_FORK);
	event = event_begin(HOOK_CGROUP_CAN_FORK, verdict, &subject, object);
	if (event) {
		describe_cgroup(event, cgroup);
		event_end(event);
	}
	return 0;
}

/* A task leaves its zone, moved by one that may: it is told of as the one it is about. */
static __always_inline void escaped(struct task_struct *task, __u64 from, __u32 zone,
				    struct cgroup *to, __u32 object)
{
	struct subject left = {.cgroup = from, .zone = zone};
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&escapes, &zero);
	struct event *event;

	if (count)
		add_one(count);
	event = event_begin(HOOK_CGROUP_ATTACH_TASK, VERDICT_ESCAPE, &left, object);
	if (event) {
		describe_cgroup(event, to);
		event->object_pid = task->tgid;
		event_end(event);
	}
}

/*
 * The cgroup that a foreign task is being pulled into is nobody's until the daemon has moved the
 * task back (pulled.h) and written the row anew: else whoever is left of the zone could do to that
 * task what it may do to its own. As where a plan parks a row, the copies made before are stale
 * afterwards.
 */
static __always_inline void park(__u64 cgroup)
{
	__u32 zero = 0;
	__u64 *epoch = bpf_map_lookup_elem(&member_epoch, &zero);
	struct member_row row = {};
	__u32 zone;

	if (!epoch || !read_member(cgroup, &row))
		return;
	zone = row.zone;
	row.zone = ZONE_LIMBO;
	if (bpf_map_update_elem(&members, &cgroup, &row, BPF_EXIST)) {
		count_hook_error(HOOK_CGROUP_ATTACH_TASK, SITE_PARK);
	} else if (row.origin == ORIGIN_KERNEL) {
		count_share(zone, SHARE_CGROUPS, -1);
		count_share(ZONE_LIMBO, SHARE_CGROUPS, 1);
	}
	__sync_fetch_and_add(epoch, 1);
}

/*
 * A task is moved to another cgroup. By a zoned caller only between cgroups of its own zone; one
 * that got here with anything else has found a way to write the file, or names a task of another
 * zone that it sees. Of the latter the event has the cgroup it came from, and it must be moved
 * back; the caller dies before it returns to its program.
 */
SEC("fentry/cgroup_attach_task")
int BPF_PROG(cgroup_attach_task, struct cgroup *to, struct task_struct *task, bool threadgroup)
{
	__u32 from_zone, to_zone, object;
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u64 from, into;
	bool foreign;

	if (to->root->hierarchy_id != 0)
		return 0;
	from = cgroup_of_task(task);
	into = to->kn->id;
	if (!from || !into) {
		count_hook_error(HOOK_CGROUP_ATTACH_TASK, SITE_MOVED_TASK);
		return 0;
	}
	from_zone = zone_of_cgroup(from);
	to_zone = zone_of_cgroup(into);
	if (current_subject(&subject)) {
		foreign = from_zone != subject.zone;
		object = foreign ? from_zone : to_zone;
		verdict = judge(HOOK_CGROUP_ATTACH_TASK, OBJECT_NODE, OPERATION_GOVERN, &subject,
				object);
		if (verdict == VERDICT_DENY) {
			kill_current(HOOK_CGROUP_ATTACH_TASK);
			/* Parked for an earlier one it takes no further parking. */
			if (foreign && (to_zone == subject.zone || to_zone == ZONE_LIMBO))
				note_pulled(task, from, into);
			if (foreign && to_zone == subject.zone)
				park(into);
		}
		if (verdict != VERDICT_ALLOW) {
			event = event_begin(HOOK_CGROUP_ATTACH_TASK, verdict, &subject, object);
			if (event) {
				describe_cgroup(event, to);
				event->inode = from;
				event->object_pid = task->tgid;
				event_end(event);
			}
			return 0;
		}
	}
	if (from_zone != ZONE_HOST && from_zone != to_zone)
		escaped(task, from, from_zone, to, to_zone);
	return 0;
}
