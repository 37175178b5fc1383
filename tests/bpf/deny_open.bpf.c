// SPDX-License-Identifier: Apache-2.0 OR MIT
/* Denies one cgroup the opening of one inode: the least that proves a kernel enforces BPF LSM here.
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define EPERM 1

/* A GPL-compatible licence is what the kernel asks of an LSM program. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* Set before load, constant afterwards. The device is in the kernel's own encoding (major << 20 |
 * minor). */
const volatile __u64 denied_cgroup = 0;
const volatile __u64 denied_ino = 0;
const volatile __u32 denied_dev = 0;

SEC("lsm/file_open")
int BPF_PROG(deny_open, struct file *file, int ret)
{
	/* A BPF program that ran before this one on the hook may have refused already. */
	if (ret)
		return ret;
	/* The helper, not a walk from the current task: 5.10 has no bpf_get_current_task_btf(). */
	if (bpf_get_current_cgroup_id() != denied_cgroup)
		return 0;
	if (file->f_inode->i_ino != denied_ino || file->f_inode->i_sb->s_dev != denied_dev)
		return 0;
	return -EPERM;
}
