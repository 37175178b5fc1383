/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Doors that nothing but a capability stands before. It is asked often and of everybody, so that
 * all but those capabilities cost no more than looking at which one it is.
 */
#include "namespace.h"
#include "node.h"
#include "syscall.h"
#include "terminal.h"

#define CAP_DAC_READ_SEARCH 2
#define CAP_SYS_MODULE	    16
#define CAP_SYS_PACCT	    20
#define CAP_SYS_ADMIN	    21
#define CAP_SYS_BOOT	    22
#define CAP_SYS_TIME	    25
#define CAP_SYS_TTY_CONFIG  26
#define CAP_AUDIT_CONTROL   30
#define CAP_PERFMON	    38

/* All that are looked at. */
#define CAPABILITIES                                                                               \
	(1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_SYS_MODULE | 1ull << CAP_SYS_PACCT |            \
	 1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_BOOT | 1ull << CAP_SYS_TIME |                     \
	 1ull << CAP_SYS_TTY_CONFIG | 1ull << CAP_AUDIT_CONTROL | 1ull << CAP_PERFMON)

#define NR_PROCESS_MADVISE    440
#define NR_PROCESS_MADVISE_32 NR_32(440)

#define NR_SWAPON     167
#define NR_SWAPON_32  NR_32(87)
#define NR_SWAPOFF    168
#define NR_SWAPOFF_32 NR_32(115)

/* Where they read only, they ask for nothing. */
#define NR_ADJTIMEX	      159
#define NR_ADJTIMEX_32	      NR_32(124)
#define NR_CLOCK_ADJTIME      305
#define NR_CLOCK_ADJTIME_32   NR_32(343)
#define NR_CLOCK_ADJTIME64_32 NR_32(405)
/* Of a clock that is a device, to set it; of a terminal. */
#define NR_IOCTL	      16
#define NR_IOCTL_32	      NR_32(54)
#define NR_IOCTL_X32	      514

#define NR_VHANGUP    153
#define NR_VHANGUP_32 NR_32(111)

#define NR_SETHOSTNAME	    170
#define NR_SETHOSTNAME_32   NR_32(74)
#define NR_SETDOMAINNAME    171
#define NR_SETDOMAINNAME_32 NR_32(121)

#define NR_MOUNT_SETATTR     442
#define NR_MOUNT_SETATTR_32  NR_32(442)
/* Since 6.15; without OPEN_TREE_CLONE it changes a mount where it is (7.3). */
#define NR_OPEN_TREE_ATTR    467
#define NR_OPEN_TREE_ATTR_32 NR_32(467)

/*
 * Instead of the right to inspect a task, which hook_ptrace.h answers for, CAP_SYS_ADMIN or
 * CAP_PERFMON does since 6.15 (mm_access()). It does not say which task. The files of procfs that
 * ask so are judged when they are opened; what is left is one system call, which asks for these two
 * once it was refused the right itself, and for nothing else but to poison its own memory.
 */
static __always_inline bool is_instead_of_inspecting(__u32 call)
{
	return call == NR_PROCESS_MADVISE || call == NR_PROCESS_MADVISE_32;
}

/* Not counted as a denial: the right to inspect was asked for first, judged, and told. */
static __always_inline int without_inspecting(const struct subject *subject)
{
	int refused = 0;

	if (!(flags_of_zone(subject->zone) & (ZONE_FLAG_PRIVILEGED | ZONE_FLAG_AUDIT)))
		asm volatile("%0 = %1" : "=r"(refused) : "i"(-EPERM)); /* as in answer() */
	return refused;
}

static __always_inline bool is_ioctl(__u32 call)
{
	return call == NR_IOCTL || call == NR_IOCTL_32 || call == NR_IOCTL_X32;
}

/*
 * The clock's rate, and the hardware's clock. Not what else asks for CAP_SYS_TIME: settime(2) has a
 * hook, and the offsets of a namespace of time are its own.
 */
static __always_inline bool rules_clock(__u32 call)
{
	switch (call) {
	case NR_ADJTIMEX:
	case NR_ADJTIMEX_32:
	case NR_CLOCK_ADJTIME:
	case NR_CLOCK_ADJTIME_32:
	case NR_CLOCK_ADJTIME64_32:
		return true;
	default:
		return is_ioctl(call);
	}
}

/*
 * What a terminal of one's own becomes by its line discipline: with CAP_SYS_ADMIN the port that a
 * keyboard is at (serport), whose keys are the host's. The lines of networks ask for CAP_NET_ADMIN.
 */
#define TIOCSETD 0x5423

static __always_inline bool makes_port(__u32 call)
{
	return is_ioctl(call) && second_argument() == TIOCSETD;
}

/*
 * Swap is the node's. Names and mounts are the node's in the host's namespaces of them; what is
 * mounted nowhere yet cannot be told from what is mounted there.
 */
static __always_inline bool rules_node(__u32 call)
{
	switch (call) {
	case NR_SWAPON:
	case NR_SWAPON_32:
	case NR_SWAPOFF:
	case NR_SWAPOFF_32:
		return true;
	case NR_SETHOSTNAME:
	case NR_SETHOSTNAME_32:
	case NR_SETDOMAINNAME:
	case NR_SETDOMAINNAME_32:
		return in_host_uts_namespace();
	case NR_MOUNT_SETATTR:
	case NR_MOUNT_SETATTR_32:
	case NR_OPEN_TREE_ATTR:
	case NR_OPEN_TREE_ATTR_32:
		return current_mount_namespace() == host_mount_namespace;
	default:
		return is_opened_by_handle(call) || makes_port(call);
	}
}

/* The one it is in, not the one that its children will be in. */
static __always_inline bool in_own_pid_namespace(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_pid, level);
}

/* In a user namespace of its own a capability opens what is that namespace's. */
SEC("lsm/capable")
int BPF_PROG(capable, const struct cred *cred, struct user_namespace *ns, int cap,
	     unsigned int opts, int ret)
{
	__u32 object = ZONE_HOST;
	struct subject subject;
	__u32 call;

	if (ret)
		return ret;
	if (!(CAPABILITIES >> (cap & 63) & 1))
		return 0;
	if (!current_subject(&subject) || ns->level)
		return 0;
	call = current_syscall();
	switch (cap) {
	case CAP_SYS_MODULE:
		/* delete_module(2), and autoloading a module of any name. */
	case CAP_AUDIT_CONTROL:
		/* Rules of audit, whether there is any, and a login's number once it has one. */
		break;
	case CAP_SYS_BOOT:
	case CAP_SYS_PACCT:
		/* reboot(2) ends the pid namespace, and acct(2) is about it. */
		if (in_own_pid_namespace())
			return 0;
		break;
	case CAP_SYS_TIME:
		if (!rules_clock(call))
			return 0;
		break;
	case CAP_DAC_READ_SEARCH:
		if (!is_opened_by_handle(call))
			return 0;
		break;
	case CAP_SYS_TTY_CONFIG:
		/* Whoever was started in a session is in it, whatever zone it is in since. */
		if ((call != NR_VHANGUP && call != NR_VHANGUP_32) ||
		    !zone_of_terminal(controlling_terminal(), &object))
			return 0;
		break;
	default:
		/* CAP_SYS_ADMIN and CAP_PERFMON stand before what is a zone's own as well. */
		if (is_instead_of_inspecting(call))
			return without_inspecting(&subject);
		if (!rules_node(call))
			return 0;
	}
	return judge_node(HOOK_CAPABLE, &subject, object, call, NULL);
}
