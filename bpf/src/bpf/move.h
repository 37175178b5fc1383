/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Renames and links move objects between labels, so labels cached before are not used after. The
 * epoch advances after the move: a walk that began before the move and ends after an earlier
 * advance would be cached as if it were new. A rename within one label advances nothing, so that a
 * task renaming its own files cannot flush everyone's cache.
 */
#include "object.h"
#include <bpf/bpf_tracing.h>

/* The label of what is in the directory: an exact claim on it does not reach that. */
static __always_inline __u32 label_below(struct dentry *dentry)
{
	return dentry ? label_zone(label_at(dentry, 1)) : ZONE_UNKNOWN;
}

static __always_inline void advance_unless_same(struct dentry *from, struct dentry *to)
{
	__u32 zero = 0;
	__u64 *moves;
	__u32 label;

	if (from == to || !holds_claims(BPF_CORE_READ(to, d_sb, s_dev)))
		return;
	label = label_below(from);
	if (label != ZONE_UNKNOWN && label == label_below(to))
		return;
	moves = bpf_map_lookup_elem(&move_epoch, &zero);
	if (moves)
		__sync_fetch_and_add(moves, 1);
}

/*
 * vfs_rename() had six arguments until 5.12 (and in early releases of 5.10) and one structure
 * since, whose directories are inodes until 6.18 and dentries since. A directory has one alias. The
 * return value follows the arguments.
 */
SEC("fexit/vfs_rename")
int vfs_rename_exit(__u64 *ctx)
{
	if (bpf_core_field_exists(((struct renamedata___parents *)0)->old_parent)) {
		struct renamedata___parents *data = (void *)ctx[0];

		if (!(int)ctx[1])
			advance_unless_same(BPF_CORE_READ(data, old_parent),
					    BPF_CORE_READ(data, new_parent));
	} else if (bpf_core_field_exists(((struct renamedata *)0)->old_dir)) {
		struct renamedata *data = (void *)ctx[0];

		if (!(int)ctx[1])
			advance_unless_same(alias_of(BPF_CORE_READ(data, old_dir)),
					    alias_of(BPF_CORE_READ(data, new_dir)));
	} else if (!(int)ctx[6]) {
		advance_unless_same(alias_of((void *)ctx[0]), alias_of((void *)ctx[2]));
	}
	return 0;
}

/*
 * A file linked elsewhere and unlinked here has moved without a rename. While it has two names it
 * is not cached, so what was cached before the second one must not be used after the first is gone.
 * vfs_link() had four arguments until 5.12, when it got another one in second place.
 */
SEC("fexit/vfs_link")
int vfs_link_exit(__u64 *ctx)
{
	struct dentry *linked = (void *)ctx[0];

	if (bpf_core_field_exists(((struct vfsmount___userns *)0)->mnt_userns) ||
	    bpf_core_field_exists(((struct vfsmount___idmap *)0)->mnt_idmap)) {
		if (!(int)ctx[5])
			advance_unless_same(linked->d_parent, alias_of((void *)ctx[2]));
	} else if (!(int)ctx[4]) {
		advance_unless_same(linked->d_parent, alias_of((void *)ctx[1]));
	}
	return 0;
}
