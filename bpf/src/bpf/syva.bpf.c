/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The BPF object: one file a hook family, over the libraries they share. */
#include <stdbool.h>
#include <stddef.h>

#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "hook_bpf.h"
#include "hook_cgroup.h"
#include "hook_door.h"
#include "hook_capable.h"
#include "hook_file.h"
#include "hook_ioctl.h"
#include "hook_ipc.h"
#include "hook_key.h"
#include "hook_maker.h"
#include "hook_mount.h"
#include "hook_mutate.h"
#include "hook_netlink.h"
#include "hook_notify.h"
#include "hook_ptrace.h"
#include "hook_socket.h"
#include "hook_task.h"
#include "cgroup.h"
#include "move.h"
#include "overlay.h"
#include "probe.h"

/* The kernel runs LSM programs under a GPL-compatible licence only. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
