/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Names outside. Zones may not give a file a name with another label, but the host may: a backup
 * that links instead of copying, a service that publishes what it has made. The file stays its
 * claim's by all its names, also once the one in the claim is gone, as long as it exists: the zone
 * that replaces it there does not mean to publish what was in it. The other way round, nothing is
 * kept: what the host links into a claim was everybody's, and its other names are not the zone's.
 */
#ifndef SYVA_LINK_H
#define SYVA_LINK_H

#include "emit.h"
#include <bpf/bpf_tracing.h>

/*
 * Before there is a link, so that nobody is through it first. One that then fails has left a row
 * that says what is so anyway.
 */
static __always_inline void keep_claim(struct dentry *old, struct inode *directory,
				       struct dentry *new)
{
	struct link_row row = {};
	struct dentry *claim;
	__u64 label;

	if (!holds_claims(directory->i_sb->s_dev))
		return;
	/* The first name of a file made without one (O_TMPFILE) is a move. */
	if (!BPF_CORE_READ(old, d_inode, i_nlink))
		return;
	label = label_at(old, 0);
	if (label_zone(label) == ZONE_UNKNOWN) {
		count_error(SITE_LINK);
		return;
	}
	/* Nobody's, or held by all its names already. */
	if (label_depth(label) == NO_CLAIM || label_depth(label) == LINKED || !label_depth(label))
		return;
	if (label_zone(label) == label_zone(label_at(new, 0)))
		return;
	claim = climb(old, label_depth(label));
	row.key.dev = BPF_CORE_READ(old, d_sb, s_dev);
	row.key.ino = BPF_CORE_READ(old, d_inode, i_ino);
	row.generation = BPF_CORE_READ(old, d_inode, i_generation);
	row.claim.dev = row.key.dev;
	row.claim.ino = BPF_CORE_READ(claim, d_inode, i_ino);
	row.claim_generation = BPF_CORE_READ(claim, d_inode, i_generation);
	if (bpf_probe_read_kernel_str(row.name, sizeof(row.name), BPF_CORE_READ(new, d_name.name)) <
	    0)
		count_error(SITE_NAME);
	/* In the place of one for a file that had the number before, or of a claim that is gone. */
	if (bpf_map_update_elem(&links, &row.key, &row, BPF_ANY))
		count_error(SITE_LINK);
}

/*
 * The file is gone, with the last of its names and descriptors. Asked of all inodes that leave
 * memory, most of which are on disk still. The number may be another's by now, and that be linked.
 */
SEC("lsm/inode_free_security")
int BPF_PROG(inode_free_security, struct inode *inode)
{
	volatile struct link_row *link;
	struct object_key key = {};

	if (inode->i_nlink || !holds_claims(inode->i_sb->s_dev))
		return 0;
	key.dev = inode->i_sb->s_dev;
	key.ino = inode->i_ino;
	link = bpf_map_lookup_elem(&links, &key);
	if (link && link->generation == inode->i_generation)
		bpf_map_delete_elem(&links, &key);
	return 0;
}

#endif
