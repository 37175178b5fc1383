/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What is acted on: a file's label is the zone of its nearest claimed ancestor on its superblock.
 * It is found by walking the dentry's parents.
 */
#ifndef SYVA_OBJECT_H
#define SYVA_OBJECT_H

#include "count.h"
#include "maps.h"
#include <bpf/bpf_core_read.h>

/* Deeper objects are UNKNOWN. With 256, 6.1 verifies 430,000 instructions of the million it may. */
#define WALK_LEVELS 128

/* Instead of a depth: no claim; and, by the name that was followed, none, but by an earlier one. */
#define NO_CLAIM (~0u)
#define LINKED	 (~1u)

/* Where a walk ended. */
struct found {
	__u32 zone;	       /* ZONE_HOST: no claim */
	__u32 depth;	       /* levels below the claim, or LINKED */
	struct object_key key; /* the claim's, if there is one */
};

/*
 * Reads a field of a kernel object: by a direct load if `direct` (a BTF pointer that the verifier
 * follows), else by a helper (an address it knows nothing of, such as a list node's container).
 */
#define FIELD(direct, object, field) ((direct) ? (object)->field : BPF_CORE_READ((object), field))

static __always_inline bool same_object(const struct object_key *a, const struct object_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->subvol == b->subvol;
}

static __always_inline bool holds_claims(__u32 dev)
{
	__u32 *row = bpf_map_lookup_elem(&claimed_devs, &dev);

	return row && *(volatile __u32 *)row == dev;
}

/* What a row found for an inode means to the walk. */
enum claim_match {
	CLAIM_NONE, /* nothing here: go on upwards */
	CLAIM_COUNTS,
	CLAIM_REUSED, /* the row was replaced while it was read */
};

/*
 * Whether the claim counts at this level. The key is read last, as in read_member(). Of another
 * generation: the number was given to another object than the one that was claimed.
 */
static __always_inline enum claim_match match_claim(const volatile struct claim_row *row,
						    const struct object_key *key, __u32 generation,
						    __u32 level, __u32 *zone)
{
	__u64 born = row->generation, scope = row->scope;
	__u64 off_key;

	*zone = row->zone;
	/* Sums of differences rather than comparisons: a branch here doubles the verifier's paths.
	 */
	off_key = (row->key.dev ^ key->dev) | (row->key.ino ^ key->ino) |
		  (row->key.subvol ^ key->subvol);
	if (off_key)
		return CLAIM_REUSED;
	if ((born ^ generation) | (level * (scope ^ SCOPE_SUBTREE)) | !*zone)
		return CLAIM_NONE;
	return CLAIM_COUNTS;
}

/* The zone that has claimed the object itself; ZONE_HOST if none has, ZONE_UNKNOWN if the row was
 * replaced while it was read. */
static __always_inline __u32 zone_of_claim_on(struct dentry *dentry)
{
	struct object_key key = {
		.dev = BPF_CORE_READ(dentry, d_sb, s_dev),
		.ino = BPF_CORE_READ(dentry, d_inode, i_ino),
	};
	volatile struct claim_row *row = bpf_map_lookup_elem(&claims, &key);

	if (!row || row->generation != BPF_CORE_READ(dentry, d_inode, i_generation))
		return ZONE_HOST;
	/* Read before the key, as everywhere. */
	__u32 zone = row->zone;

	if (row->key.ino == key.ino && row->key.dev == key.dev)
		return zone;
	count_error(SITE_CLAIM_REUSED);
	return ZONE_UNKNOWN;
}

/*
 * Whether claims lie below the directory: its row is nobody's, and only keeps it where it is. That
 * it is a directory is not asked: no other object has such a row.
 */
static __always_inline bool is_above_claims(struct dentry *dentry)
{
	struct object_key key = {
		.dev = BPF_CORE_READ(dentry, d_sb, s_dev),
		.ino = BPF_CORE_READ(dentry, d_inode, i_ino),
	};
	volatile struct claim_row *row = bpf_map_lookup_elem(&claims, &key);

	return row && row->zone == ZONE_HOST &&
	       row->generation == BPF_CORE_READ(dentry, d_inode, i_generation) &&
	       row->key.ino == key.ino && row->key.dev == key.dev;
}

/*
 * Whether the object with that inode number lies on the way from `dentry` to the root of their file
 * system. Takes and returns numbers, as label_from() does.
 */
__noinline __u32 lies_in(__u64 dentry, __u64 ino)
{
	struct dentry *at = (struct dentry *)dentry;

	for (__u32 level = 0; level < WALK_LEVELS; level++) {
		struct dentry *parent = BPF_CORE_READ(at, d_parent);

		if (BPF_CORE_READ(at, d_inode, i_ino) == ino)
			return 1;
		if (parent == at)
			break;
		at = parent;
	}
	return 0;
}

/* The address as a number: a global function is not given a pointer, nor is one cast for it. */
static __always_inline __u64 address_of(struct dentry *dentry)
{
	__u64 address = 0;

	/* From the own stack: this cannot fail. */
	bpf_probe_read_kernel(&address, sizeof(address), &dentry);
	return address;
}

/*
 * A file that was linked out of a claim is the claim's by its names outside (link.h), unless it is
 * claimed itself. Directories are asked as well, which have one name: to tell them costs as much.
 * `key` is of its device, and is used up: sockets' programs have left the walk 96 bytes of stack.
 */
static __always_inline void follow_link(struct dentry *dentry, bool direct, struct object_key *key,
					struct found *found)
{
	struct inode *inode = FIELD(direct, dentry, d_inode);
	volatile struct link_row *link;
	enum claim_match match = CLAIM_REUSED;
	__u64 ino = FIELD(direct, inode, i_ino), claim, born, claim_born;
	__u32 zone = ZONE_HOST;

	key->ino = ino;
	link = bpf_map_lookup_elem(&links, key);
	if (!link)
		return;
	born = link->generation;
	claim = link->claim.ino;
	claim_born = link->claim_generation;
	/* The key is read last, as in match_claim(). */
	if (link->key.ino == ino && link->key.dev == key->dev) {
		struct claim_row *row;

		if (born != FIELD(direct, inode, i_generation))
			return;
		key->ino = claim;
		row = bpf_map_lookup_elem(&claims, key);
		if (!row)
			return;
		/* As of what lies in the claim: it must reach down. */
		match = match_claim(row, key, claim_born, 1, &zone);
	}
	if (match == CLAIM_REUSED) {
		count_error(SITE_CLAIM_REUSED);
		found->zone = ZONE_UNKNOWN;
	}
	if (match != CLAIM_COUNTS)
		return;
	/* A name in the claim is judged as such: a nearer claim may lie above it by now. */
	if (found->key.ino && lies_in(address_of(dentry), claim))
		return;
	found->zone = zone;
	found->depth = LINKED;
	found->key = *key;
}

/*
 * Walks from `dentry` to the nearest claim. A walk past the bound, or one that does not end at the
 * superblock's root (dentries from open_by_handle_at(2) need not be connected), is UNKNOWN: both
 * are within a zoned task's power to bring about.
 */
static __always_inline void walk_from(struct dentry *dentry, bool direct, __u32 level,
				      struct found *found)
{
	struct super_block *sb = FIELD(direct, dentry, d_sb);
	struct object_key key = {.dev = FIELD(direct, sb, s_dev)};
	struct dentry *root = FIELD(direct, sb, s_root);
	struct dentry *parent = dentry, *object = level ? NULL : dentry;
	enum claim_match match = CLAIM_NONE;
	__u32 zone = ZONE_HOST;

	do {
		struct claim_row *row;
		struct inode *inode;

		dentry = parent;
		inode = FIELD(direct, dentry, d_inode);
		key.ino = FIELD(direct, inode, i_ino);
		row = bpf_map_lookup_elem(&claims, &key);
		if (row) {
			match = match_claim(row, &key, FIELD(direct, inode, i_generation), level,
					    &zone);
			if (match != CLAIM_NONE)
				break;
		}
		parent = FIELD(direct, dentry, d_parent);
	} while (parent != dentry && ++level < WALK_LEVELS);

	__builtin_memset(found, 0, sizeof(*found));
	found->zone = ZONE_UNKNOWN;
	if (match == CLAIM_COUNTS) {
		found->zone = zone;
		found->depth = level;
		found->key = key;
	} else if (match == CLAIM_REUSED) {
		count_error(SITE_CLAIM_REUSED);
	} else if (level == WALK_LEVELS) {
		count_error(SITE_WALK_BOUND);
	} else if (dentry != root) {
		count_error(SITE_WALK_ROOTLESS);
	} else {
		found->zone = ZONE_HOST;
	}
	if (object && !(match == CLAIM_COUNTS && !level))
		follow_link(object, direct, &key, found);
}

static __always_inline void walk(struct dentry *dentry, bool direct, struct found *found)
{
	walk_from(dentry, direct, 0, found);
}

/*
 * The same, for programs that walk several times: a global function is verified once, by itself. It
 * takes and returns numbers only (5.10): the dentry's address; 1 for `below` to learn the label of
 * what is in the directory, which an exact claim on it does not reach. The result is taken apart by
 * label_zone() and label_depth().
 */
__noinline __u64 label_from(__u64 dentry, __u32 below)
{
	struct found found;

	walk_from((struct dentry *)dentry, false, below & 1, &found);
	return (__u64)(found.key.ino ? found.depth : NO_CLAIM) << 32 | found.zone;
}

static __always_inline __u64 label_at(struct dentry *dentry, __u32 below)
{
	return label_from(address_of(dentry), below);
}

static __always_inline __u32 label_zone(__u64 label)
{
	return (__u32)label;
}

/* Levels below the claim: 0 for what is claimed itself. Or NO_CLAIM, or LINKED. */
static __always_inline __u32 label_depth(__u64 label)
{
	return label >> 32;
}

/*
 * A dentry that leads to the inode, which is not f_path's own: overlayfs before 6.8 opens its
 * backing file under the overlay's path, and only the backing inode's own path says what is opened.
 */
static __always_inline struct dentry *alias_of(struct inode *inode)
{
	struct hlist_node *node = BPF_CORE_READ(inode, i_dentry.first);

	if (!node)
		return NULL;
	if (bpf_core_field_exists(((struct dentry___flat *)0)->d_alias))
		return (void *)node - bpf_core_field_offset(struct dentry___flat, d_alias);
	return (void *)node - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

#endif
