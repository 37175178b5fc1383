// SPDX-License-Identifier: Apache-2.0 OR MIT
/* Does nothing on two hooks: what the trampoline costs, the floor under every measurement. */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("lsm/file_open")
int BPF_PROG(empty_open, struct file *file, int ret)
{
	return 0;
}

SEC("lsm/mmap_file")
int BPF_PROG(empty_map, struct file *file, unsigned long reqprot, unsigned long prot,
	     unsigned long flags, int ret)
{
	return 0;
}
