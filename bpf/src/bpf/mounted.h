/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which mounts the host sees, and which file systems it uses. */
#ifndef SYVA_MOUNTED_H
#define SYVA_MOUNTED_H

#include "count.h"
#include "namespace.h"

/* Mounts that share. More, which a zone can bring about, are taken for the host's. */
#define PEERS 64

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* What is detached, or the kernel's own, is in no namespace, or none that has this number. */
static __always_inline bool is_hosts(struct mount *mount)
{
	return BPF_CORE_READ(mount, mnt_ns, ns.inum) == host_mount_namespace;
}

/* Whether the host sees what is mounted on this, or on what shares it. */
static __always_inline bool is_seen_by_host(struct mount *mount)
{
	struct mount *peer = mount;

	for (int count = 0; count < PEERS; count++) {
		struct list_head *next;

		if (is_hosts(peer))
			return true;
		next = BPF_CORE_READ(peer, mnt_share.next);
		if (!next)
			return false;
		peer = (void *)next - bpf_core_field_offset(struct mount, mnt_share);
		if (peer == mount)
			return false;
	}
	count_error(SITE_MOUNT_PEERS);
	return true;
}

/* Mounts of a file system. More, which a zone can bring about, are taken for the host's; so is what
 * is not found to its end, since others mount and unmount meanwhile. */
#define MOUNTS 64

/* In 7.3. Two loops rather than one: what is found by CO-RE must not be moved out of the condition
 * that says which kernel this is, and out of a loop it is. */
static __always_inline bool is_chained_by_host(struct super_block___chaining *sb)
{
	struct mount *mount = BPF_CORE_READ(sb, s_mounts);

	for (int count = 0; count < MOUNTS; count++) {
		if (!mount)
			return false;
		if (is_hosts(mount))
			return true;
		mount = BPF_CORE_READ((struct mount___chained *)mount, mnt_next_for_sb);
	}
	return true;
}

/* In 6.12. */
static __always_inline bool is_listed_by_host(struct super_block___listing *sb)
{
	struct list_head *head = (void *)sb + bpf_core_field_offset(typeof(*sb), s_mounts);
	struct list_head *at = head;

	for (int count = 0; count < MOUNTS; count++) {
		at = BPF_CORE_READ(at, next);
		if (at == head)
			return false;
		if (is_hosts((void *)at -
			     bpf_core_field_offset(struct mount___listed, mnt_instance)))
			return true;
	}
	return true;
}

#define FS_REQUIRES_DEV 1

/*
 * One on a disk is the host's, whoever has it, and so is what the host has mounted as well: its
 * /run is in every copy of its namespace. The rest is a zone's own, such as its /tmp.
 */
static __always_inline bool is_used_by_host(struct super_block *sb)
{
	struct mount___chained *newer = NULL;

	if (BPF_CORE_READ(sb, s_type, fs_flags) & FS_REQUIRES_DEV)
		return true;
	if (bpf_core_field_exists(newer->mnt_next_for_sb))
		return is_chained_by_host((void *)sb);
	return is_listed_by_host((void *)sb);
}

#endif
