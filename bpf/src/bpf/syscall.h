/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Which system call the task is in, for hooks that are asked the same by several. */
#ifndef SYVA_SYSCALL_H
#define SYVA_SYSCALL_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define NR_X32	0x40000000 /* a mark of x32's calls */
#define NR_NONE (~0ul)

/*
 * Its number as the task gave it, which for a 32-bit call is one of another table: whoever compares
 * sees to it that neither table has another call there that comes to the same hook. None before
 * 5.15, which cannot tell.
 */
static __always_inline unsigned long current_syscall(void)
{
	struct pt_regs *regs;

	if (!bpf_core_enum_value_exists(enum bpf_func_id___pt_regs,
					BPF_FUNC_task_pt_regs___pt_regs))
		return NR_NONE;
	regs = (void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	return regs->orig_ax & ~(unsigned long)NR_X32;
}

#endif
