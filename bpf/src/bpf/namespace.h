/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Which of the namespaces that a task acts on are the host's: those of the host's first process. 0,
 * which is no namespace's number, where that is not known.
 */
#ifndef SYVA_NAMESPACE_H
#define SYVA_NAMESPACE_H

#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 host_mount_namespace = 0;
const volatile __u32 host_ipc_namespace = 0;
const volatile __u32 host_uts_namespace = 0;
const volatile __u32 host_network_namespace = 0;

static __always_inline __u32 current_mount_namespace(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
}

static __always_inline bool in_host_ipc_namespace(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return !host_ipc_namespace ||
	       BPF_CORE_READ(task, nsproxy, ipc_ns, ns.inum) == host_ipc_namespace;
}

/* Of the host's name and its NIS domain's. */
static __always_inline bool in_host_uts_namespace(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return !host_uts_namespace ||
	       BPF_CORE_READ(task, nsproxy, uts_ns, ns.inum) == host_uts_namespace;
}

/* A socket stays in the one it was made in. */
static __always_inline bool in_host_network_namespace(struct sock *sk)
{
	if (!bpf_core_field_exists(sk->__sk_common.skc_net.net))
		return true; /* a kernel without such namespaces */
	return !host_network_namespace ||
	       BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) == host_network_namespace;
}

#endif
