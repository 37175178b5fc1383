/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Task hooks: signals, and what else is done to another task by its number. */
#include "emit.h"

/* Judges what is done to a task, and tells of a refusal; the hook's return value. */
static __always_inline int use_task(enum hook hook, const struct subject *subject,
				    struct task_struct *target, __u32 object, int sig)
{
	enum verdict verdict = judge(hook, OBJECT_TASK, OPERATION_USE, subject, object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, object);
	if (event) {
		event->object_pid = target->tgid;
		event->signal = sig;
		event_end(event);
	}
	return answer(verdict);
}

/* False if the kernel does not say, which is counted. */
static __always_inline bool zone_of_task(enum hook hook, struct task_struct *task, __u32 *zone)
{
	__u64 cgroup = cgroup_of_task(task);

	if (!cgroup) {
		count_hook_error(hook, SITE_TARGET_CGROUP);
		return false;
	}
	*zone = zone_of_cgroup(cgroup);
	return true;
}

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
	struct subject subject;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject) || sent_by_another(ctx))
		return 0;
	if (!zone_of_task(HOOK_TASK_KILL, target, &object))
		return 0;
	return use_task(HOOK_TASK_KILL, &subject, target, object, sig);
}

/*
 * A task that is being made counts as one of the root's cgroup until it is in its own: `struct
 * css_set` is set after the hooks are asked whether it may be there (cpuset_can_fork() since 6.6,
 * of a clone into another cgroup). It still has its maker's start time, which comes last of all.
 */
static __always_inline bool is_being_made(struct task_struct *task)
{
	struct task_struct *current = (void *)bpf_get_current_task();

	return task->pid != BPF_CORE_READ(current, pid) &&
	       task->start_time == BPF_CORE_READ(current, start_time);
}

static __always_inline int changes_task(enum hook hook, struct task_struct *target, int ret)
{
	struct subject subject;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject) || !zone_of_task(hook, target, &object))
		return 0;
	if (object == ZONE_HOST && is_being_made(target))
		return 0;
	return use_task(hook, &subject, target, object, 0);
}

/* `returned` is the hook's return value so far, which follows its arguments. */
#define CHANGES_TASK(name, HOOK, returned)                                                         \
	SEC("lsm/" #name)                                                                          \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		return changes_task(HOOK, (void *)ctx[0], returned);                               \
	}

/* setpriority(2). */
CHANGES_TASK(task_setnice, HOOK_TASK_SETNICE, ctx[2])
/* ioprio_set(2). */
CHANGES_TASK(task_setioprio, HOOK_TASK_SETIOPRIO, ctx[2])
/*
 * sched_setscheduler(2) and its kin, sched_setaffinity(2), /proc/PID/timerslack_ns. Also asked when
 * a task is moved to a cgroup with other processors: of whoever moves it.
 */
CHANGES_TASK(task_setscheduler, HOOK_TASK_SETSCHEDULER, ctx[1])
/* prlimit(2) with new limits. The hook task_prlimit is asked too, but of credentials only, which
 * say nothing of a cgroup; reading limits is free, as /proc/PID/limits is. */
CHANGES_TASK(task_setrlimit, HOOK_TASK_SETRLIMIT, ctx[3])

static __always_inline __u64 file_of_owner(struct fown_struct *owner)
{
	struct fown_struct___apart *apart = (void *)owner;

	if (bpf_core_field_exists(apart->file))
		return (__u64)BPF_CORE_READ(apart, file);
	return (__u64)owner - bpf_core_field_offset(struct file___owned, f_owner);
}

/*
 * F_SETOWN, F_SETOWN_EX, FIOSETOWN, and what the kernel does for a lease or for F_NOTIFY. The
 * target is judged when a signal is sent: whom a number means then is not known now.
 */
SEC("lsm/file_set_fowner")
int BPF_PROG(file_set_fowner, struct file *file)
{
	struct signaller_row row = {.file = (__u64)file};
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct subject subject;

	current_subject(&subject);
	row.cgroup = subject.cgroup;
	row.zone = subject.zone;
	row.pid = pid_tgid >> 32;
	row.tid = pid_tgid;
	if (bpf_get_current_comm(row.comm, sizeof(row.comm)))
		count_error(SITE_COMM);
	if (bpf_map_update_elem(&signallers, &row.file, &row, 0))
		count_error(SITE_SIGNALLER);
	return 0;
}

/* Who has a file's signals sent; current if that was chosen before the programs were attached. */
static __always_inline bool signaller(__u64 file, struct subject *subject,
				      struct signaller_row *copy)
{
	volatile struct signaller_row *row = bpf_map_lookup_elem(&signallers, &file);

	if (!row)
		return current_subject(subject);
	subject->cgroup = row->cgroup;
	subject->zone = row->zone;
	copy->pid = row->pid;
	copy->tid = row->tid;
	for (int i = 0; i < COMM_BYTES; i++)
		copy->comm[i] = row->comm[i];
	/* Read last: the element may have been given to another file meanwhile. */
	copy->file = row->file;
	if (copy->file != file)
		return current_subject(subject);
	return subject->zone != ZONE_HOST;
}

/* SIGIO and what F_SETSIG chose instead, SIGURG. Current is whoever did something to the file. */
SEC("lsm/file_send_sigiotask")
int BPF_PROG(file_send_sigiotask, struct task_struct *target, struct fown_struct *owner, int sig,
	     int ret)
{
	struct signaller_row row = {};
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u32 object;

	if (ret)
		return ret;
	if (!signaller(file_of_owner(owner), &subject, &row))
		return 0;
	if (!zone_of_task(HOOK_FILE_SEND_SIGIOTASK, target, &object))
		return 0;
	verdict = judge(HOOK_FILE_SEND_SIGIOTASK, OBJECT_TASK, OPERATION_USE, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_FILE_SEND_SIGIOTASK, verdict, &subject, object);
	if (event) {
		if (row.file) {
			event->pid = row.pid;
			event->tid = row.tid;
			__builtin_memcpy(event->comm, row.comm, sizeof(event->comm));
		}
		event->object_pid = target->tgid;
		event->signal = sig ? sig : SIGIO;
		event_end(event);
	}
	return answer(verdict);
}
