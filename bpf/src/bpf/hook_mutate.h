/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Mutation hooks. What they share: a change touches a few objects, each with a label; the first one
 * that the caller may not touch decides, and it is counted and told once. The programs below only
 * say which objects those are.
 *
 * All are inode hooks, not path hooks: they are asked of every change, also of what the kernel
 * does for the caller in a layer of an overlay, and need no CONFIG_SECURITY_PATH.
 */
#include "link.h"
#include "node.h"
#include "quota.h"

/* The answer so far. `entry`: what is told of, or is about to be made. */
struct change {
	enum hook hook;
	enum verdict verdict;
	enum object_kind kind;
	enum operation operation;
	__u32 object;
	struct dentry *entry;
	struct subject subject;
};

static __always_inline void touch(struct change *change, enum operation operation, __u32 object,
				  struct dentry *entry)
{
	if (change->verdict != VERDICT_ALLOW)
		return;
	change->verdict = ask(OBJECT_FILE, operation, &change->subject, object);
	change->kind = OBJECT_FILE;
	change->operation = operation;
	change->object = object;
	change->entry = entry;
}

/* Whether `inode` is the node's own, which is then judged as that. */
static __always_inline bool touch_stake(struct change *change, struct inode *inode,
					struct dentry *entry)
{
	struct stake stake;

	if (!stake_in(change->hook, inode, entry, true, change->subject.zone, &stake))
		return false;
	change->verdict = ask(stake.kind, stake.operation, &change->subject, stake.object);
	change->kind = stake.kind;
	change->operation = stake.operation;
	change->object = stake.object;
	change->entry = entry;
	return true;
}

/* A directory gets, or loses, `entry`. */
static __always_inline void touch_directory(struct change *change, struct inode *directory,
					    struct dentry *entry)
{
	if (change->verdict == VERDICT_ALLOW && !touch_stake(change, directory, entry))
		touch(change, OPERATION_USE,
		      label_of_inode(change->hook, directory, entry->d_parent), entry);
}

/* What `entry` leads to, which is changed or goes away. 7.x wants it tested that there is
 * something; these hooks are asked of nothing else. */
static __always_inline void touch_entry(struct change *change, struct dentry *entry)
{
	struct inode *inode = entry->d_inode;

	if (inode && change->verdict == VERDICT_ALLOW && !touch_stake(change, inode, entry))
		touch(change, OPERATION_USE, label_of_inode(change->hook, inode, entry), entry);
}

/* Counts the change and tells of a refusal; the hook's return value. */
static __always_inline int conclude(struct change *change)
{
	struct event *event;

	if (counted(change->hook, change->verdict, &change->subject, change->object) ==
	    VERDICT_ALLOW)
		return 0;
	event = event_begin(change->hook, change->verdict, &change->subject, change->object);
	if (event) {
		event->kind = change->kind;
		event->operation = change->operation;
		if (change->kind == OBJECT_FILE)
			describe_dentry(event, change->entry);
		else
			describe_place(event, change->entry);
		event_end(event);
	}
	return answer(change->verdict);
}

/* A program's frame: `body` is run for a zoned caller, if nobody has refused before. The hook's
 * return value so far follows its arguments. */
#define MUTATION(name, HOOK, returned, body)                                                       \
	SEC("lsm/" #name)                                                                          \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct change change = {.hook = HOOK};                                             \
		int ret = (int)(returned);                                                         \
                                                                                                   \
		if (ret)                                                                           \
			return ret;                                                                \
		if (!current_subject(&change.subject))                                             \
			return 0;                                                                  \
		body;                                                                              \
		return conclude(&change);                                                          \
	}

/* `ctx[0]` is the directory and `ctx[1]` the entry. */
#define MAKES(name, HOOK, arguments)                                                               \
	MUTATION(name, HOOK, ctx[arguments],                                                       \
		 touch_directory(&change, (void *)ctx[0], (void *)ctx[1]))

#define REMOVES(name, HOOK)                                                                        \
	MUTATION(name, HOOK, ctx[2], removes(&change, (void *)ctx[0], (void *)ctx[1]))

/*
 * Where `idmapped`, the first argument maps ids and all others are one further; the daemon asks the
 * kernel's BTF. The empty asm keeps clang from computing which: an offset from ctx is constant.
 */
const volatile __u32 setattr_is_idmapped = 0; /* since 6.9 */
const volatile __u32 xattr_is_idmapped = 0;   /* since 5.12 */

#define CHANGES(name, HOOK, idmapped, arguments)                                                   \
	SEC("lsm/" #name)                                                                          \
	int name(__u64 *ctx)                                                                       \
	{                                                                                          \
		struct dentry *entry;                                                              \
		__u64 ret;                                                                         \
                                                                                                   \
		if (idmapped) {                                                                    \
			entry = (void *)ctx[1];                                                    \
			ret = ctx[(arguments) + 1];                                                \
			asm volatile("" : "+r"(entry), "+r"(ret));                                 \
		} else {                                                                           \
			entry = (void *)ctx[0];                                                    \
			ret = ctx[arguments];                                                      \
		}                                                                                  \
		return changes(HOOK, entry, ret);                                                  \
	}

static __always_inline int changes(enum hook hook, struct dentry *entry, int ret)
{
	struct change change = {.hook = hook};

	if (ret)
		return ret;
	if (!current_subject(&change.subject))
		return 0;
	touch_entry(&change, entry);
	return conclude(&change);
}

/*
 * What another zone has claimed itself keeps its name, whatever a pair opens: something else would
 * be found at its path, or nothing. Its own zone may: programs replace their files so.
 */
static __always_inline void stays(struct change *change, struct dentry *entry)
{
	__u32 zone;

	if (change->verdict != VERDICT_ALLOW)
		return;
	zone = zone_of_claim_on(entry);
	if (zone != ZONE_HOST && zone != change->subject.zone)
		touch(change, OPERATION_RELABEL, zone, entry);
}

/* Both count: the entry may be claimed exactly, or the directory. */
static __always_inline void removes(struct change *change, struct inode *directory,
				    struct dentry *entry)
{
	touch_directory(change, directory, entry);
	touch_entry(change, entry);
	stays(change, entry);
}

/*
 * Two names must not give a file two labels, or whoever reaches one of them reaches it: refused,
 * whichever zones these are. The first name of a file made without one (O_TMPFILE) is a move.
 */
static __always_inline void links_from(struct change *change, struct dentry *old,
				       struct inode *directory, struct dentry *new)
{
	__u32 from, to;

	touch_directory(change, directory, new);
	touch_entry(change, old);
	if (!holds_claims(directory->i_sb->s_dev))
		return;
	from = label_zone(label_at(old, 0));
	if (!BPF_CORE_READ(old, d_inode, i_nlink))
		return;
	to = label_zone(label_at(new, 0));
	if (from != to)
		touch(change, OPERATION_RELABEL, from == change->subject.zone ? to : from, old);
}

/*
 * The entry that moves, and both directories. What is claimed itself stays where it is, and what it
 * lies in: at its path something else would be found by the next who looks.
 */
static __always_inline void moves(struct change *change, struct inode *from, struct dentry *old,
				  struct inode *to, struct dentry *new)
{
	__u64 label;

	touch_directory(change, from, old);
	touch_directory(change, to, new);
	touch_entry(change, old);
	/* As memory: there need not be one, which 6.12 does not believe. */
	if (BPF_CORE_READ(new, d_inode)) {
		touch_entry(change, new);
		stays(change, new);
	}
	if (!holds_claims(from->i_sb->s_dev))
		return;
	label = label_at(old, 0);
	if (label_depth(label) == 0 || is_above_claims(old))
		touch(change, OPERATION_RELABEL, label_zone(label), old);
}

/* open(2) with O_CREAT. */
MAKES(inode_create, HOOK_INODE_CREATE, 3)
/* mknod(2), and bind(2) of a Unix socket to a path. */
MAKES(inode_mknod, HOOK_INODE_MKNOD, 4)
MAKES(inode_symlink, HOOK_INODE_SYMLINK, 3)

/* Whoever makes the link: the host, or a privileged or audited zone. */
SEC("lsm/inode_link")
int inode_link(__u64 *ctx)
{
	struct change change = {.hook = HOOK_INODE_LINK};
	int ret = (int)ctx[3];

	if (ret)
		return ret;
	if (current_subject(&change.subject)) {
		links_from(&change, (void *)ctx[0], (void *)ctx[1], (void *)ctx[2]);
		ret = conclude(&change);
		if (ret)
			return ret;
	}
	keep_claim((void *)ctx[0], (void *)ctx[1], (void *)ctx[2]);
	return 0;
}

/* Asked twice of an exchange, the second time the other way round. */
MUTATION(inode_rename, HOOK_INODE_RENAME, ctx[4],
	 moves(&change, (void *)ctx[0], (void *)ctx[1], (void *)ctx[2], (void *)ctx[3]))
REMOVES(inode_unlink, HOOK_INODE_UNLINK)
REMOVES(inode_rmdir, HOOK_INODE_RMDIR)
/* Mode, owner, times and size, by path or descriptor. */
CHANGES(inode_setattr, HOOK_INODE_SETATTR, setattr_is_idmapped, 2)
/* Since 6.17: flags and the like by path; by descriptor it takes an open file, as ever. */
CHANGES(inode_file_setattr, HOOK_INODE_SETATTR, false, 2)
CHANGES(inode_setxattr, HOOK_INODE_SETXATTR, xattr_is_idmapped, 5)
CHANGES(inode_removexattr, HOOK_INODE_REMOVEXATTR, xattr_is_idmapped, 2)
/* Since 6.2 access control lists come here, and not as the extended attributes they are. */
CHANGES(inode_set_acl, HOOK_INODE_SETXATTR, true, 3)
CHANGES(inode_remove_acl, HOOK_INODE_REMOVEXATTR, true, 2)

/*
 * A cgroup beyond what its zone may have is refused here, where mkdir(2) still can be: the kernel
 * asks of a cgroup's directory as of any. Made all the same it would have no row, and be closed to
 * its own zone.
 */
static __always_inline int makes_cgroup(__u32 maker, struct inode *directory)
{
	int full = 0;
	__u32 zone;

	if (directory->i_sb->s_magic != CGROUP2_MAGIC)
		return 0;
	zone = zone_of_cgroup(cgroup_of_inode(directory));
	if (has_room(zone, SHARE_CGROUPS) ||
	    flags_of_zone(maker) & (ZONE_FLAG_PRIVILEGED | ZONE_FLAG_AUDIT))
		return 0;
	count_refused(zone, SHARE_CGROUPS);
	asm volatile("%0 = %1" : "=r"(full) : "i"(-ENOSPC)); /* as in answer() */
	return full;
}

SEC("lsm/inode_mkdir")
int inode_mkdir(__u64 *ctx)
{
	struct change change = {.hook = HOOK_INODE_MKDIR};
	int ret = (int)ctx[3];

	if (ret)
		return ret;
	if (!current_subject(&change.subject))
		return 0;
	touch_directory(&change, (void *)ctx[0], (void *)ctx[1]);
	ret = conclude(&change);
	if (ret)
		return ret;
	return makes_cgroup(change.subject.zone, (void *)ctx[0]);
}
