/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Whose a socket is: the claim's it is bound in, else the cgroup's that made it. */
#ifndef SYVA_SOCKET_H
#define SYVA_SOCKET_H

#include "object.h"
#include "subject.h"

/* The root of the default hierarchy, which no one may attach to a zone. */
#define ROOT_CGROUP 1

/* The cgroup whose task made the socket; 0 if the kernel does not say. */
static __always_inline __u64 cgroup_of_socket(struct sock *sock)
{
	struct cgroup *cgroup;

	if (bpf_core_field_exists(((struct sock_cgroup_data *)0)->cgroup)) {
		cgroup = BPF_CORE_READ(sock, sk_cgrp_data.cgroup);
	} else {
		struct sock___val *old = (void *)sock;
		__u64 val = BPF_CORE_READ(old, sk_cgrp_data.val);

		/* A v1 class or priority took the cgroup's place; the kernel then says the root's.
		 */
		if (val & 3)
			return ROOT_CGROUP;
		cgroup = (void *)val;
	}
	return BPF_CORE_READ(cgroup, kn, id);
}

/* The dentry a Unix socket is bound to, if it is bound to a path. */
static __always_inline struct dentry *dentry_of_socket(struct sock *sock)
{
	struct unix_sock *unix_sock = (void *)sock;

	return BPF_CORE_READ(unix_sock, path.dentry);
}

static __always_inline __u32 zone_of_socket(enum hook hook, struct sock *sock)
{
	struct dentry *dentry = dentry_of_socket(sock);
	__u64 cgroup;

	if (dentry && holds_claims(BPF_CORE_READ(dentry, d_sb, s_dev))) {
		struct found found;

		walk(dentry, false, &found);
		if (found.zone != ZONE_HOST)
			return found.zone;
	}
	cgroup = cgroup_of_socket(sock);
	if (!cgroup)
		count_hook_error(hook, SITE_SOCKET_CGROUP);
	return zone_of_cgroup(cgroup);
}

#endif
