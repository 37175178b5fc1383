/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * bpf(2) and the mounts its pins lie on. A zone gets what container runtimes need, and what no one
 * else can be touched by: programs for its own sockets, programs that say which devices its own
 * cgroups may use, and plain maps for both. Everything that is found by a number or a path, looks
 * at the kernel, or runs for others is refused. Classic filters (seccomp, SO_ATTACH_FILTER) do not
 * come here.
 */
#include "node.h"
#include "overlay.h"

/* enum bpf_cmd, enum bpf_prog_type, enum bpf_attach_type: the kernel's interface, which only grows.
 */
enum bpf_command {
	BPF_MAP_CREATE = 0,
	BPF_MAP_LOOKUP_ELEM = 1,
	BPF_MAP_UPDATE_ELEM = 2,
	BPF_MAP_DELETE_ELEM = 3,
	BPF_MAP_GET_NEXT_KEY = 4,
	BPF_PROG_LOAD = 5,
	BPF_PROG_ATTACH = 8,
	BPF_PROG_DETACH = 9,
	BPF_OBJ_GET_INFO_BY_FD = 15,
	BPF_PROG_QUERY = 16,
	BPF_BTF_LOAD = 18,
	BPF_MAP_LOOKUP_AND_DELETE_ELEM = 21,
	BPF_MAP_FREEZE = 22,
	BPF_MAP_LOOKUP_BATCH = 24,
	BPF_MAP_LOOKUP_AND_DELETE_BATCH = 25,
	BPF_MAP_UPDATE_BATCH = 26,
	BPF_MAP_DELETE_BATCH = 27,
};

/* Since 7.x a bit above the command says that another structure follows. */
#define BPF_COMMAND_BITS 0xffff

#define BPF_PROG_TYPE_SOCKET_FILTER 1
#define BPF_PROG_TYPE_CGROUP_DEVICE 15
#define BPF_CGROUP_DEVICE	    6

/* HASH, ARRAY, their per-CPU and least-recently-used kinds, and LPM_TRIE: they hold bytes. */
#define PLAIN_MAP_TYPES (1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11)

/* The first words of union bpf_attr, whatever the command makes of them. */
struct bpf_words {
	__u32 word[3];
};

/* The zone of the cgroup that a descriptor of the caller is; the host's if it is none. Another
 * thread may put something else behind the number before the kernel looks: see SECURITY.md. */
static __always_inline __u32 zone_behind(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	struct inode *inode;

	if (fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), &files[fd]) || !file)
		return ZONE_HOST;
	inode = BPF_CORE_READ(file, f_inode);
	if (BPF_CORE_READ(inode, i_sb, s_magic) != CGROUP2_MAGIC ||
	    (BPF_CORE_READ(inode, i_mode) & S_IFMT) != S_IFDIR)
		return ZONE_HOST;
	return zone_of_cgroup(cgroup_of_inode(inode));
}

/* Whose the object of a command is: what runtimes need is the caller's own. */
static __always_inline __u32 zone_of_command(__u32 command, const struct bpf_words *attr, __u32 own)
{
	switch (command & BPF_COMMAND_BITS) {
	case BPF_MAP_CREATE:
		return attr->word[0] < 32 && (PLAIN_MAP_TYPES >> attr->word[0] & 1) ? own
										    : ZONE_HOST;
	case BPF_PROG_LOAD:
		return attr->word[0] == BPF_PROG_TYPE_SOCKET_FILTER ||
				       attr->word[0] == BPF_PROG_TYPE_CGROUP_DEVICE
			       ? own
			       : ZONE_HOST;
	case BPF_PROG_ATTACH:
	case BPF_PROG_DETACH:
		return attr->word[2] == BPF_CGROUP_DEVICE ? zone_behind(attr->word[0]) : ZONE_HOST;
	case BPF_PROG_QUERY:
		return attr->word[1] == BPF_CGROUP_DEVICE ? zone_behind(attr->word[0]) : ZONE_HOST;
	case BPF_MAP_LOOKUP_ELEM:
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_DELETE_ELEM:
	case BPF_MAP_GET_NEXT_KEY:
	case BPF_MAP_LOOKUP_AND_DELETE_ELEM:
	case BPF_MAP_FREEZE:
	case BPF_MAP_LOOKUP_BATCH:
	case BPF_MAP_LOOKUP_AND_DELETE_BATCH:
	case BPF_MAP_UPDATE_BATCH:
	case BPF_MAP_DELETE_BATCH:
	case BPF_OBJ_GET_INFO_BY_FD:
	case BPF_BTF_LOAD:
		return own;
	default:
		return ZONE_HOST;
	}
}

static __always_inline int ask_bpf(__u32 command, __u64 attr, int ret)
{
	struct bpf_words words = {};
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u32 object = ZONE_HOST;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	/* The kernel's own copy of what the caller passed. */
	if (bpf_probe_read_kernel(&words, sizeof(words), (void *)attr))
		count_hook_error(HOOK_BPF, SITE_BPF_ATTR);
	else
		object = zone_of_command(command, &words, subject.zone);
	verdict = judge(HOOK_BPF, OBJECT_NODE, OPERATION_GOVERN, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_BPF, verdict, &subject, object);
	if (event) {
		event->operation = OPERATION_GOVERN;
		event->detail = command;
		event_end(event);
	}
	return answer(verdict);
}

/* Since 6.16 a fourth argument says whether the kernel itself asks. */
const volatile __u32 bpf_tells_origin = 0;

SEC("lsm/bpf")
int bpf(__u64 *ctx)
{
	__u64 ret;

	if (bpf_tells_origin) {
		ret = ctx[4];
		asm volatile("" : "+r"(ret));
	} else {
		ret = ctx[3];
		asm volatile("" : "+r"(ret));
	}
	return ask_bpf(ctx[0], ctx[1], ret);
}

/* How many copies of a mount are looked at; of more than these it is taken to be the host's too. */
#define COPIES 64

/*
 * Whether what is mounted there goes away in the mount namespace of the host: because the caller is
 * in it, or because the mount it lies on is shared with one there, as those are that a namespace
 * was copied with.
 */
static __always_inline bool unmounts_host_s(struct vfsmount *mnt)
{
	struct mount *mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	struct mount *first = BPF_CORE_READ(mount, mnt_parent);
	struct mount *copy = first;

	if (current_mount_namespace() == host_mount_namespace)
		return true;
	for (int i = 0; i < COPIES; i++) {
		struct list_head *next = BPF_CORE_READ(copy, mnt_share.next);

		if (BPF_CORE_READ(copy, mnt_ns, ns.inum) == host_mount_namespace)
			return true;
		copy = (void *)next - bpf_core_field_offset(struct mount, mnt_share);
		if (!next || copy == first)
			return false;
	}
	return true;
}

/*
 * A mount goes away. With the last one of the BPF file system that the pins lie on they would go
 * too, and enforcement with them; and it goes with any mount above it. So a zone unmounts nothing
 * in the mount namespace of the host.
 */
SEC("lsm/sb_umount")
int BPF_PROG(sb_umount, struct vfsmount *mnt, int flags, int ret)
{
	enum operation operation = OPERATION_USE;
	__u32 object = ZONE_HOST;
	enum verdict verdict;
	struct subject subject;
	struct event *event;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	if (BPF_CORE_READ(mnt, mnt_sb, s_magic) == BPFFS_MAGIC)
		operation = OPERATION_GOVERN;
	else if (!unmounts_host_s(mnt))
		object = subject.zone;
	verdict = judge(HOOK_SB_UMOUNT, OBJECT_NODE, operation, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_SB_UMOUNT, verdict, &subject, object);
	if (event) {
		event->operation = operation;
		describe_place(event, BPF_CORE_READ(mnt, mnt_root));
		event_end(event);
	}
	return answer(verdict);
}
