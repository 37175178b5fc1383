/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* The maps. The daemon replaces the sizes of the policy maps by its capacity before loading. */
#ifndef SYVA_MAPS_H
#define SYVA_MAPS_H

#include "kernel.h"
#include "types.h"
#include "model.h"
#include <bpf/bpf_helpers.h>

/* Preallocated: the kernel inserts here, with a spin lock held and interrupts off. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct member_row);
} members SEC(".maps");

/*
 * In front of members, indexed by the low 16 bits of a cgroup's id: how many cgroups with these
 * bits are in it, and a copy of what the last look-up found. A count of zero answers most callers
 * without a call. It may be too high, which costs a look-up; it may never be too low, so everyone
 * adds before inserting, and subtracts only after a deletion that succeeded.
 */
#define FILTER_SLOTS 65536
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FILTER_SLOTS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct filter_slot);
} member_filter SEC(".maps");

/* Advanced after each change of a row of members that exists, by the daemon and by park(): what was
 * copied before is stale. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} member_epoch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct zone_row);
} zones SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct object_key);
	__type(value, struct claim_row);
} claims SEC(".maps");

/*
 * The files that the host linked out of their claims (link.h). A row says nothing without that of
 * the claim it names, so it need not come or go with it. The row of key 0 says that the daemon has
 * restored what an earlier map held.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct object_key);
	__type(value, struct link_row);
} links SEC(".maps");

/* The devices that claims lie on: elsewhere there is nothing to walk for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} claimed_devs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1000000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pair_row);
	__type(value, struct pair_row);
} pairs SEC(".maps");

/* The overlays that the host made, and their layers' mounts. The least used go when it is full:
 * they are then judged like anyone's. Nothing that a zone does fills it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct maker_row);
} host_overlays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct host_socket);
	__type(value, struct host_socket);
} host_sockets SEC(".maps");

/* Whoever last chose whom a file's signals go to, by the file's address. The least used go when it
 * is full: who fills it is in SECURITY.md. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct signaller_row);
} signallers SEC(".maps");

/* The System V objects made since the programs are attached, and the zones' keys, by address.
 * Preallocated: the kernel inserts here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct ipc_row);
} ipc_objects SEC(".maps");

/*
 * What each zone holds of members and ipc_objects (quota.h). Either side has a map of its own,
 * since no other addition is atomic between the two: the programs add here, and whatever the daemon
 * changes or corrects is in the other one; a count is the sum of both, modulo 2^64. Preallocated:
 * the kernel inserts here, once a zone. As many rows as zones, and some.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10064);
	__type(key, __u32);
	__type(value, struct usage_row);
} zone_usage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10064);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct usage_row);
} usage_by_daemon SEC(".maps");

/* Processes to be moved back. The daemon takes them out once they are where they were, or gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pulled_row);
} pulled SEC(".maps");

/* Not a cache, unlike labels: what is lost here is nobody's. It lives as long as the inode, which
 * where makers are kept is as long as the file. */
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct file_maker);
} file_makers SEC(".maps");

/* Not BPF_F_RDONLY_PROG, with which the kernel refuses a writable mapping. No program writes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct control_row);
} control SEC(".maps");

/* Advanced by the kernel after a rename or link that may have changed a label, and by the daemon if
 * the kernel missed one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} move_epoch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cached_label);
} labels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_COUNT);
	__type(key, __u32);
	__type(value, struct hook_counts);
} hook_counters SEC(".maps");

/* Exact, so shared by the CPUs; preallocated, since hooks insert. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct denial_key);
	__type(value, struct denial_count);
} denials SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} denials_overflow SEC(".maps");

/* Tasks moved out of their zone by one that may. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} escapes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SITE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} error_sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* No program reads it: rewriting its slot makes the kernel wait for the programs that run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__type(key, __u32);
			__type(value, __u32);
		});
} barrier SEC(".maps");

/* Which of the daemon's descriptors the probe is asked about. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} probe_request SEC(".maps");

#endif
