/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Writes down who makes a file, where that decides whose it is (maker.h). */
#include "label.h"
#include "subject.h"
#include <bpf/bpf_tracing.h>

/*
 * A name gets an inode. The file systems in question have no other store than the names, so that it
 * is one just made, which nobody can find yet, or one that gets a second name.
 */
SEC("lsm/d_instantiate")
int BPF_PROG(d_instantiate, struct dentry *dentry, struct inode *inode)
{
	struct file_maker *maker;
	struct subject subject;
	__u64 there = 0;

	if (!current_subject(&subject))
		return 0;
	/* Asked twice, as of a new mapping's file: a name of nothing has no inode. */
	if (bpf_probe_read_kernel(&there, sizeof(there), &ctx[1])) {
		count_error(SITE_FILE_MAKER);
		return 0;
	}
	if (!there || !inode)
		return 0;
	if (!keeps_makers(inode->i_sb) || !has_one_name(inode))
		return 0;
	maker = bpf_inode_storage_get(&file_makers, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!maker) {
		count_error(SITE_FILE_MAKER);
		return 0;
	}
	/* A file made without a name that gets its first one has a maker already. */
	if (!maker->zone)
		*(volatile __u64 *)&maker->zone = subject.zone;
	return 0;
}
