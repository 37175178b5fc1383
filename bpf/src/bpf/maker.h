/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Files that belong to the zone that made them: POSIX message queues and shared memory, wherever no
 * claim says otherwise. Which are these: all of the kernel's queue file systems, and one tmpfs, the
 * host's /dev/shm, which is what containers see that share the host's IPC. Neither ever forgets an
 * inode that has a name, so the maker is kept in its storage.
 */
#ifndef SYVA_MAKER_H
#define SYVA_MAKER_H

#include "maps.h"

#define MQUEUE_MAGIC 0x19800202

/* The tmpfs that is mounted at /dev/shm for the host's first process; 0 if there is none. */
const volatile __u32 shared_memory_device = 0;

static __always_inline bool keeps_makers(struct super_block *sb)
{
	return sb->s_magic == MQUEUE_MAGIC ||
	       (shared_memory_device && sb->s_dev == shared_memory_device);
}

/* The zone whose task made the file; ZONE_HOST if none did, or makers are not kept there. */
static __always_inline __u32 zone_of_maker(struct inode *inode)
{
	struct file_maker *maker;

	if (!keeps_makers(inode->i_sb))
		return ZONE_HOST;
	maker = bpf_inode_storage_get(&file_makers, inode, 0, 0);
	return maker ? *(volatile __u64 *)&maker->zone : ZONE_HOST;
}

#endif
