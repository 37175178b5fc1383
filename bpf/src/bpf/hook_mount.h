/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Mounts: what lies over a path, for whoever looks at it there. In a mount namespace of its own a
 * zone mounts as it likes, and files are judged by what they are, wherever they are mounted. What
 * the host sees is not a zone's to change: neither in the host's namespace, nor from another one
 * through a mount that the two share.
 *
 * mount_setattr(2) has no hook (7.3): hook_capable.h refuses it.
 */
#include "mounted.h"
#include "node.h"

#define MS_REMOUNT 32
#define MS_BIND	   4096
/* MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED: how a mount goes on to share, which is its own.
 */
#define MS_SHARING (15 << 17)

/* Counts the answer about a mount, and tells of a refusal by what is mounted on, or unmounted. */
static __always_inline int judge_mount(enum hook hook, enum operation operation,
				       const struct subject *subject, bool hosts,
				       struct dentry *dentry)
{
	__u32 object = hosts ? ZONE_HOST : subject->zone;
	enum verdict verdict = judge(hook, OBJECT_NODE, operation, subject, object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, object);
	if (event) {
		event->operation = operation;
		describe_place(event, dentry);
		event_end(event);
	}
	return answer(verdict);
}

/* mount(2), whatever it is asked for. */
SEC("lsm/sb_mount")
int BPF_PROG(sb_mount, const char *dev_name, const struct path *path, const char *type,
	     unsigned long flags, void *data, int ret)
{
	struct subject subject;
	struct mount *mount;
	bool hosts;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	mount = mount_of(BPF_CORE_READ(path, mnt));
	/* The flags of a mount, and how it shares, stay with it; what is mounted on it does not. */
	if (flags & (MS_REMOUNT | MS_SHARING))
		hosts = is_hosts(mount);
	else
		hosts = is_seen_by_host(mount);
	return judge_mount(HOOK_SB_MOUNT, OPERATION_USE, &subject, hosts,
			   BPF_CORE_READ(path, dentry));
}

/* move_mount(2), and with it all that fsmount(2) and open_tree(2) made. */
SEC("lsm/move_mount")
int BPF_PROG(move_mount, const struct path *from, const struct path *to, int ret)
{
	struct subject subject;
	bool hosts;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	hosts = is_hosts(mount_of(BPF_CORE_READ(from, mnt))) ||
		is_seen_by_host(mount_of(BPF_CORE_READ(to, mnt)));
	return judge_mount(HOOK_MOVE_MOUNT, OPERATION_USE, &subject, hosts,
			   BPF_CORE_READ(to, dentry));
}

/*
 * With the last mount of the BPF file system that the pins lie on they would go too, and
 * enforcement with them.
 */
SEC("lsm/sb_umount")
int BPF_PROG(sb_umount, struct vfsmount *mnt, int flags, int ret)
{
	struct mount *mount;
	struct subject subject;
	bool hosts;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	mount = mount_of(mnt);
	/* It goes from wherever what it is mounted on is shared. */
	hosts = is_hosts(mount) || is_seen_by_host(BPF_CORE_READ(mount, mnt_parent));
	return judge_mount(HOOK_SB_UMOUNT,
			   hosts && BPF_CORE_READ(mnt, mnt_sb, s_magic) == BPFFS_MAGIC
				   ? OPERATION_GOVERN
				   : OPERATION_USE,
			   &subject, hosts, BPF_CORE_READ(mnt, mnt_root));
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(sb_pivotroot, const struct path *old_path, const struct path *new_path, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	return judge_mount(HOOK_SB_PIVOTROOT, OPERATION_USE, &subject,
			   is_hosts(mount_of(BPF_CORE_READ(new_path, mnt))),
			   BPF_CORE_READ(new_path, dentry));
}

/* The options of a file system, not of a mount, are changed for all who have it mounted. */
SEC("lsm/sb_remount")
int BPF_PROG(sb_remount, struct super_block *sb, void *opts, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	return judge_mount(HOOK_SB_REMOUNT, OPERATION_USE, &subject, is_used_by_host(sb),
			   BPF_CORE_READ(sb, s_root));
}
