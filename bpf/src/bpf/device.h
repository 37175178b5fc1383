/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Devices that are the node's, whoever is given a file of one: disks, the memory, what the host's
 * user sees and types. A node of one's own making leads to the same device, so they are told by
 * their numbers as far as those are fixed (Documentation/admin-guide/devices.txt), and else by what
 * is asked of them. The rest (GPUs, sound, serial lines, VFIO) is for the runtime's rules to give.
 */
#ifndef SYVA_DEVICE_H
#define SYVA_DEVICE_H

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define MAJOR(device) ((device) >> 20)
#define MINOR(device) ((device)&0xfffff)

#define MEMORY_MAJOR	   1
#define CONSOLES_MAJOR	   7 /* vcs: what is on the screen */
#define TAPES_MAJOR	   9
#define MISC_MAJOR	   10
#define INPUT_MAJOR	   13 /* what is typed; written to, it is typed */
#define SCSI_MAJOR	   21
#define FRAMEBUFFERS_MAJOR 29
#define CHANGERS_MAJOR	   86 /* of tapes */
#define FLASH_MAJOR	   90
#define RAW_MAJOR	   162 /* a disk past the page cache, until 5.14 */
#define USB_MAJOR	   180
#define MSR_MAJOR	   202 /* reading them is locked down by nothing */

#define PS2_MOUSE_MINOR	    1
#define WATCHDOG_MINOR	    130 /* who opens it and ends has the machine start anew */
#define NVRAM_MINOR	    144
#define MICROCODE_MINOR	    184
#define CUSE_MINOR	    203 /* makes devices for everyone */
#define FUSION_MINOR	    220 /* to 222: what any disk at such a host adapter is to do */
#define UINPUT_MINOR	    223
#define MCELOG_MINOR	    227
#define SNAPSHOT_MINOR	    231 /* the image for hibernation: all memory */
#define BTRFS_CONTROL_MINOR 234
#define MAPPER_MINOR	    236 /* makes disks of disks, and changes what the host's are made of */
#define LOOP_CONTROL_MINOR  237
#define UHID_MINOR	    239
#define USERIO_MINOR	    240

static __always_inline bool is_node_minor(__u32 minor)
{
	switch (minor) {
	case PS2_MOUSE_MINOR:
	case WATCHDOG_MINOR:
	case NVRAM_MINOR:
	case MICROCODE_MINOR:
	case CUSE_MINOR:
	case FUSION_MINOR ... FUSION_MINOR + 2:
	case UINPUT_MINOR:
	case MCELOG_MINOR:
	case SNAPSHOT_MINOR:
	case BTRFS_CONTROL_MINOR:
	case MAPPER_MINOR:
	case LOOP_CONTROL_MINOR:
	case UHID_MINOR:
	case USERIO_MINOR:
		return true;
	default:
		return false;
	}
}

/* /dev/usb/hiddev*: keyboards, past input. The others are printers and the like. */
#define HIDDEV_MINOR 96

static __always_inline bool is_keyboard_by_usb(__u32 device)
{
	return MINOR(device) >= HIDDEV_MINOR && MINOR(device) < HIDDEV_MINOR + 16;
}

static __always_inline bool is_node_number(__u32 device)
{
	switch (MAJOR(device)) {
	case CONSOLES_MAJOR:
	case TAPES_MAJOR:
	case INPUT_MAJOR:
	case SCSI_MAJOR:
	case FRAMEBUFFERS_MAJOR:
	case CHANGERS_MAJOR:
	case FLASH_MAJOR:
	case RAW_MAJOR:
	case MSR_MAJOR:
		return true;
	case USB_MAJOR:
		return is_keyboard_by_usb(device);
	case MISC_MAJOR:
		return is_node_minor(MINOR(device));
	default:
		return false;
	}
}

/* Not to be opened, to read neither. A disk holds every zone's files. */
static __always_inline bool is_node_device(struct inode *inode)
{
	switch (inode->i_mode & S_IFMT) {
	case S_IFBLK:
		return true;
	case S_IFCHR:
		return is_node_number(inode->i_rdev);
	default:
		return false;
	}
}

/*
 * Commands that a driver hands to a disk as they are. The numbers of the character devices that
 * take them (nvme, nvme-generic, bsg) are given out as drivers come.
 */
#define OF_SCSI	 0x22
#define OF_NVME	 0x4e
#define NVME_MIN 0x40 /* below are those of scanners */
#define NVME_MAX 0x7f
#define SG_IO	 0x2285

/* What a screen shows, for CAP_SYS_ADMIN (DRM_IOCTL_MODE_GETFB, GETFB2); drawing asks neither. */
#define OF_GRAPHICS	0x64
#define GRAPHICS_MAJOR	226
#define DRM_MODE_GETFB	0xad
#define DRM_MODE_GETFB2 0xce

static __always_inline bool shows_screen(struct inode *inode, unsigned int cmd)
{
	__u8 number = cmd;

	return (number == DRM_MODE_GETFB || number == DRM_MODE_GETFB2) &&
	       (inode->i_mode & S_IFMT) == S_IFCHR && MAJOR(inode->i_rdev) == GRAPHICS_MAJOR;
}

static __always_inline bool passes_to_disk(struct inode *inode, unsigned int cmd)
{
	__u8 type = cmd >> 8, number = cmd;

	if ((inode->i_mode & S_IFMT) != S_IFCHR)
		return false;
	return cmd == SG_IO || (type == OF_NVME && number >= NVME_MIN && number <= NVME_MAX);
}

/*
 * The same by io_uring. Of devices' drivers those of disks alone take commands so (7.3), those that
 * make one in user space (ublk) among them; but for FUSE, under misc, and /dev/null. Sockets and
 * files are no devices.
 */
static __always_inline bool passes_by_ring(struct inode *inode)
{
	__u32 major = MAJOR(inode->i_rdev);

	return (inode->i_mode & S_IFMT) == S_IFCHR && major != MEMORY_MAJOR && major != MISC_MAJOR;
}

#endif
