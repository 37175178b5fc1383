/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Task hooks. */
#include "emit.h"

/*
 * With credentials given, the sender is not current: USB's asynchronous completion signals the task
 * that submitted the request, from whatever context it completes in. Current's zone says nothing
 * about it.
 */
static __always_inline bool sent_by_another(__u64 *ctx)
{
	return argument(HOOK_TASK_KILL, SITE_CRED, ctx, 3);
}

/* kill(2) and its kin; signals that the kernel itself sends do not come here. */
SEC("lsm/task_kill")
int BPF_PROG(task_kill, struct task_struct *target, struct kernel_siginfo *info, int sig,
	     const struct cred *cred, int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u64 cgroup;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject) || sent_by_another(ctx))
		return 0;
	cgroup = cgroup_of_task(target);
	if (!cgroup) {
		count_hook_error(HOOK_TASK_KILL, SITE_TARGET_CGROUP);
		return 0;
	}
	object = zone_of_cgroup(cgroup);
	verdict = judge(HOOK_TASK_KILL, HOOK_TASK_KILL_KIND, OPERATION_USE, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_TASK_KILL, verdict, &subject, object);
	if (event) {
		event->object_pid = target->tgid;
		event->signal = sig;
		event_end(event);
	}
	return answer(verdict);
}
