/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* Judging, and telling the daemon: what every hook does once it knows subject and object. */
#ifndef SYVA_EMIT_H
#define SYVA_EMIT_H

#include "label.h"
#include "subject.h"

static __always_inline __u32 flags_of_zone(__u32 id)
{
	struct zone_row *row = bpf_map_lookup_elem(&zones, &id);

	/* Read whole: the row is one word. A zone without a row is judged as the strictest. */
	if (row) {
		__u64 word = *(volatile __u64 *)row;

		if ((__u32)word == id)
			return word >> 32;
	}
	return 0;
}

static __always_inline bool pair_allowed(__u32 a, __u32 b)
{
	struct pair_row key = {.low = a < b ? a : b, .high = a < b ? b : a};
	struct pair_row *row = bpf_map_lookup_elem(&pairs, &key);

	return row && *(volatile __u64 *)row == ((__u64)key.high << 32 | key.low);
}

static __always_inline enum verdict counted(enum hook hook, enum verdict verdict,
					    const struct subject *subject, __u32 object)
{
	count_verdict(hook, verdict);
	if (verdict == VERDICT_DENY)
		count_denial(hook, subject->zone, object);
	return verdict;
}

/* Answers. Rows are looked up only if they can matter. */
static __always_inline enum verdict ask(enum object_kind kind, enum operation operation,
					const struct subject *subject, __u32 object)
{
	struct question question = {
		.kind = kind,
		.operation = operation,
		.subject = subject->zone,
		.object = object,
	};

	if (settled(kind, operation, subject->zone, object))
		return VERDICT_ALLOW;
	question.flags = flags_of_zone(subject->zone);
	question.pair = pair_allowed(subject->zone, object);
	return decide(&question);
}

/* Answers and counts. */
static __always_inline enum verdict judge(enum hook hook, enum object_kind kind,
					  enum operation operation, const struct subject *subject,
					  __u32 object)
{
	return counted(hook, ask(kind, operation, subject, object), subject, object);
}

/*
 * Reads a hook's argument as memory; 0 if that fails, which is counted. 6.12 and later take every
 * pointer among a hook's arguments for non-null: they compile a test of it away, and load through
 * it without a net, so that a null would be an oops.
 */
static __always_inline __u64 argument(enum hook hook, enum error_site site, __u64 *ctx, int number)
{
	__u64 value = 0;

	if (bpf_probe_read_kernel(&value, sizeof(value), &ctx[number]))
		count_hook_error(hook, site);
	return value;
}

/*
 * The hook's return value. The constants are loaded in the asm: clang otherwise computes -EPERM
 * from the comparison, and 6.12 cannot prove that such a value lies between -4095 and 0.
 */
static __always_inline int answer(enum verdict verdict)
{
	int ret = 0;

	if (verdict == VERDICT_DENY)
		asm volatile("%0 = %1" : "=r"(ret) : "i"(-EPERM));
	return ret;
}

/* Begins an event, or counts that there was no room for it. */
static __always_inline struct event *event_begin(enum hook hook, enum verdict verdict,
						 const struct subject *subject, __u32 object)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	__u32 zero = 0;
	struct control_row *row = bpf_map_lookup_elem(&control, &zero);

	if (!event) {
		count_lost(hook);
		return NULL;
	}
	/* The ring's memory holds the event that was there before. */
	__builtin_memset(event, 0, sizeof(*event));
	event->monotonic_ns = bpf_ktime_get_ns();
	event->subject_cgroup = subject->cgroup;
	event->hook = hook;
	event->verdict = verdict;
	event->subject = subject->zone;
	event->object = object;
	event->kind = kind_of_hook(hook);
	event->pid = pid_tgid >> 32;
	event->tid = pid_tgid;
	if (row) {
		event->applied = *(volatile __u64 *)&row->applied;
		event->applying = *(volatile __u64 *)&row->applying;
	}
	if (bpf_get_current_comm(event->comm, sizeof(event->comm)))
		count_error(SITE_COMM);
	return event;
}

/* The ancestor that many levels up. */
static __always_inline struct dentry *climb(struct dentry *dentry, __u32 levels)
{
	for (__u32 level = 0; level < WALK_LEVELS; level++) {
		if (level == levels)
			break;
		dentry = BPF_CORE_READ(dentry, d_parent);
	}
	return dentry;
}

/* The claim that the file was linked out of. */
static __always_inline void describe_link(struct event *event, struct dentry *dentry)
{
	struct object_key key = {
		.dev = BPF_CORE_READ(dentry, d_sb, s_dev),
		.ino = BPF_CORE_READ(dentry, d_inode, i_ino),
	};
	volatile struct link_row *link = bpf_map_lookup_elem(&links, &key);

	if (!link)
		return;
	event->depth = LINKED;
	event->claim.dev = link->claim.dev;
	event->claim.ino = link->claim.ino;
}

/*
 * Says which object it was, and walks again to learn which claim made it so: a denial may cost.
 * What is to be made has no inode yet. If it is not the entry's own label that was judged, it is
 * that of the directory it is in.
 */
static __always_inline void describe_dentry(struct event *event, struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	__u64 at = label_at(dentry, 0);
	__u32 above = 0;

	event->inode = BPF_CORE_READ(dentry, d_inode, i_ino);
	if (bpf_probe_read_kernel_str(event->name, sizeof(event->name), name) < 0)
		count_error(SITE_NAME);
	if (label_zone(at) != event->object) {
		dentry = BPF_CORE_READ(dentry, d_parent);
		at = label_at(dentry, 0);
		above = 1;
	}
	if (label_depth(at) == NO_CLAIM)
		return;
	if (label_depth(at) == LINKED)
		return describe_link(event, dentry);
	event->depth = label_depth(at) + above;
	dentry = climb(dentry, label_depth(at));
	event->claim.dev = BPF_CORE_READ(dentry, d_sb, s_dev);
	event->claim.ino = BPF_CORE_READ(dentry, d_inode, i_ino);
}

static __always_inline void event_end(struct event *event)
{
	bpf_ringbuf_submit(event, 0);
}

#endif
