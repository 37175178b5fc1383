/* The few kernel types the harness' own program reads; CO-RE finds the real offsets at load time.
 */
#ifndef SYVA_E2E_KERNEL_TYPES_H
#define SYVA_E2E_KERNEL_TYPES_H

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

/* bpf_helper_defs.h declares helpers with this enumeration's map types; it needs only the name. */
enum bpf_map_type { BPF_MAP_TYPE_UNSPEC = 0 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	__u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

#pragma clang attribute pop

#endif
