/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Devices by netlink, and events of them. What is sent to a group goes to everybody who listens in
 * the network namespace, and is taken for udev's if root sent it: systemd starts the units that it
 * names. What is sent to the kernel it sends on as its own (since 4.18), and udev loads the modules
 * that it names. iSCSI's makes and takes away disks. Nearly all else of netlink is the network's,
 * and so the namespace's; of generic netlink's families, whose numbers are handed out, those of
 * disks are not told from the others.
 */
#include "namespace.h"

#define NETLINK_ISCSI	       8
#define NETLINK_KOBJECT_UEVENT 15
#define NETLINK_SCSITRANSPORT  18

static __always_inline bool concerns_node(struct sock *sk)
{
	switch (sk->sk_protocol) {
	case NETLINK_ISCSI:
	case NETLINK_SCSITRANSPORT:
		return true;
	case NETLINK_KOBJECT_UEVENT:
		return in_host_network_namespace(sk);
	default:
		return false;
	}
}

SEC("lsm/netlink_send")
int BPF_PROG(netlink_send, struct sock *sk, struct sk_buff *skb, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!concerns_node(sk) || !current_subject(&subject))
		return 0;
	return judge_node(HOOK_NETLINK_SEND, &subject, ZONE_HOST, sk->sk_protocol, NULL);
}
