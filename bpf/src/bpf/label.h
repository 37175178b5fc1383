/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The label of what a hook is asked about: what the walk found, or who made it; cached with the
 * inode under an epoch.
 */
#ifndef SYVA_LABEL_H
#define SYVA_LABEL_H

#include "maker.h"
#include "object.h"

/* The sum of two counters that only ever grow names the pair of them. */
static __always_inline __u64 current_epoch(void)
{
	__u32 zero = 0;
	struct control_row *row = bpf_map_lookup_elem(&control, &zero);
	__u64 *moves = bpf_map_lookup_elem(&move_epoch, &zero);

	/* Never 0, which marks a label that was never written. */
	if (!row || !moves)
		return 0;
	return 1 + *(volatile __u64 *)&row->epoch + *(volatile __u64 *)moves;
}

/* With several names, the label is the name's, not the inode's. A directory has one name. */
static __always_inline bool has_one_name(struct inode *inode)
{
	return inode->i_nlink <= 1 || (inode->i_mode & S_IFMT) == S_IFDIR;
}

/* Whether the label was cached in this epoch. */
static __always_inline bool recall(struct cached_label *cached, __u64 epoch, __u32 *zone)
{
	__u64 tagged;

	if (cached->epoch != epoch)
		return false;
	tagged = *(volatile __u64 *)&cached->tagged;
	*zone = tagged;
	return tagged >> 32 == (__u32)epoch;
}

/* An unlinked name (still open, and opened again through /proc) says nothing of the other names. */
static __always_inline void remember(struct cached_label *cached, __u64 epoch,
				     struct dentry *dentry, __u32 zone)
{
	if (!cached || zone == ZONE_UNKNOWN || !dentry->d_hash.pprev)
		return;
	*(volatile __u64 *)&cached->tagged = (epoch << 32) | zone;
	*(volatile __u64 *)&cached->epoch = epoch;
}

/* What the hook's walk found, or where that is nothing, who made the file. */
static __always_inline __u32 or_maker(enum hook hook, __u32 zone, struct inode *inode)
{
	if (zone == ZONE_UNKNOWN)
		count_hook_unknowing(hook);
	return zone == ZONE_HOST ? zone_of_maker(inode) : zone;
}

/* The label of an open file's inode. */
static __always_inline __u32 label_of_file(enum hook hook, struct file *file)
{
	struct inode *inode = file->f_inode;
	struct cached_label *cached = NULL;
	__u64 epoch = current_epoch();
	struct dentry *dentry = file->f_path.dentry;
	struct found found;
	__u32 zone;

	if (has_one_name(inode) && dentry->d_inode == inode) {
		/* f_inode, not the dentry's: 7.x does not trust what it finds through f_path. */
		cached = bpf_inode_storage_get(&labels, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!cached)
			count_hook_error(hook, SITE_INODE_STORAGE);
		else if (recall(cached, epoch, &zone))
			return zone;
	}
	if (!holds_claims(inode->i_sb->s_dev)) {
		found.zone = ZONE_HOST;
	} else if (dentry->d_inode == inode) {
		walk(dentry, true, &found);
	} else {
		struct dentry *alias = alias_of(inode);

		if (!alias) {
			count_hook_error(hook, SITE_ALIAS);
			return ZONE_UNKNOWN;
		}
		walk(alias, false, &found);
	}
	zone = or_maker(hook, found.zone, inode);
	remember(cached, epoch, dentry, zone);
	return zone;
}

/*
 * The label of `inode`, known by `dentry`: of a directory whose entries change, or of what a change
 * is made to. Where no claim lies, as on containers' overlays, that is almost all that is asked.
 */
static __always_inline __u32 label_of_inode(enum hook hook, struct inode *inode,
					    struct dentry *dentry)
{
	struct cached_label *cached = NULL;
	__u64 epoch;
	__u32 zone;

	if (!holds_claims(inode->i_sb->s_dev))
		return zone_of_maker(inode);
	epoch = current_epoch();
	if (has_one_name(inode) && dentry->d_inode == inode) {
		cached = bpf_inode_storage_get(&labels, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!cached)
			count_hook_error(hook, SITE_INODE_STORAGE);
		else if (recall(cached, epoch, &zone))
			return zone;
	}
	zone = or_maker(hook, label_zone(label_at(dentry, 0)), inode);
	remember(cached, epoch, dentry, zone);
	return zone;
}

/*
 * The label of a file that the verifier does not know to stay, such as a mapping's: not cached, and
 * the storage that names its maker is not for such either.
 */
static __always_inline __u32 label_uncached(enum hook hook, struct file *file)
{
	struct inode *inode = file->f_inode;
	struct dentry *dentry = file->f_path.dentry;
	__u32 zone;

	if (!holds_claims(BPF_CORE_READ(inode, i_sb, s_dev)))
		return ZONE_HOST;
	if (dentry->d_inode != inode)
		dentry = alias_of(inode);
	if (!dentry) {
		count_hook_error(hook, SITE_ALIAS);
		return ZONE_UNKNOWN;
	}
	zone = label_zone(label_at(dentry, 0));
	if (zone == ZONE_UNKNOWN)
		count_hook_unknowing(hook);
	return zone;
}

#endif
