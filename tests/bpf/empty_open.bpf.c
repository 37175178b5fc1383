// SPDX-License-Identifier: Apache-2.0 OR MIT
/* Does nothing on file_open: what the trampoline costs, the floor under every measurement. */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("lsm/file_open")
int BPF_PROG(empty_open, struct file *file, int ret)
{
	return 0;
}
