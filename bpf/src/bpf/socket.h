/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Whose a socket is: the claim's it is bound in, else the cgroup's that made it. And which of the
 * host's sockets it is, for zones that were given one.
 */
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
		if (found.zone == ZONE_UNKNOWN)
			count_hook_unknowing(hook);
		if (found.zone != ZONE_HOST)
			return found.zone;
	}
	cgroup = cgroup_of_socket(sock);
	if (!cgroup)
		count_hook_error(hook, SITE_SOCKET_CGROUP);
	return zone_of_cgroup(cgroup);
}

/*
 * A place with room behind it, so that a name may be read to wherever the one before it ends: the
 * verifier does not know that less room is left there. The space behind is never looked at.
 */
struct roomy_place {
	struct host_socket socket;
	char behind[SOCKET_PLACE_BYTES];
};

/*
 * Writes the names from `dentry` to its file system's root, each with its zero byte. They say where
 * a socket is whichever path it was bound or reached by, and stay what they are while services make
 * the socket, and the directories it is in, anew. False if they are too many or too long, or do not
 * end at the root.
 */
static __always_inline bool place_of_dentry(struct dentry *dentry, struct roomy_place *at)
{
	__u32 used = 0;

	for (int level = 0; level <= SOCKET_PLACE_LEVELS; level++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		long got;

		if (parent == dentry) {
			at->socket.length = used;
			return dentry == BPF_CORE_READ(dentry, d_sb, s_root);
		}
		if (used >= SOCKET_PLACE_BYTES)
			return false;
		got = bpf_probe_read_kernel_str(at->socket.place + used, SOCKET_PLACE_BYTES,
						BPF_CORE_READ(dentry, d_name.name));
		if (got <= 0 || got > SOCKET_PLACE_BYTES) {
			count_error(SITE_NAME);
			return false;
		}
		used += got;
		if (used > SOCKET_PLACE_BYTES)
			return false;
		dentry = parent;
	}
	return false;
}

/* The bytes before the name in a struct sockaddr_un. */
#define SUN_FAMILY_BYTES 2

/* Writes an abstract name. False for a socket without a name, which cannot be given. */
static __always_inline bool abstract_name(struct sock *sock, struct host_socket *at)
{
	struct unix_sock *unix_sock = (void *)sock;
	struct unix_address *addr = BPF_CORE_READ(unix_sock, addr);
	__u64 length;

	if (!addr)
		return false;
	/* Without the zero byte it begins with. */
	length = (__u32)BPF_CORE_READ(addr, len) - SUN_FAMILY_BYTES - 1;
	/* What is compared below is to be what is used: clang else uses it before it is widened. */
	asm volatile("" : "+r"(length));
	if (length == 0 || length > SOCKET_PLACE_BYTES)
		return false;
	if (bpf_core_read(at->place, length, &addr->name[0].sun_path[1])) {
		count_error(SITE_NAME);
		return false;
	}
	at->length = length;
	return true;
}

/* Whether the zone was given this socket of the host. */
static __always_inline bool host_socket_given(__u32 zone, struct sock *sock)
{
	struct dentry *dentry = dentry_of_socket(sock);
	struct roomy_place at = {.socket.zone = zone};
	const volatile __u64 *row;
	const __u64 *key = (void *)&at.socket;

	if (dentry) {
		at.socket.dev = BPF_CORE_READ(dentry, d_sb, s_dev);
		if (!place_of_dentry(dentry, &at))
			return false;
	} else if (!abstract_name(sock, &at.socket)) {
		return false;
	}
	row = bpf_map_lookup_elem(&host_sockets, &at.socket);
	if (!row)
		return false;
	/* The element may have been given to another key meanwhile: then look no further. */
	for (int word = 0; word < sizeof(at.socket) / sizeof(*row); word++) {
		if (row[word] != key[word])
			return false;
	}
	return true;
}

#endif
