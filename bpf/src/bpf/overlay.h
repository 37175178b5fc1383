/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Overlays that the host made. Opening a file of an overlay makes the kernel open the files behind
 * it, in the caller's name. Those behind a container's root are shared by containers of all zones,
 * and the host has chosen them; so they are judged at the overlay alone. Those behind an overlay of
 * a zone's own making are judged at both, or anyone could mount another zone's files into sight.
 *
 * Who made an overlay is learned when it is made: its superblock, and the private mount it keeps of
 * every layer. Only the host's are recorded, and what is made at the same address later is looked
 * at again: a record that is missing costs a denial, never a hole.
 */
#ifndef SYVA_OVERLAY_H
#define SYVA_OVERLAY_H

#include "namespace.h"
#include "subject.h"
#include <bpf/bpf_tracing.h>

#define OVERLAYFS_MAGIC 0x794c7630
#define MAX_ERRNO	4095

/* The namespace of mounts that are the kernel's own, and no path leads to. */
#define MNT_NS_INTERNAL ((__u64)-EINVAL)

/*
 * The maker is the host if it is in no zone, and not in a container either: a container's task may
 * be attached only after it has mounted something. A container has a mount namespace of its own.
 */
static __always_inline bool current_is_host(void)
{
	struct subject subject;

	return !current_subject(&subject) && host_mount_namespace &&
	       current_mount_namespace() == host_mount_namespace;
}

/* Records what was made, or forgets what was at that address before. */
static __always_inline void record_maker(__u64 object, struct dentry *root)
{
	struct maker_row row = {
		.object = object,
		.root = (__u64)root,
	};

	if (!current_is_host()) {
		bpf_map_delete_elem(&host_overlays, &object);
		return;
	}
	row.cgroup = current_cgroup();
	if (bpf_map_update_elem(&host_overlays, &object, &row, 0))
		count_error(SITE_OVERLAY_MAKER);
}

/* Whether the host made it, and its cgroup has not been put into a zone since. */
static __always_inline bool made_by_host(__u64 object, struct dentry *root)
{
	volatile struct maker_row *row = bpf_map_lookup_elem(&host_overlays, &object);
	__u64 cgroup;

	if (!row || row->root != (__u64)root)
		return false;
	cgroup = row->cgroup;
	/* Read last: the element may have been given to another object meanwhile. */
	return row->object == object && zone_of_cgroup(cgroup) == ZONE_HOST;
}

static __always_inline bool superblock_made_by_host(struct super_block *sb)
{
	return made_by_host((__u64)sb, BPF_CORE_READ(sb, s_root));
}

static __always_inline bool is_overlay(struct super_block *sb)
{
	return BPF_CORE_READ(sb, s_magic) == OVERLAYFS_MAGIC;
}

static __always_inline bool mount_made_by_host(struct vfsmount *vfsmount)
{
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);

	return (__u64)BPF_CORE_READ(mount, mnt_ns) == MNT_NS_INTERNAL &&
	       made_by_host((__u64)vfsmount, BPF_CORE_READ(vfsmount, mnt_root));
}

/*
 * What a file behind an overlay is judged as, given its own label. Since 6.8 it is opened at the
 * layer's private mount; before, a regular file is opened under the overlay's path, and only
 * directories, and what is copied up, at that mount.
 */
static __always_inline __u32 label_behind_overlay(struct file *file, __u32 label, __u32 subject)
{
	struct dentry *dentry = file->f_path.dentry;
	struct inode *inode = file->f_inode;

	if (dentry->d_inode == inode) {
		if (label != ZONE_HOST && label != subject &&
		    mount_made_by_host(BPF_CORE_READ(file, f_path.mnt)))
			return ZONE_HOST;
		return label;
	}
	if (!superblock_made_by_host(BPF_CORE_READ(dentry, d_sb)))
		return label;
	/* Overlay over overlay: what is behind the lower one will come under the upper one's path,
	 * too. If a zone made the lower one, this is the last time that it is seen. */
	if (is_overlay(inode->i_sb) && !superblock_made_by_host(inode->i_sb))
		return ZONE_UNKNOWN;
	return ZONE_HOST;
}

/* The private copy of a mount that an overlay keeps of each layer. */
SEC("fexit/clone_private_mount")
int clone_private_mount_exit(__u64 *ctx)
{
	__u64 made = 0;

	/* As memory: the verifier would take it for a pointer that is no error. */
	if (bpf_probe_read_kernel(&made, sizeof(made), &ctx[1])) {
		count_error(SITE_OVERLAY_MAKER);
		return 0;
	}
	if (made && made < (__u64)-MAX_ERRNO)
		record_maker(made, BPF_CORE_READ((struct vfsmount *)made, mnt_root));
	return 0;
}

/* The last step of making a superblock, by mount(2) and by fsconfig(2) alike. */
SEC("lsm/sb_set_mnt_opts")
int BPF_PROG(superblock_made, struct super_block *sb, void *opts, unsigned long kern_flags,
	     unsigned long *set_kern_flags, int ret)
{
	if (ret)
		return ret;
	if (sb->s_magic == OVERLAYFS_MAGIC)
		record_maker((__u64)sb, sb->s_root);
	return 0;
}

#endif
