/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * What crosses between kernel and daemon: map keys, map values, events. Rust's types are generated
 * from these through BTF. No implicit padding: the kernel compares keys byte for byte.
 *
 * Every value carries its key. An element that was freed is reused at once, under a reader that
 * still holds it; the reader compares the key after reading the rest (see fresh()).
 */
#ifndef SYVA_TYPES_H
#define SYVA_TYPES_H

#include "uapi.h"

/* A file-system object as the kernel names it: s_dev, i_ino, and the subvolume where there is one.
 */
struct object_key {
	__u32 dev;
	__u32 pad;
	__u64 ino;
	__u64 subvol;
};

#define COMM_BYTES 16

enum claim_scope {
	SCOPE_EXACT,
	SCOPE_SUBTREE,
};

struct claim_row {
	struct object_key key;
	__u32 zone;
	__u32 scope;
	__u64 generation;
};

#define LINK_NAME_BYTES 64

/*
 * A file that was given a name outside its claim: it stays the claim's, by all its names. `name` is
 * the first such, for people.
 */
struct link_row {
	struct object_key key;
	struct object_key claim;
	__u64 generation;
	__u64 claim_generation;
	char name[LINK_NAME_BYTES];
};

enum member_origin {
	ORIGIN_JOURNAL,
	ORIGIN_KERNEL,
};

/*
 * A process that a zone pulled from the cgroup `home` into one of its own, or that such a process
 * has forked there. `since`, by the monotonic clock, it was there: one that started later was given
 * its number.
 */
struct pulled_row {
	__u64 home;
	__u64 into;
	__u64 since;
	__u32 tgid;
	__u32 pad;
};

/* A cgroup's zone. `root` is the attached cgroup it is, or descends from. */
struct member_row {
	__u64 cgroup;
	__u32 zone;
	__u32 origin;
	__u64 root;
};

/*
 * What stands before the members: `members` counts the rows that share the slot. `copy` is the zone
 * that the last look-up through it found, below the epoch that held before the look-up; `seal`
 * tells for which cgroup. The two words are written by anyone at any time: halves of two writers do
 * not fit each other (see zone_of_member()).
 */
struct filter_slot {
	__u64 members;
	__u64 copy;
	__u64 seal;
};

/* Who made an overlay's superblock, or the private mount of one of its layers: `object`, its
 * address. `root` is the dentry it begins at. */
struct maker_row {
	__u64 object;
	__u64 root;
	__u64 cgroup;
};

/* Who last chose whom a file's signals go to. */
struct signaller_row {
	__u64 file;
	__u64 cgroup;
	__u32 zone;
	__u32 pid;
	__u32 tid;
	__u32 pad;
	char comm[COMM_BYTES];
};

enum ipc_kind {
	IPC_SHM,
	IPC_MSG,
	IPC_SEM,
	IPC_KEY,
};

/* Who made a System V object or a key: `object`, its address. */
struct ipc_row {
	__u64 object;
	__u64 cgroup;
	__u32 zone;
	__u32 kind;
};

/* The zone whose task made a file; 0 if not known. In the file's inode storage. */
struct file_maker {
	__u64 zone;
};

struct zone_row {
	__u32 id;
	__u32 flags;
};

/*
 * What a zone holds of the tables that all zones share, and how often it was refused more: cgroups
 * that were made inside it, and System V objects and keys that it made.
 */
struct usage_row {
	__u32 zone;
	__u32 pad;
	__u64 cgroups;
	__u64 cgroups_refused;
	__u64 ipc;
	__u64 ipc_refused;
};

/* Both directions of an allowed pair; low < high. */
struct pair_row {
	__u32 low;
	__u32 high;
};

/* As many as PLACE_BYTES and PLACE_LEVELS in core/src/host_socket.rs. */
#define SOCKET_PLACE_BYTES  112
#define SOCKET_PLACE_LEVELS 8

/*
 * A socket of the host, given to a zone. `place` holds `length` bytes and zeros behind them: the
 * names on the way from the socket to its file system's root, each with its zero byte, or the
 * abstract name, which may hold zero bytes, with device 0.
 */
struct host_socket {
	__u64 length;
	__u32 zone;
	__u32 dev;
	char place[SOCKET_PLACE_BYTES];
};

/* Written by the daemon alone, word by word through a mapping. */
struct control_row {
	__u32 schema;
	__u32 mode;
	__u64 epoch;
	__u64 applied;
	__u64 applying;
	__u64 build;
};

/*
 * A label cached with its inode. Two words that are each written whole: `tagged` repeats the low
 * half of the epoch above the zone, so a reader never pairs one writer's epoch with another one's
 * zone.
 */
struct cached_label {
	__u64 epoch;
	__u64 tagged;
};

struct hook_counts {
	__u64 allow;
	__u64 deny;
	__u64 would_deny;
	__u64 error;
	__u64 lost;
};

struct denial_key {
	__u32 hook;
	__u32 subject;
	__u32 object;
};

struct denial_count {
	struct denial_key key;
	__u32 pad;
	__u64 count;
};

#define NAME_BYTES 128

/* In an event's `detail`, beside the number of a system call: it is one of the 32-bit table. */
enum syscall_table {
	SYSCALL_32 = 0x20000000,
};

struct event {
	__u64 monotonic_ns;
	__u64 subject_cgroup;
	__u64 inode;
	__u64 applied;
	__u64 applying;
	/* All zero where no claim gave the object its zone. */
	struct object_key claim;
	/* Levels below the claim, or LINKED. */
	__u32 depth;
	__u32 hook;
	__u32 verdict;
	__u32 subject;
	__u32 object;
	__u32 pid;
	__u32 tid;
	__u32 object_pid;
	__u32 signal;
	__u32 operation;
	__u32 kind;
	/* A number of the kernel's interface: the command of bpf(2), the system call that asks for
	 * a capability, what is loaded, why it is locked down. */
	__u32 detail;
	char comm[COMM_BYTES];
	char name[NAME_BYTES];
};

/* What the probe says of one open descriptor. */
struct facts {
	struct object_key key;
	__u64 generation;
	__u64 magic;
	__u64 task_cgroup;
	/* 0 unless the descriptor is a socket. */
	__u64 socket_cgroup;
	/* PLACE_UNKNOWN if the names on the way to the root are too many or too long. */
	__u64 place_length;
	char place[SOCKET_PLACE_BYTES];
};

#define PLACE_UNKNOWN (~0ull)

#endif
