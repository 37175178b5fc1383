/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Socket hooks. */
#include "emit.h"
#include "socket.h"

static __always_inline void describe_socket(struct event *event, struct sock *sock)
{
	struct unix_sock *unix_sock = (void *)sock;
	struct dentry *dentry = dentry_of_socket(sock);
	struct unix_address *addr;

	addr = BPF_CORE_READ(unix_sock, addr);
	if (dentry) {
		char first = 0;

		describe_dentry(event, dentry);
		/* Of a socket outside every claim the path it was bound by says more than its last
		 * name; a relative one does not. */
		if (event->claim.ino || !addr)
			return;
		if (bpf_core_read(&first, sizeof(first), &addr->name[0].sun_path[0]) ||
		    first != '/')
			return;
		if (bpf_core_read_str(event->name, sizeof(event->name), &addr->name[0].sun_path) <
		    0)
			count_error(SITE_NAME);
		return;
	}
	/* An abstract name begins with a zero byte, by custom shown as @. An unnamed socket has
	 * none. */
	if (!addr)
		return;
	event->name[0] = '@';
	if (bpf_core_read_str(event->name + 1, sizeof(event->name) - 1,
			      &addr->name[0].sun_path[1]) < 0)
		count_error(SITE_NAME);
}

/*
 * Judges the use of a socket, and tells of a refusal; the hook's return value. Which of the host's
 * sockets it is, is asked only where the answer would be no without it.
 */
static __always_inline int use_socket(enum hook hook, const struct subject *subject,
				      struct sock *other)
{
	__u32 object = zone_of_socket(hook, other);
	enum verdict verdict = VERDICT_ALLOW;
	struct event *event;

	if (!settled(OBJECT_SOCKET, OPERATION_USE, subject->zone, object)) {
		struct question question = {
			.kind = OBJECT_SOCKET,
			.operation = OPERATION_USE,
			.subject = subject->zone,
			.flags = flags_of_zone(subject->zone),
			.object = object,
			.pair = pair_allowed(subject->zone, object),
		};

		verdict = decide(&question);
		if (verdict != VERDICT_ALLOW && object == ZONE_HOST) {
			question.given = host_socket_given(subject->zone, other);
			verdict = decide(&question);
		}
	}
	if (counted(hook, verdict, subject, object) == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, object);
	if (event) {
		describe_socket(event, other);
		event_end(event);
	}
	return answer(verdict);
}

#define PF_DUMPCORE 0x200

/* The kernel itself sends the memory of a process that dies where core_pattern says, which since
 * 6.16 can be a socket of the host's; the process makes no call any more. */
static __always_inline bool is_dumped(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_DUMPCORE;
}

/* connect(2) on a stream or seqpacket socket; `other` is the listening one. */
SEC("lsm/unix_stream_connect")
int BPF_PROG(unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk,
	     int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject) || is_dumped())
		return 0;
	return use_socket(HOOK_UNIX_STREAM_CONNECT, &subject, other);
}

/*
 * connect(2) on a datagram socket, and every datagram that is sent, along a connection or not; also
 * between the ends of a socketpair(2), which are its maker's. `other` is the receiver; its lock is
 * held, so that it has a struct sock.
 */
SEC("lsm/unix_may_send")
int BPF_PROG(unix_may_send, struct socket *sock, struct socket *other, int ret)
{
	struct subject subject;
	struct sock *sk;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	sk = other->sk;
	/* 6.12 wants it tested. */
	if (!sk)
		return 0;
	return use_socket(HOOK_UNIX_MAY_SEND, &subject, sk);
}
