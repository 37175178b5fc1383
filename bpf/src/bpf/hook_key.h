/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Keys: of the zone that made them, in the table of System V objects. Keys of which nothing is
 * known (the host's, a runtime's, older ones) are free, as far as their own permissions go: every
 * container begins with some. So are the keyrings that a user has one of, which are shared by all
 * that run as that user in a user namespace, whichever zone's task was the first to need them.
 */
#include "emit.h"
#include "ipc.h"
#include "syscall.h"

/* Flags of key_alloc() in linux/key.h: outside any quota (a user's persistent keyring, the kernel's
 * own), and a user's keyring. */
#define KEY_ALLOC_NOT_IN_QUOTA 0x02
#define KEY_ALLOC_UID_KEYRING  0x10

/* The low bit of a key's reference says whether it is possessed. */
#define KEY_POSSESSED 1ull

/* The kernel uses credentials of its own while it does something for all callers, such as looking
 * up a name for a network file system; what it makes then is nobody's. No system call makes a key
 * with others than the task's own. */
static __always_inline bool acts_for_itself(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, cred) == BPF_CORE_READ(task, real_cred);
}

SEC("lsm/key_alloc")
int BPF_PROG(key_alloc, struct key *key, const struct cred *cred, unsigned long flags, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	if (flags & (KEY_ALLOC_NOT_IN_QUOTA | KEY_ALLOC_UID_KEYRING) || !acts_for_itself())
		return 0;
	return record_ipc(ctx[0], IPC_KEY, 0);
}

/* The hook key_free exists up to 6.9 only; what calls it exists everywhere. */
SEC("fentry/security_key_free")
int security_key_free_entry(__u64 *ctx)
{
	return forget_ipc(ctx[0]);
}

#define NR_KEYCTL		 250
#define NR_KEYCTL_32		 NR_32(288)
#define KEYCTL_SESSION_TO_PARENT 18

/*
 * keyctl(2) has the parent's session keyring replaced by the caller's: whatever the parent keeps
 * there from then on is the caller's to read. No hook is asked about the parent, but this one is
 * about the keyring.
 */
static __always_inline bool gives_to_parent(void)
{
	__u32 call = current_syscall();

	return (call == NR_KEYCTL || call == NR_KEYCTL_32) &&
	       first_argument() == KEYCTL_SESSION_TO_PARENT;
}

/* Judges what is done to the parent, and tells of a refusal; the hook's return value. */
static __always_inline int judge_parent(const struct subject *subject)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *parent = BPF_CORE_READ(task, real_parent);
	__u32 object = zone_of_cgroup(BPF_CORE_READ(parent, cgroups, dfl_cgrp, kn, id));
	enum verdict verdict =
		judge(HOOK_KEY_PERMISSION, OBJECT_TASK, OPERATION_USE, subject, object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_KEY_PERMISSION, verdict, subject, object);
	if (event) {
		event->kind = OBJECT_TASK;
		event->object_pid = BPF_CORE_READ(parent, tgid);
		event_end(event);
	}
	return answer(verdict);
}

SEC("lsm/key_permission")
int key_permission(__u64 *ctx)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	struct key *key;
	__u64 address;
	__u32 object;
	int ret = (int)ctx[3];

	if (ret)
		return ret;
	/* With whichever credentials: io_uring uses those that a task has kept. */
	if (!current_subject(&subject))
		return 0;
	if (gives_to_parent()) {
		int refused = judge_parent(&subject);

		if (refused)
			return refused;
	}
	address = argument(HOOK_KEY_PERMISSION, SITE_IPC_OBJECT, ctx, 0) & ~KEY_POSSESSED;
	object = zone_of_key(address);
	if (object == ZONE_HOST)
		return 0;
	verdict = judge(HOOK_KEY_PERMISSION, OBJECT_IPC, OPERATION_USE, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_KEY_PERMISSION, verdict, &subject, object);
	if (event) {
		key = (void *)address;
		event->inode = (__u32)BPF_CORE_READ(key, serial);
		__builtin_memcpy(event->name, "key", 4);
		event_end(event);
	}
	return answer(verdict);
}
