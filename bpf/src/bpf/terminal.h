/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Terminals. One is its session's, and that is its leader's zone's, whoever has a descriptor of it.
 */
#ifndef SYVA_TERMINAL_H
#define SYVA_TERMINAL_H

#include "proc.h"

/*
 * The terminal that is open, NULL if the file is of none. What is kept of a terminal's file names
 * that file again; no list of devices says which are terminals, since drivers bring their own.
 */
static __always_inline struct tty_struct *terminal_of(struct file *file)
{
	struct tty_file_private *opened = BPF_CORE_READ(file, private_data);

	if (BPF_CORE_READ(opened, file) != file)
		return NULL;
	return BPF_CORE_READ(opened, tty);
}

/* The terminal of the session that the current task is in, NULL if it has none. */
static __always_inline struct tty_struct *controlling_terminal(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, signal, tty);
}

/* False if it is no session's. */
static __always_inline bool zone_of_terminal(struct tty_struct *tty, __u32 *zone)
{
	struct tty_struct___ctrl *newer = (void *)tty;
	struct task_struct *leader;
	struct pid *session;

	if (bpf_core_field_exists(newer->ctrl))
		session = BPF_CORE_READ(newer, ctrl.session);
	else
		session = BPF_CORE_READ(tty, session);
	if (!session)
		return false;
	leader = task_of_pid(session);
	*zone = leader ? zone_of_cgroup(BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, id))
		       : ZONE_HOST;
	return true;
}

/*
 * Whether a pseudo-terminal's file leads to one that another session has: what is typed there can
 * be read, and what is shown there be made up. That of the task's own session is for it to open,
 * whoever leads that; one that is in no session is about to be taken.
 */
static __always_inline bool is_anothers_terminal(struct dentry *dentry, __u32 *zone)
{
	struct tty_struct *tty = BPF_CORE_READ(dentry, d_fsdata);

	return tty && tty != controlling_terminal() && zone_of_terminal(tty, zone);
}

#endif
