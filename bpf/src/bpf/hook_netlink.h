/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Events of devices by netlink. What is sent to a group goes to everybody who listens in the
 * network namespace, and is taken for udev's if root sent it: systemd starts the units that it
 * names. What is sent to the kernel it sends on as its own (since 4.18), and udev loads the modules
 * that it names. All else of netlink is the network's, and so the namespace's.
 */
#include "namespace.h"

#define NETLINK_KOBJECT_UEVENT 15

SEC("lsm/netlink_send")
int BPF_PROG(netlink_send, struct sock *sk, struct sk_buff *skb, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (sk->sk_protocol != NETLINK_KOBJECT_UEVENT || !current_subject(&subject) ||
	    !in_host_network_namespace(sk))
		return 0;
	return judge_node(HOOK_NETLINK_SEND, &subject, ZONE_HOST, 0, NULL);
}
