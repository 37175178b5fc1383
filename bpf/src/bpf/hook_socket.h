/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Socket hooks. */
#include "emit.h"
#include "socket.h"

static __always_inline void describe_socket(struct event *event, struct sock *sock)
{
	struct unix_sock *unix_sock = (void *)sock;
	struct dentry *dentry = dentry_of_socket(sock);
	struct unix_address *addr;

	if (dentry) {
		describe_dentry(event, dentry);
		return;
	}
	/* An abstract name begins with a zero byte, by custom shown as @. An unnamed socket has
	 * none. */
	addr = BPF_CORE_READ(unix_sock, addr);
	if (!addr)
		return;
	event->name[0] = '@';
	if (bpf_core_read_str(event->name + 1, sizeof(event->name) - 1,
			      &addr->name[0].sun_path[1]) < 0)
		count_error(SITE_NAME);
}

/* connect(2) on a stream or seqpacket socket; `other` is the listening one. */
SEC("lsm/unix_stream_connect")
int BPF_PROG(unix_stream_connect, struct sock *sock, struct sock *other, struct sock *newsk,
	     int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	object = zone_of_socket(HOOK_UNIX_STREAM_CONNECT, other);
	verdict = judge(HOOK_UNIX_STREAM_CONNECT, HOOK_UNIX_STREAM_CONNECT_KIND, OPERATION_USE,
			&subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_UNIX_STREAM_CONNECT, verdict, &subject, object);
	if (event) {
		describe_socket(event, other);
		event_end(event);
	}
	return answer(verdict);
}
