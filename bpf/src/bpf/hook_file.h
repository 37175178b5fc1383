/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* File hooks. */
#include "device.h"
#include "node.h"
#include "overlay.h"

static __always_inline void describe_file(struct event *event, struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	if (dentry->d_inode != file->f_inode)
		dentry = alias_of(file->f_inode);
	if (dentry)
		describe_dentry(event, dentry);
}

/* Judges the use of a file with that label, and tells of a refusal; the hook's return value. */
static __always_inline int judge_file(enum hook hook, const struct subject *subject,
				      struct file *file, __u32 object)
{
	enum verdict verdict = judge(hook, OBJECT_FILE, OPERATION_USE, subject, object);
	struct event *event;

	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(hook, verdict, subject, object);
	if (event) {
		describe_file(event, file);
		event_end(event);
	}
	return answer(verdict);
}

static __always_inline int use_file(enum hook hook, const struct subject *subject,
				    struct file *file)
{
	return judge_file(hook, subject, file, label_of_file(hook, file));
}

/* open(2) and its kin, by path or by handle; also the kernel's own opens on a task's behalf. */
SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file, int ret)
{
	struct subject subject;
	struct stake stake;
	__u32 label;

	/* Another BPF program has refused already. */
	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	if (stake_in(HOOK_FILE_OPEN, file->f_inode, file->f_path.dentry, file->f_mode & FMODE_WRITE,
		     subject.zone, &stake) ||
	    is_node_device(file->f_inode))
		return judge_stake(HOOK_FILE_OPEN, &subject, file, &stake);
	label = label_of_file(HOOK_FILE_OPEN, file);
	return judge_file(HOOK_FILE_OPEN, &subject, file,
			  label_behind_overlay(file, label, subject.zone));
}

/*
 * execve(2) and its kin; called again for a script's interpreter, with that as the file. What is
 * executed has always been opened first, by the same task and past file_open: by path, by
 * descriptor (it is opened anew) and through binfmt_misc alike. So this hook refuses what came to
 * belong to another zone in between, and the opening may take as long as a task likes: it waits for
 * the holder of a lease. An ELF file's interpreter is opened and mapped, but does not come here.
 */
SEC("lsm/bprm_check_security")
int BPF_PROG(bprm_check_security, struct linux_binprm *bprm, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	return use_file(HOOK_BPRM_CHECK_SECURITY, &subject, bprm->file);
}

/*
 * mmap(2) and its kin, and the kernel's own mapping of what is executed. `prot` is what it will be:
 * a personality may have added PROT_EXEC to what was asked for. Anonymous memory has no file.
 */
SEC("lsm/mmap_file")
int BPF_PROG(mmap_file, struct file *file, unsigned long reqprot, unsigned long prot,
	     unsigned long flags, int ret)
{
	struct subject subject;

	if (ret)
		return ret;
	if (!(prot & PROT_EXEC) || !current_subject(&subject))
		return 0;
	/* Asked twice: of memory for the reason argument() gives, and of the pointer because 7.x
	 * knows that it may be null and wants it tested. */
	if (!argument(HOOK_MMAP_FILE, SITE_MAPPED_FILE, ctx, 0) || !file)
		return 0;
	return use_file(HOOK_MMAP_FILE, &subject, file);
}

/*
 * mprotect(2) and its kin: a mapping made to be read is to be executed. One that is executable
 * already was judged when it became so. What is mapped of an overlay is the file behind it.
 */
SEC("lsm/file_mprotect")
int BPF_PROG(file_mprotect, struct vm_area_struct *vma, unsigned long reqprot, unsigned long prot,
	     int ret)
{
	struct subject subject;
	struct file *file;
	__u32 label;

	if (ret)
		return ret;
	if (!(prot & PROT_EXEC) || !current_subject(&subject))
		return 0;
	if (vma->vm_flags & VM_EXEC)
		return 0;
	file = vma->vm_file;
	/* Asked twice, as of a new mapping's. */
	if (!BPF_CORE_READ(vma, vm_file) || !file)
		return 0;
	label = label_uncached(HOOK_FILE_MPROTECT, file);
	return judge_file(HOOK_FILE_MPROTECT, &subject, file,
			  label_behind_overlay(file, label, subject.zone));
}

/*
 * A descriptor that another task hands over: SCM_RIGHTS, pidfd_getfd(2), seccomp's ADDFD. A socket
 * or a pipe lies on a file system without claims.
 */
SEC("lsm/file_receive")
int BPF_PROG(file_receive, struct file *file, int ret)
{
	struct subject subject;
	__u32 label;

	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	label = label_of_file(HOOK_FILE_RECEIVE, file);
	return judge_file(HOOK_FILE_RECEIVE, &subject, file,
			  label_behind_overlay(file, label, subject.zone));
}

/*
 * Every read and write, whichever call it comes from, so of what everyone pays for here there is as
 * little as can be. Two things are asked about: a descriptor of a cgroup's file that was open
 * before the caller was in its zone, or was given to it; and the host's name, which a file opened
 * in another namespace of names leads to.
 */
SEC("lsm/file_permission")
int BPF_PROG(file_permission, struct file *file, int mask, int ret)
{
	struct subject subject;
	struct stake stake;
	struct inode *inode;
	unsigned long magic;

	if (ret)
		return ret;
	if (!(mask & MAY_WRITE))
		return 0;
	inode = file->f_inode;
	magic = inode->i_sb->s_magic;
	if ((!is_cgroup_file(magic) && magic != PROC_MAGIC) || !current_subject(&subject))
		return 0;
	if (magic == PROC_MAGIC && !names_host(file))
		return 0;
	if (!stake_in(HOOK_FILE_PERMISSION, inode, file->f_path.dentry, true, subject.zone, &stake))
		return 0;
	return judge_stake(HOOK_FILE_PERMISSION, &subject, file, &stake);
}
