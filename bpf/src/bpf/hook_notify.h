/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Watching files: inotify(7) and fanotify(7) tell when, and fanotify by whom and with a descriptor
 * of it; with some of its events the watcher decides over what others do.
 */
#include "emit.h"

/* FSNOTIFY_OBJ_TYPE_INODE. The other kinds are all of a mount, a file system or a namespace. */
#define WATCHES_INODE 0

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
	if (!holds_claims(BPF_CORE_READ(dentry, d_sb, s_dev)))
		return 0;
	/* Where there are claims, not everything that would be told of is the caller's. */
	object = type == WATCHES_INODE ? label_zone(label_at(dentry, 0)) : ZONE_UNKNOWN;
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
