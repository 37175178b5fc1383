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
 * A register as the task entered the kernel with it. Without the helper (since 5.15) they are found
 * where they lie, at the end of the stack.
 */
#define REGISTER(name)                                                                             \
	({                                                                                         \
		__u64 found;                                                                       \
		if (bpf_core_enum_value_exists(enum bpf_func_id___pt_regs,                         \
					       BPF_FUNC_task_pt_regs___pt_regs)) {                 \
			struct pt_regs *regs =                                                     \
				(void *)bpf_task_pt_regs(bpf_get_current_task_btf());              \
			found = regs->name;                                                        \
		} else {                                                                           \
			struct task_struct *task = (void *)bpf_get_current_task();                 \
			struct pt_regs *regs = BPF_CORE_READ(task, stack) + THREAD_SIZE -          \
					       bpf_core_type_size(struct pt_regs);                 \
			found = BPF_CORE_READ(regs, name);                                         \
		}                                                                                  \
		found;                                                                             \
	})

/* Whether the call is one of the 32-bit table. */
static __always_inline bool is_narrow(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

/*
 * The call, as the kernel took it: it looks at no more than 32 bits of the number, whatever the
 * task has put above them (6.1; to 5.10 a larger number is no call).
 */
static __always_inline __u32 current_syscall(void)
{
	__u32 number = (__u32)REGISTER(orig_ax) & ~NR_X32;

	return is_narrow() ? NR_32(number) : number;
}

/* The first thing it was given, as far as it is a number of 32 bits. */
static __always_inline __u32 first_argument(void)
{
	return is_narrow() ? REGISTER(bx) : REGISTER(di);
}

/* The second: of ioctl(2), the command. */
static __always_inline __u32 second_argument(void)
{
	return is_narrow() ? REGISTER(cx) : REGISTER(si);
}

#endif
