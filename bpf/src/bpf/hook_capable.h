/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Doors that nothing but a capability stands before. It is asked often and of everybody, so that
 * all but those capabilities cost no more than looking at which one it is.
 */
#include "node.h"

#define CAP_SYS_MODULE 16
#define CAP_SYS_PACCT  20
#define CAP_SYS_BOOT   22

/* delete_module(2) and autoloading a module of any name; acct(2); reboot(2). */
#define DOORS (1ull << CAP_SYS_MODULE | 1ull << CAP_SYS_PACCT | 1ull << CAP_SYS_BOOT)

/*
 * In a user namespace of its own a capability opens what is that namespace's. In a pid namespace of
 * its own reboot(2) ends that, and acct(2) is about it.
 */
SEC("lsm/capable")
int BPF_PROG(capable, const struct cred *cred, struct user_namespace *ns, int cap,
	     unsigned int opts, int ret)
{
	struct task_struct *task;
	struct subject subject;

	if (ret)
		return ret;
	if (!(DOORS >> (cap & 63) & 1))
		return 0;
	if (!current_subject(&subject) || ns->level)
		return 0;
	task = (void *)bpf_get_current_task();
	/* The namespace it is in, not the one that its children will be in. */
	if (cap != CAP_SYS_MODULE && BPF_CORE_READ(task, thread_pid, level))
		return 0;
	return judge_node(HOOK_CAPABLE, &subject, ZONE_HOST, cap, NULL);
}
