/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * The few names of linux/types.h and linux/bpf.h that the programs use. The values are kernel ABI.
 * The system's own headers need an architecture's include path that the BPF target does not know.
 */
#ifndef SYVA_UAPI_H
#define SYVA_UAPI_H

typedef unsigned char __u8;
typedef signed short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_INODE_STORAGE = 28,
};

/* Flags of map creation, of an update, and of a storage look-up. */
#define BPF_F_NO_PREALLOC	       (1U << 0)
#define BPF_F_MMAPABLE		       (1U << 10)
#define BPF_ANY			       0
#define BPF_NOEXIST		       1
#define BPF_EXIST		       2
#define BPF_LOCAL_STORAGE_GET_F_CREATE (1ULL << 0)

#endif
