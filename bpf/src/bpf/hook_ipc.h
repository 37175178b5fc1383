/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * System V shared memory, message queues and semaphores: of the zone that made them. The kernel
 * keeps no maker of an object but a user's id, so it is written down when one is made, by the
 * object's address, and removed before the address can be another's.
 */
#include "emit.h"
#include "ipc.h"

static __always_inline void describe_ipc(struct event *event, __u64 object)
{
	struct kern_ipc_perm *ipc = (void *)object;
	struct ipc_row *row = bpf_map_lookup_elem(&ipc_objects, &object);
	__u32 kind = row ? row->kind : ~0u;

	event->inode = (__u32)BPF_CORE_READ(ipc, id);
	/* As ipcs(1) and ipcrm(1) call them. */
	if (kind == IPC_SHM)
		__builtin_memcpy(event->name, "shm", 4);
	else if (kind == IPC_MSG)
		__builtin_memcpy(event->name, "msg", 4);
	else if (kind == IPC_SEM)
		__builtin_memcpy(event->name, "sem", 4);
}

static __always_inline int use_ipc(enum hook hook, __u64 *ctx, int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u64 ipc;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	/* There is none where the namespace is asked for its limits and sums. */
	ipc = argument(hook, SITE_IPC_OBJECT, ctx, 0);
	if (!ipc)
		return 0;
	object = zone_of_ipc(ipc, &subject);
	verdict = judge(hook, OBJECT_IPC, OPERATION_USE, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, &subject, object);
	if (event) {
		describe_ipc(event, ipc);
		event_end(event);
	}
	return answer(verdict);
}

/* `returned` is the hook's return value so far, which follows its arguments. */
#define USES_IPC(name, HOOK, returned)                                                             \
	SEC("lsm/" #name)                                                                          \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		return use_ipc(HOOK, ctx, returned);                                               \
	}

/* Getting an object by its key, attaching, sending, receiving, semaphore operations, and what reads
 * an object's state. */
USES_IPC(ipc_permission, HOOK_IPC_PERMISSION, ctx[2])
/* IPC_RMID, IPC_SET, SHM_LOCK, and the *_STAT_ANY commands: none of them asks ipc_permission. */
USES_IPC(shm_shmctl, HOOK_SHM_SHMCTL, ctx[2])
USES_IPC(msg_queue_msgctl, HOOK_MSG_QUEUE_MSGCTL, ctx[2])
USES_IPC(sem_semctl, HOOK_SEM_SEMCTL, ctx[2])

#define MAKES_IPC(name, kind)                                                                      \
	SEC("lsm/" #name "_alloc_security")                                                        \
	int name##_alloc_security(__u64 *ctx)                                                      \
	{                                                                                          \
		return record_ipc(ctx[0], kind, ctx[1]);                                           \
	}                                                                                          \
	SEC("lsm/" #name "_free_security")                                                         \
	int name##_free_security(__u64 *ctx)                                                       \
	{                                                                                          \
		return forget_ipc(ctx[0]);                                                         \
	}

MAKES_IPC(shm, IPC_SHM)
MAKES_IPC(msg_queue, IPC_MSG)
MAKES_IPC(sem, IPC_SEM)
