//! The one list of LSM hooks: C indices, Rust names, metric labels and the docs' table all come
//! from here (`bpf/build.rs` writes the C header, a test checks `docs/hooks.md`).

use serde::{Deserialize, Serialize};

/// The kind of thing a hook protects; it decides how the object's zone is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ObjectKind {
    /// An inode, labelled by its nearest claimed ancestor.
    File,
    /// A task, labelled by its cgroup.
    Task,
    /// A socket, labelled by the claim it is bound in, else by the cgroup that made it.
    Socket,
    /// The node itself and the engine on it: the host's. A cgroup's files are the zone's it is in.
    Node,
    /// A System V object or a key, labelled by the cgroup of the task that made it.
    Ipc,
}

impl ObjectKind {
    /// Every kind, by its number in the kernel's events.
    pub const ALL: [ObjectKind; 5] = [
        ObjectKind::File,
        ObjectKind::Task,
        ObjectKind::Socket,
        ObjectKind::Node,
        ObjectKind::Ipc,
    ];
}

macro_rules! hooks {
    ($( $variant:ident = $index:literal, $name:literal, $kind:ident, $denies:literal; )+) => {
        /// An LSM hook on which a decision is taken.
        ///
        /// The discriminant is the index in the kernel's counters and events. It is part of the
        /// map schema: append, never renumber.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Hook { $( #[doc = $denies] $variant = $index, )+ }

        impl Hook {
            /// Every hook, in index order.
            pub const ALL: &'static [Hook] = &[ $( Hook::$variant, )+ ];

            /// The LSM hook's own name in the kernel, used everywhere a human or a metric sees it.
            pub const fn name(self) -> &'static str {
                match self { $( Hook::$variant => $name, )+ }
            }

            /// What kind of object the hook protects.
            pub const fn object_kind(self) -> ObjectKind {
                match self { $( Hook::$variant => ObjectKind::$kind, )+ }
            }

            /// What an operator is told the hook denies.
            pub const fn denies(self) -> &'static str {
                match self { $( Hook::$variant => $denies, )+ }
            }
        }
    };
}

hooks! {
    FileOpen = 0, "file_open", File,
        "opening a file of another zone; opening to write what rules the node (`docs/decisions/0010-engine.md` lists it), another zone's \
         cgroup, or another zone's task's file in /proc; a block device and others that are the node's, a terminal of another zone's or the host's session, what debugs the kernel, and what shows a task's memory, also to \
         read; a namespace by its handle";
    TaskKill = 1, "task_kill", Task, "sending a signal to a task of another zone or of the host";
    UnixStreamConnect = 2, "unix_stream_connect", Socket,
        "connecting to a Unix stream or seqpacket socket of another zone or of the host";
    BprmCheckSecurity = 3, "bprm_check_security", File,
        "executing a file of another zone, or a script whose interpreter is one";
    MmapFile = 4, "mmap_file", File, "mapping a file of another zone to execute it";
    PtraceAccessCheck = 5, "ptrace_access_check", Task,
        "reading about or attaching to a task of another zone (even of an allowed pair) or of the host; attaching inside a \
         zone without `allow_ptrace`";
    PtraceTraceme = 6, "ptrace_traceme", Task,
        "being traced, at its own wish, by a parent that may not attach to it";
    UnixMaySend = 7, "unix_may_send", Socket,
        "sending a datagram to a Unix socket of another zone or of the host, and connecting to one";
    FileMprotect = 8, "file_mprotect", File, "making a mapping of another zone's file executable later";
    FileReceive = 9, "file_receive", File, "receiving a descriptor of another zone's file from another task";
    InodeCreate = 10, "inode_create", File, "making a file in a directory of another zone";
    InodeMkdir = 11, "inode_mkdir", File, "making a directory in one of another zone";
    InodeMknod = 12, "inode_mknod", File,
        "making a device, a pipe or a bound Unix socket in a directory of another zone";
    InodeSymlink = 13, "inode_symlink", File, "making a symbolic link in a directory of another zone";
    InodeLink = 14, "inode_link", File,
        "linking a file of another zone, or into a directory of one; linking a file to where its zone would be another";
    InodeRename = 15, "inode_rename", File,
        "renaming or replacing what is another zone's, out of or into its directories; renaming what is claimed itself";
    InodeUnlink = 16, "inode_unlink", File, "removing a file of another zone, or from a directory of one";
    InodeRmdir = 17, "inode_rmdir", File, "removing a directory of another zone, or from one";
    InodeSetattr = 18, "inode_setattr", File,
        "changing the mode, owner, times, size or flags of a file of another zone";
    InodeSetxattr = 19, "inode_setxattr", File,
        "setting an extended attribute or an access control list of a file of another zone";
    InodeRemovexattr = 20, "inode_removexattr", File,
        "removing an extended attribute or an access control list of a file of another zone";
    FilePermission = 21, "file_permission", Node,
        "writing to a cgroup of another zone or of the host through a descriptor that was open already; naming the host through one \
         that was opened in another namespace of names";
    Bpf = 22, "bpf", Node,
        "bpf(2), but for what container runtimes need: programs for sockets and for the devices of own cgroups";
    CgroupCanFork = 23, "cgroup_can_fork", Node,
        "starting a task in a cgroup of another zone or of the host (clone3): the caller is killed";
    CgroupAttachTask = 24, "cgroup_attach_task", Node,
        "moving a task out of its zone or into the own one, where writing the file could not be refused: the caller is killed";
    SbUmount = 25, "sb_umount", Node,
        "unmounting what the host sees, in its mount namespace or through a mount shared with it";
    KernelLoadData = 26, "kernel_load_data", Node,
        "loading a kernel module or another kernel (init_module, kexec_load)";
    KernelReadFile = 27, "kernel_read_file", Node,
        "loading a kernel module or another kernel from a file (finit_module, kexec_file_load)";
    LockedDown = 28, "locked_down", Node,
        "what the kernel can lock down against root: raw memory, I/O ports, registers of processors and of PCI devices, kprobes";
    SbSetMntOpts = 29, "sb_set_mnt_opts", Node, "mounting a file system that is on a block device, a hierarchy of cgroups of version 1, or eCryptfs";
    PerfEventOpen = 30, "perf_event_open", Node,
        "watching a processor, the kernel or a tracepoint (perf_event_open); own tasks in user space are free";
    FileIoctl = 31, "file_ioctl", Node,
        "typing into a terminal whose session is another zone's or the host's (TIOCSTI, TIOCLINUX), taking it from that session or hanging \
         it up (TIOCSCTTY, TIOCVHANGUP), the console's output (TIOCCONS); finding namespaces of mounts one after the other \
         (NS_MNT_GET_NEXT); freezing, trimming, shutting down or resizing a file system; giving a \
         disk a command (NVMe's, SG_IO, by io_uring too); what consoles' keys say (KDSKBENT, KDSKBSENT); what a screen shows (GETFB)";
    Settime = 32, "settime", Node, "setting the clock";
    Syslog = 33, "syslog", Node, "clearing the kernel's log, or silencing its console";
    TaskSetnice = 34, "task_setnice", Task, "changing the priority of a task of another zone or of the host";
    TaskSetioprio = 35, "task_setioprio", Task,
        "changing the I/O priority of a task of another zone or of the host";
    TaskSetscheduler = 36, "task_setscheduler", Task,
        "changing the scheduling or the processors of a task of another zone or of the host";
    TaskSetrlimit = 37, "task_setrlimit", Task, "changing the limits of a task of another zone or of the host";
    FileSendSigiotask = 38, "file_send_sigiotask", Task,
        "having a file's signals (F_SETOWN) sent to a task of another zone or of the host";
    IpcPermission = 39, "ipc_permission", Ipc,
        "getting, attaching, reading or changing a System V object of another zone or of the host";
    ShmShmctl = 40, "shm_shmctl", Ipc,
        "removing, locking or changing shared memory of another zone or of the host, and asking about it by index";
    MsgQueueMsgctl = 41, "msg_queue_msgctl", Ipc,
        "removing or changing a message queue of another zone or of the host, and asking about it by index";
    SemSemctl = 42, "sem_semctl", Ipc,
        "removing or changing semaphores of another zone or of the host, and asking about them by index";
    KeyPermission = 43, "key_permission", Ipc,
        "using or seeing a key that another zone has made; other keys are free; replacing the session keyring of a parent in another zone \
         or of the host (KEYCTL_SESSION_TO_PARENT)";
    SbMount = 44, "sb_mount", Node,
        "mounting where the host sees it, in its mount namespace or through a mount shared with it";
    MoveMount = 45, "move_mount", Node, "the same by move_mount(2)";
    SbPivotroot = 46, "sb_pivotroot", Node, "changing the root of the host's mount namespace";
    SbRemount = 47, "sb_remount", Node,
        "changing the options of a file system that is on a block device, or that the host has mounted as well";
    Capable = 48, "capable", Node,
        "what nothing but a capability stands before: opening by handles, removing modules, rebooting, process accounting, audit, swap, the clock's rate, \
         the host's name, attributes of its mounts, hanging up the session of another zone or of the host (vhangup), a keyboard at a terminal of one's own (TIOCSETD)";
    PerfEventAlloc = 49, "perf_event_alloc", Task, "watching a task of another zone (perf_event_open)";
    PathNotify = 50, "path_notify", File,
        "watching a file of another zone, or all of a file system that holds claims (inotify, fanotify); deciding over what is opened where \
         the host opens files too (fanotify's permission events)";
    Quotactl = 51, "quotactl", Node, "changing a file system's quotas";
    NetlinkSend = 52, "netlink_send", Node,
        "sending events of devices in the host's network namespace, which pass for udev's or the kernel's (netlink); iSCSI's";
}

impl Hook {
    /// The index in kernel counters and events.
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// The hooks that keep the zones apart; the others keep them from the node.
    pub fn between_zones() -> impl Iterator<Item = Hook> {
        let all = Hook::ALL.iter().copied();
        all.filter(|hook| hook.object_kind() != ObjectKind::Node)
    }

    /// The hook with that index, if there is one.
    pub fn from_index(index: u32) -> Option<Hook> {
        Hook::ALL.get(usize::try_from(index).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_dense_and_names_unique() {
        for (position, hook) in Hook::ALL.iter().enumerate() {
            assert_eq!(hook.index() as usize, position);
            assert_eq!(Hook::from_index(hook.index()), Some(*hook));
        }
        let mut names: Vec<_> = Hook::ALL.iter().map(|h| h.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Hook::ALL.len());
        assert_eq!(Hook::from_index(Hook::ALL.len() as u32), None);
    }
}
