/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * ioctl(2): of all that it does, what concerns others than who has the file. A terminal is typed
 * into, or taken from its session; a file system is frozen, or made larger; a disk is given a
 * command past every file on it.
 */
#include "device.h"
#include "node.h"
#include "terminal.h"

/* The types of the commands that are looked at; all else costs no more than looking at the type. */
#define OF_CONSOLES	0x4b
#define OF_TERMINALS	0x54
#define OF_FILE_SYSTEMS 0x58
#define OF_EXT4		0x66
#define OF_NAMESPACES	0xb7

static __always_inline bool is_looked_at(unsigned int cmd)
{
	__u8 type = cmd >> 8, number = cmd;

	/* Who draws gives many commands. */
	if (type == OF_GRAPHICS)
		return number == DRM_MODE_GETFB || number == DRM_MODE_GETFB2;
	return type == OF_TERMINALS || type == OF_CONSOLES || type == OF_FILE_SYSTEMS ||
	       type == OF_EXT4 || type == OF_NAMESPACES || type == OF_NVME || type == OF_SCSI;
}

/* Of terminals. */
#define TIOCSCTTY   0x540e
#define TIOCSTI	    0x5412
#define TIOCLINUX   0x541c
#define TIOCCONS    0x541d
#define TIOCVHANGUP 0x5437

/* Of virtual consoles: what their keys say, on all of them. */
#define KDSKBENT     0x4b47
#define KDSKBSENT    0x4b49
#define KDSKBDIACR   0x4b4b
#define KDSETKEYCODE 0x4b4d
#define KDSKBDIACRUC 0x4bfb

/* Serial lines have the same. */
#define TTY_MAJOR    4
#define SERIAL_MINOR 64

static __always_inline bool is_virtual_console(struct tty_struct *tty)
{
	struct tty_driver *driver = BPF_CORE_READ(tty, driver);

	return BPF_CORE_READ(driver, major) == TTY_MAJOR &&
	       BPF_CORE_READ(driver, minor_start) < SERIAL_MINOR;
}

/* Of namespaces, without their size, which grows. */
#define NS_MNT_GET_NEXT 0xb70b
#define NS_MNT_GET_PREV 0xb70c

/* Of every file system, through any file on it. */
#define FIFREEZE 0xc0045877
#define FITHAW	 0xc0045878
#define FITRIM	 0xc0185879
#define SHUTDOWN 0x8004587d /* of XFS, and of ext4 and f2fs */

#define EXT4_MAGIC 0xef53
#define XFS_MAGIC  0x58465342

/* Whole: reading it has the same number, in the other direction. */
#define EXT4_SET_UUID 0x4008662c

/* A command's type and number, without direction and size. */
#define EXT4_GROUP_EXTEND	0x6607
#define EXT4_GROUP_ADD		0x6608
#define EXT4_RESIZE_FS		0x6610
#define EXT4_SWAP_BOOT		0x6611
#define EXT4_CHECKPOINT		0x662b
#define EXT4_SET_TUNE		0x662e
#define XFS_OPEN_BY_HANDLE	0x586b
#define XFS_READLINK_BY_HANDLE	0x586c
#define XFS_GROW_DATA		0x586e
#define XFS_GROW_LOG		0x586f
#define XFS_GROW_REALTIME	0x5870
#define XFS_SET_RESERVED	0x5872
#define XFS_ERROR_INJECTION	0x5874
#define XFS_ERROR_CLEAR		0x5875
#define XFS_SETDM_BY_HANDLE	0x5879
#define XFS_ATTRLIST_BY_HANDLE	0x587a
#define XFS_ATTRMULTI_BY_HANDLE 0x587b

/* What is about the file system, or a file on it that is named by a handle, past the hooks that ask
 * about files. */
static __always_inline bool is_of_file_system(struct inode *inode, unsigned int cmd)
{
	__u16 type = inode->i_mode & S_IFMT, kind = cmd;

	if (type != S_IFREG && type != S_IFDIR)
		return false;
	switch (inode->i_sb->s_magic) {
	case EXT4_MAGIC:
		return kind == EXT4_GROUP_EXTEND || kind == EXT4_GROUP_ADD ||
		       kind == EXT4_RESIZE_FS || kind == EXT4_SWAP_BOOT ||
		       kind == EXT4_CHECKPOINT || kind == EXT4_SET_TUNE || cmd == EXT4_SET_UUID;
	case XFS_MAGIC:
		return kind == XFS_OPEN_BY_HANDLE || kind == XFS_READLINK_BY_HANDLE ||
		       kind == XFS_GROW_DATA || kind == XFS_GROW_LOG || kind == XFS_GROW_REALTIME ||
		       kind == XFS_SET_RESERVED || kind == XFS_ERROR_INJECTION ||
		       kind == XFS_ERROR_CLEAR || kind == XFS_SETDM_BY_HANDLE ||
		       kind == XFS_ATTRLIST_BY_HANDLE || kind == XFS_ATTRMULTI_BY_HANDLE;
	default:
		return false;
	}
}

/* One that was mounted in a user namespace is that one's. */
static __always_inline bool rules_file_system(struct inode *inode, unsigned int cmd)
{
	bool rules = cmd == FIFREEZE || cmd == FITHAW || cmd == FITRIM || cmd == SHUTDOWN ||
		     is_of_file_system(inode, cmd);

	return rules && !BPF_CORE_READ(inode, i_sb, s_user_ns, level);
}

/* Going from one namespace of mounts to the next (since 6.12): it opens every container's. */
static __always_inline bool goes_to_next(struct inode *inode, __u16 kind)
{
	return (kind == NS_MNT_GET_NEXT || kind == NS_MNT_GET_PREV) &&
	       inode->i_sb->s_magic == NSFS_MAGIC;
}

/*
 * Whose a terminal is that something is done to which its user notices only too late; false if
 * nobody is concerned.
 *
 * Whoever reads there takes what is typed, or pasted into a console, for its user's. One that is in
 * no session is the host's then. Which session a terminal is of is itself changed: with
 * CAP_SYS_ADMIN it is taken from another (TIOCSCTTY), or that one is hung up. One that is in no
 * session is for anyone to take. What the kernel says to its console, TIOCCONS has said elsewhere;
 * a key of the consoles can be given a line to type.
 */
static __always_inline bool concerns_terminal(struct file *file, unsigned int cmd, __u32 *object)
{
	struct tty_struct *tty;

	*object = ZONE_HOST;
	switch (cmd) {
	case TIOCSTI:
	case TIOCLINUX:
		tty = terminal_of(file);
		if (tty)
			zone_of_terminal(tty, object);
		return tty;
	case TIOCSCTTY:
	case TIOCVHANGUP:
		tty = terminal_of(file);
		return tty && zone_of_terminal(tty, object);
	case TIOCCONS:
		return terminal_of(file);
	case KDSKBENT:
	case KDSKBSENT:
	case KDSKBDIACR:
	case KDSETKEYCODE:
	case KDSKBDIACRUC:
		tty = terminal_of(file);
		return tty && is_virtual_console(tty);
	default:
		return false;
	}
}

/* Of all that ioctl(2) does, what concerns others than who has the file. */
static __always_inline int controls(struct file *file, unsigned int cmd, int ret)
{
	struct subject subject;
	struct inode *inode;
	__u32 object;

	if (ret)
		return ret;
	if (!is_looked_at(cmd) || !current_subject(&subject))
		return 0;
	inode = file->f_inode;
	if (!concerns_terminal(file, cmd, &object) && !goes_to_next(inode, cmd) &&
	    !rules_file_system(inode, cmd) && !passes_to_disk(inode, cmd) &&
	    !shows_screen(inode, cmd))
		return 0;
	return judge_node(HOOK_FILE_IOCTL, &subject, object, cmd,
			  (const char *)BPF_CORE_READ(file, f_path.dentry, d_name.name));
}

SEC("lsm/file_ioctl")
int BPF_PROG(file_ioctl, struct file *file, unsigned int cmd, unsigned long arg, int ret)
{
	return controls(file, cmd, ret);
}

/* Of 32-bit programs, in kernels that ask of them separately. */
SEC("lsm/file_ioctl_compat")
int BPF_PROG(file_ioctl_compat, struct file *file, unsigned int cmd, unsigned long arg, int ret)
{
	return controls(file, cmd, ret);
}

/* The same by io_uring (5.19), in kernels that ask about it (6.0). */
SEC("lsm/uring_cmd")
int BPF_PROG(uring_cmd, struct io_uring_cmd *command, int ret)
{
	struct subject subject;
	struct file *file;

	if (ret)
		return ret;
	file = command->file;
	if (!passes_by_ring(file->f_inode) || !current_subject(&subject))
		return 0;
	return judge_node(HOOK_FILE_IOCTL, &subject, ZONE_HOST, command->cmd_op,
			  (const char *)BPF_CORE_READ(file, f_path.dentry, d_name.name));
}
