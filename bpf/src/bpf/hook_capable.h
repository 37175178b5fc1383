/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Doors that nothing but a capability stands before. It is asked often and of everybody, so that
 * all but those capabilities cost no more than looking at which one it is.
 */
#include "node.h"
#include "syscall.h"

#define CAP_SYS_MODULE 16
#define CAP_SYS_PACCT  20
#define CAP_SYS_ADMIN  21
#define CAP_SYS_BOOT   22
#define CAP_PERFMON    38

/* delete_module(2) and autoloading a module of any name; acct(2); reboot(2). */
#define DOORS (1ull << CAP_SYS_MODULE | 1ull << CAP_SYS_PACCT | 1ull << CAP_SYS_BOOT)

/*
 * Instead of the right to inspect a task, which hook_ptrace.h answers for, one of these does since
 * 6.15 (mm_access()). It does not say which task. The files of procfs that ask so are judged when
 * they are opened; what is left is one system call, which asks for these two for nothing else, and
 * for the right itself if it has neither.
 */
#define INSTEAD_OF_INSPECTING (1ull << CAP_SYS_ADMIN | 1ull << CAP_PERFMON)

#define NR_PROCESS_MADVISE 440 /* the same in 32 bits */

/* Not counted as a denial: what is asked next is judged, and told. */
static __always_inline int without_inspecting(const struct subject *subject)
{
	int refused = 0;

	if (current_syscall() == NR_PROCESS_MADVISE &&
	    !(flags_of_zone(subject->zone) & (ZONE_FLAG_PRIVILEGED | ZONE_FLAG_AUDIT)))
		asm volatile("%0 = %1" : "=r"(refused) : "i"(-EPERM)); /* as in answer() */
	return refused;
}

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
	if (!((DOORS | INSTEAD_OF_INSPECTING) >> (cap & 63) & 1))
		return 0;
	if (!current_subject(&subject) || ns->level)
		return 0;
	if (INSTEAD_OF_INSPECTING >> (cap & 63) & 1)
		return without_inspecting(&subject);
	task = (void *)bpf_get_current_task();
	/* The namespace it is in, not the one that its children will be in. */
	if (cap != CAP_SYS_MODULE && BPF_CORE_READ(task, thread_pid, level))
		return 0;
	return judge_node(HOOK_CAPABLE, &subject, ZONE_HOST, cap, NULL);
}
