/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Watching files: inotify(7) and fanotify(7) tell when, and fanotify by whom and with a descriptor
 * of it; with some of its events the watcher decides over what others do.
 */
#include "mounted.h"
#include "node.h"

/* FSNOTIFY_OBJ_TYPE_INODE. The other kinds are all of a mount, a file system or a namespace. */
#define WATCHES_INODE 0

/* FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM, FAN_PRE_ACCESS: whoever opens or reads waits
 * for the watcher, and gets no further than he likes. */
#define DECIDES 0x170000

static __always_inline bool watches_mount(unsigned int type)
{
	return type == bpf_core_enum_value(enum fsnotify_obj_type___asked,
					   FSNOTIFY_OBJ_TYPE_VFSMOUNT___asked);
}

/* Whether the host is among those whom the watcher is to decide over. */
static __always_inline bool decides_over_host(const struct path *path, __u64 mask,
					      unsigned int type)
{
	if (!(mask & DECIDES))
		return false;
	if (watches_mount(type))
		return is_hosts(mount_of(BPF_CORE_READ(path, mnt)));
	return is_used_by_host(BPF_CORE_READ(path, dentry, d_sb));
}

/* The same on what nobody has claimed is the host's to allow. */
static __always_inline int judge_deciding(const struct subject *subject, struct dentry *dentry)
{
	enum verdict verdict =
		judge(HOOK_PATH_NOTIFY, OBJECT_NODE, OPERATION_USE, subject, ZONE_HOST);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_PATH_NOTIFY, verdict, subject, ZONE_HOST);
	if (event) {
		event->kind = OBJECT_NODE;
		describe_place(event, dentry);
		event_end(event);
	}
	return answer(verdict);
}

SEC("lsm/path_notify")
int BPF_PROG(path_notify, const struct path *path, __u64 mask, unsigned int type, int ret)
{
	struct dentry *dentry;
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u32 object;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	dentry = BPF_CORE_READ(path, dentry);
	/* Where there are claims, not everything that would be told of is the caller's. */
	if (!holds_claims(BPF_CORE_READ(dentry, d_sb, s_dev)))
		object = ZONE_HOST;
	else if (type == WATCHES_INODE)
		object = label_zone(label_at(dentry, 0));
	else
		object = ZONE_UNKNOWN;
	if (object == ZONE_HOST)
		return decides_over_host(path, mask, type) ? judge_deciding(&subject, dentry) : 0;
	verdict = judge(HOOK_PATH_NOTIFY, OBJECT_FILE, OPERATION_USE, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_PATH_NOTIFY, verdict, &subject, object);
	if (event) {
		describe_dentry(event, dentry);
		event_end(event);
	}
	return answer(verdict);
}
