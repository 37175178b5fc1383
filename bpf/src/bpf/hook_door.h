/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The doors through which root in a container becomes root on the host, where they are no files. A
 * zone does not open them; a pair with the host, whom they belong to, does.
 */
#include "mounted.h"
#include "node.h"

/* Counts the answer about the node, and tells of a refusal; the hook's return value. */
static __always_inline int judge_node(enum hook hook, const struct subject *subject, __u32 object,
				      __u32 detail, const char *name)
{
	enum verdict verdict = judge(hook, OBJECT_NODE, OPERATION_USE, subject, object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, object);
	if (event) {
		event->detail = detail;
		if (name && bpf_probe_read_kernel_str(event->name, sizeof(event->name), name) < 0)
			count_error(SITE_NAME);
		event_end(event);
	}
	return answer(verdict);
}

/* Of enum kernel_load_data_id and kernel_read_file_id, which agree. Firmware is loaded by drivers,
 * in the name of whoever uses the device. */
#define LOADS_FIRMWARE 1

static __always_inline int loads(enum hook hook, __u32 what, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (what <= LOADS_FIRMWARE || !current_subject(&subject))
		return 0;
	return judge_node(hook, &subject, ZONE_HOST, what, NULL);
}

/* init_module(2), kexec_load(2). What the kernel itself wants loaded, a task of the host loads. */
SEC("lsm/kernel_load_data")
int BPF_PROG(kernel_load_data, int what, bool contents, int ret)
{
	return loads(HOOK_KERNEL_LOAD_DATA, what, ret);
}

/* finit_module(2), kexec_file_load(2). */
SEC("lsm/kernel_read_file")
int BPF_PROG(kernel_read_file, struct file *file, int what, bool contents, int ret)
{
	return loads(HOOK_KERNEL_READ_FILE, what, ret);
}

/*
 * What the kernel locks down against its own root: raw memory, I/O ports, model-specific registers,
 * PCI registers, kexec, kprobes, reading memory by BPF. Asked where it is about to be done, and
 * seldom, so that one hook keeps dozens of doors. Not meant: reading whether the machine could
 * hibernate, and whether a network namespace's own keys are shown.
 */
SEC("lsm/locked_down")
int BPF_PROG(locked_down, int what, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	if (what == bpf_core_enum_value(enum lockdown_reason___asked, LOCKDOWN_HIBERNATION___asked))
		return 0;
	if (bpf_core_enum_value_exists(enum lockdown_reason___asked,
				       LOCKDOWN_XFRM_SECRET___asked) &&
	    what == bpf_core_enum_value(enum lockdown_reason___asked, LOCKDOWN_XFRM_SECRET___asked))
		return 0;
	return judge_node(HOOK_LOCKED_DOWN, &subject, ZONE_HOST, what, NULL);
}

/*
 * A file system on a disk is mounted, by mount(2) or fsconfig(2): the last step of both. It shows
 * files past every claim, and the kernel reads it as what it says. So is a hierarchy of cgroups of
 * version 1, which takes the controllers it has from the host's; and eCryptfs, whose own thread,
 * which is in no zone, opens what the caller may not.
 */
SEC("lsm/sb_set_mnt_opts")
int BPF_PROG(sb_set_mnt_opts, struct super_block *sb, void *opts, unsigned long kern_flags,
	     unsigned long *set_kern_flags, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!(sb->s_type->fs_flags & FS_REQUIRES_DEV) && sb->s_magic != CGROUP_MAGIC &&
	    sb->s_magic != ECRYPTFS_MAGIC)
		return 0;
	if (!current_subject(&subject))
		return 0;
	return judge_node(HOOK_SB_SET_MNT_OPTS, &subject, ZONE_HOST, 0, sb->s_id);
}

/* Of a processor, of the kernel, of a tracepoint; opening as such (0) is asked of every event. */
#define PERF_SECURITY_OPEN 0

/* Until 6.12 the attributes come first. */
const volatile __u32 perf_has_attributes = 0;

/*
 * perf_event_open(2). A task's own work in user space is its own, and another task's is ptrace's
 * matter; what is seen of a processor or of the kernel is everyone's.
 */
SEC("lsm/perf_event_open")
int perf_event_open(__u64 *ctx)
{
	struct subject subject;
	__u64 type, ret;

	if (perf_has_attributes) {
		type = ctx[1];
		ret = ctx[2];
		asm volatile("" : "+r"(type), "+r"(ret));
	} else {
		type = ctx[0];
		ret = ctx[1];
		asm volatile("" : "+r"(type), "+r"(ret));
	}
	if ((int)ret)
		return ret;
	if ((int)type == PERF_SECURITY_OPEN || !current_subject(&subject))
		return 0;
	return judge_node(HOOK_PERF_EVENT_OPEN, &subject, ZONE_HOST, type, NULL);
}

/*
 * Of another task: with the capability for perf its reader is not asked for ptrace's right (since
 * 5.8), so that it is asked for here.
 */
SEC("lsm/perf_event_alloc")
int BPF_PROG(perf_event_alloc, struct perf_event *event, int ret)
{
	struct task_struct *target;
	enum verdict verdict;
	struct subject subject;
	struct event *told;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	target = BPF_CORE_READ(event, hw.target);
	if (!target)
		return 0;
	object = zone_of_cgroup(BPF_CORE_READ(target, cgroups, dfl_cgrp, kn, id));
	verdict = judge(HOOK_PERF_EVENT_ALLOC, OBJECT_TASK, OPERATION_INSPECT, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	told = event_begin(HOOK_PERF_EVENT_ALLOC, verdict, &subject, object);
	if (told) {
		told->operation = OPERATION_INSPECT;
		told->object_pid = BPF_CORE_READ(target, tgid);
		event_end(told);
	}
	return answer(verdict);
}

/* clock_settime(2), settimeofday(2); the kernel has seen to it that the caller has the capability.
 */
SEC("lsm/settime")
int BPF_PROG(settime, const void *ts, const void *tz, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	return judge_node(HOOK_SETTIME, &subject, ZONE_HOST, 0, NULL);
}

/* Commands of quotactl(2) that change nothing: include/uapi/linux/quota.h and dqblk_xfs.h. */
#define Q_SYNC		0x800001
#define Q_GETFMT	0x800004
#define Q_GETINFO	0x800005
#define Q_GETQUOTA	0x800007
#define Q_GETNEXTQUOTA	0x800009
#define Q_XGETQUOTA	0x5803
#define Q_XGETQSTAT	0x5805
#define Q_XQUOTASYNC	0x5807
#define Q_XGETQSTATV	0x5808
#define Q_XGETNEXTQUOTA 0x5809

/*
 * quotactl(2), quotactl_fd(2); the kernel has seen to it that the caller has the capability. Quotas
 * are for all who have the file system mounted. Reading them is free, as of the node's files.
 */
SEC("lsm/quotactl")
int BPF_PROG(quotactl, int cmd, int type, int id, struct super_block *sb, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	switch (cmd) {
	case Q_SYNC:
	case Q_GETFMT:
	case Q_GETINFO:
	case Q_GETQUOTA:
	case Q_GETNEXTQUOTA:
	case Q_XGETQUOTA:
	case Q_XGETQSTAT:
	case Q_XQUOTASYNC:
	case Q_XGETQSTATV:
	case Q_XGETNEXTQUOTA:
		return 0;
	default:
		return judge_node(HOOK_QUOTACTL, &subject, ZONE_HOST, cmd, sb->s_id);
	}
}

/* syslog(2): from here to there it clears the kernel's log or silences the console. */
#define SYSLOG_ACTION_READ_CLEAR    4
#define SYSLOG_ACTION_CONSOLE_LEVEL 8

SEC("lsm/syslog")
int BPF_PROG(syslog, int type, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (type < SYSLOG_ACTION_READ_CLEAR || type > SYSLOG_ACTION_CONSOLE_LEVEL ||
	    !current_subject(&subject))
		return 0;
	return judge_node(HOOK_SYSLOG, &subject, ZONE_HOST, type, NULL);
}
