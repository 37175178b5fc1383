/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Hooks of ptrace(2), and of all that asks for the same right: /proc/PID, process_vm_readv(2) … */
#include "emit.h"

static __always_inline void describe_access(struct event *event, enum operation operation,
					    struct task_struct *task)
{
	event->operation = operation;
	event->object_pid = task->tgid;
}

/*
 * Current asks for a right over `child`, never over a thread of its own process. The kernel holds a
 * spin lock. Of a check that is not to be audited (ps(1) makes one a process it lists) the count is
 * all that is told.
 */
SEC("lsm/ptrace_access_check")
int BPF_PROG(ptrace_access_check, struct task_struct *child, unsigned int mode, int ret)
{
	enum operation operation =
		mode & PTRACE_MODE_ATTACH ? OPERATION_CONTROL : OPERATION_INSPECT;
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u64 cgroup;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	cgroup = cgroup_of_task(child);
	if (!cgroup) {
		count_hook_error(HOOK_PTRACE_ACCESS_CHECK, SITE_TARGET_CGROUP);
		return 0;
	}
	object = zone_of_cgroup(cgroup);
	verdict = judge(HOOK_PTRACE_ACCESS_CHECK, HOOK_PTRACE_ACCESS_CHECK_KIND, operation,
			&subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	if (!(mode & PTRACE_MODE_NOAUDIT)) {
		event = event_begin(HOOK_PTRACE_ACCESS_CHECK, verdict, &subject, object);
		if (event) {
			describe_access(event, operation, child);
			event_end(event);
		}
	}
	return answer(verdict);
}

/* The tracer gets the rights, so the parent is judged, and the event is about it. */
static __always_inline void blame(struct event *event, struct task_struct *parent)
{
	event->pid = parent->tgid;
	event->tid = parent->pid;
	if (bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), &parent->comm) < 0)
		count_error(SITE_COMM);
}

/*
 * Current asks to be traced by its parent. A host parent, such as a debugger that starts a
 * container, is not restricted; that a zoned one's child is in no zone frees neither.
 */
SEC("lsm/ptrace_traceme")
int BPF_PROG(ptrace_traceme, struct task_struct *parent, int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u64 cgroup;
	__u32 object;

	if (ret)
		return ret;
	cgroup = cgroup_of_task(parent);
	if (!cgroup) {
		count_hook_error(HOOK_PTRACE_TRACEME, SITE_TARGET_CGROUP);
		return 0;
	}
	if (!subject_of(cgroup, &subject))
		return 0;
	object = zone_of_cgroup(current_cgroup());
	verdict = judge(HOOK_PTRACE_TRACEME, HOOK_PTRACE_TRACEME_KIND, OPERATION_CONTROL, &subject,
			object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_PTRACE_TRACEME, verdict, &subject, object);
	if (event) {
		blame(event, parent);
		event->operation = OPERATION_CONTROL;
		event->object_pid = bpf_get_current_pid_tgid() >> 32;
		event_end(event);
	}
	return answer(verdict);
}
