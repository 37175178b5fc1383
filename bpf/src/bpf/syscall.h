/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which system call the task is in, for hooks that are asked the same by several. */
#ifndef SYVA_SYSCALL_H
#define SYVA_SYSCALL_H

#include "types.h"
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define NR_X32 0x40000000 /* a mark of x32's calls, whose table is the same */

/* Of a call of 32 bits, by int $0x80 for one, which a 64-bit program can make as well. */
#define NR_32(number) ((number) | SYSCALL_32)

/* In thread_info.status for as long as such a call lasts. */
#define TS_COMPAT 2

/* Of x86_64 before 5.15; twice as much in a kernel built with KASAN. */
#define THREAD_SIZE (4 * 4096)

/*
 * The call, as the kernel took it: it looks at no more than 32 bits of the number, whatever the
 * task has put above them (6.1; to 5.10 a larger number is no call).
 */
static __always_inline __u32 current_syscall(void)
{
	struct pt_regs *regs;
	__u32 number, status;

	if (bpf_core_enum_value_exists(enum bpf_func_id___pt_regs,
				       BPF_FUNC_task_pt_regs___pt_regs)) {
		struct task_struct *task = bpf_get_current_task_btf();

		regs = (void *)bpf_task_pt_regs(task);
		number = regs->orig_ax;
		status = task->thread_info.status;
	} else {
		struct task_struct *task = (void *)bpf_get_current_task();

		/* They lie at the end of the stack. */
		regs = BPF_CORE_READ(task, stack) + THREAD_SIZE -
		       bpf_core_type_size(struct pt_regs);
		number = BPF_CORE_READ(regs, orig_ax);
		status = BPF_CORE_READ(task, thread_info.status);
	}
	number &= ~NR_X32;
	return status & TS_COMPAT ? NR_32(number) : number;
}

#endif
