/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/* File hooks. */
#include "emit.h"

static __always_inline void describe_file(struct event *event, struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	if (dentry->d_inode != file->f_inode)
		dentry = alias_of(file->f_inode);
	if (dentry)
		describe_dentry(event, dentry);
}

/* open(2) and its kin, by path or by handle; also the kernel's own opens on a task's behalf. */
SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file, int ret)
{
	enum verdict verdict;
	struct subject subject;
	struct event *event;
	__u32 object;

	/* Another BPF program has refused already. */
	if (ret)
		return ret;
	if (!current_subject(&subject))
		return 0;
	object = label_of_file(HOOK_FILE_OPEN, file);
	verdict = judge(HOOK_FILE_OPEN, HOOK_FILE_OPEN_KIND, &subject, object);
	if (verdict == VERDICT_ALLOW)
		return 0;
	event = event_begin(HOOK_FILE_OPEN, verdict, &subject, object);
	if (event) {
		describe_file(event, file);
		event_end(event);
	}
	return answer(verdict);
}
