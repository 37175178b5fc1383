//! From bytes to programs that run: open with this node's capacity, load, attach.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{Link, Map, ProgramMut};
use rustix::process::{Resource, Rlimit, setrlimit};
use syva_model::hook::Hook;
use syva_model::kernel::{Capacity, HookState, KernelError, Share};

use crate::pins::Pins;
use crate::skel::{OpenSyvaSkel, SyvaSkel, SyvaSkelBuilder};
use crate::tables::{Quotas, usage_rows};
use crate::{error, host_namespaces, log, variant};

/// A loaded object and what of it is attached.
pub(crate) struct Programs {
    pub(crate) skel: SyvaSkel<'static>,
    pins: Option<Pins>,
    companions: Vec<Attached<Companion>>,
    hooks: Vec<Attached<Hook>>,
}

/// A program that keeps the maps true, rather than deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Companion {
    /// A new cgroup inherits its parent's membership.
    CgroupMkdir,
    /// A cgroup that is gone leaves no membership behind.
    CgroupRelease,
    /// Labels cached before a rename are stale.
    Rename,
    /// Labels cached before a file got another name are stale.
    Link,
    /// Files that were linked out of their claims, and are gone, are forgotten.
    Gone,
    /// Overlays that the host made are known, by the mounts of their layers…
    PrivateMount,
    /// … and by their superblocks.
    Superblock,
    /// The second program of hook `inode_setxattr`, where the kernel asks it of access control lists…
    SetAcl,
    /// … and that of `inode_removexattr`.
    RemoveAcl,
    /// That of `inode_setattr`, where the kernel asks separately of flags.
    FileSetattr,
    /// The second program of hook `file_ioctl`, of 32-bit programs.
    IoctlCompat,
    /// Of io_uring's, where the kernel asks separately of them.
    UringCmd,
    /// Who chose whom a file's signals go to is known.
    Signaller,
    /// Who made a System V object is known, of each kind…
    ShmMade,
    MsgMade,
    SemMade,
    /// … and forgotten with it.
    ShmGone,
    MsgGone,
    SemGone,
    /// The same of keys.
    KeyMade,
    KeyGone,
    /// Who made a POSIX queue or shared memory is known.
    FileMade,
}

/// In the order of attaching: nothing may be decided before what it rests on is kept true.
const COMPANIONS: [Companion; 22] = [
    Companion::CgroupMkdir,
    Companion::CgroupRelease,
    Companion::Rename,
    Companion::Link,
    Companion::Gone,
    Companion::PrivateMount,
    Companion::Superblock,
    Companion::SetAcl,
    Companion::RemoveAcl,
    Companion::FileSetattr,
    Companion::IoctlCompat,
    Companion::UringCmd,
    Companion::Signaller,
    // What is gone must be forgotten before anything is remembered.
    Companion::ShmGone,
    Companion::MsgGone,
    Companion::SemGone,
    Companion::KeyGone,
    Companion::ShmMade,
    Companion::MsgMade,
    Companion::SemMade,
    Companion::KeyMade,
    Companion::FileMade,
];

impl Companion {
    fn program<'a>(self, skel: &'a SyvaSkel<'static>) -> &'a ProgramMut<'a> {
        let progs = &skel.progs;
        match self {
            Companion::CgroupMkdir => &progs.cgroup_mkdir,
            Companion::CgroupRelease => &progs.cgroup_release,
            Companion::Rename => &progs.vfs_rename_exit,
            Companion::Link => &progs.vfs_link_exit,
            Companion::Gone => &progs.inode_free_security,
            Companion::PrivateMount => &progs.clone_private_mount_exit,
            Companion::Superblock => &progs.superblock_made,
            Companion::IoctlCompat => &progs.file_ioctl_compat,
            Companion::UringCmd => &progs.uring_cmd,
            Companion::SetAcl => &progs.inode_set_acl,
            Companion::RemoveAcl => &progs.inode_remove_acl,
            Companion::FileSetattr => &progs.inode_file_setattr,
            Companion::Signaller => &progs.file_set_fowner,
            Companion::ShmMade => &progs.shm_alloc_security,
            Companion::MsgMade => &progs.msg_queue_alloc_security,
            Companion::SemMade => &progs.sem_alloc_security,
            Companion::ShmGone => &progs.shm_free_security,
            Companion::MsgGone => &progs.msg_queue_free_security,
            Companion::SemGone => &progs.sem_free_security,
            Companion::KeyMade => &progs.key_alloc,
            Companion::KeyGone => &progs.security_key_free_entry,
            Companion::FileMade => &progs.d_instantiate,
        }
    }
}

struct Attached<T> {
    what: T,
    link: Result<Link, String>,
}

impl<T> Attached<T> {
    fn new(what: T) -> Attached<T> {
        Attached {
            what,
            link: Err("not attached yet".into()),
        }
    }

    /// Attaches it if it is not. It counts as attached once it is pinned too, if it is to be.
    fn again(&mut self, program: &ProgramMut<'_>, pins: Option<&Pins>) {
        if self.link.is_err() {
            self.link = attach(program, pins);
        }
    }
}

fn attach(program: &ProgramMut<'_>, pins: Option<&Pins>) -> Result<Link, String> {
    let mut link = program.attach().map_err(|e| format!("{e:#}"))?;
    if let Some(pins) = pins {
        let name = program.name().to_string_lossy();
        pins.replace(&name, &mut link).map_err(|e| e.to_string())?;
    }
    Ok(link)
}

impl Programs {
    /// Opens, loads and attaches; with pins, on the maps that are pinned, and in place of the programs
    /// that are.
    pub(crate) fn load(
        capacity: &Capacity,
        quotas: Quotas,
        pins: Option<Pins>,
    ) -> Result<Programs, KernelError> {
        let mut open = open()?;
        size(&mut open, capacity)?;
        bound(&mut open, quotas, capacity);
        host_namespaces::tell(&mut open)?;
        if let Some(pins) = &pins {
            pins.tell(&mut open)?;
        }
        let skel = load(open).map_err(|failure| match &pins {
            Some(pins) if failure.remedy.is_empty() => pins.explain(failure),
            _ => failure,
        })?;
        let companions = COMPANIONS.into_iter();
        let companions = companions.filter(|what| what.program(&skel).autoload());
        let mut programs = Programs {
            companions: companions.map(Attached::new).collect(),
            skel,
            pins,
            hooks: Hook::ALL.iter().copied().map(Attached::new).collect(),
        };
        programs.attach_missing();
        programs.forget_former()?;
        Ok(programs)
    }

    /// Lets go of pinned programs that this object does not have. Those of it that could not be
    /// attached keep their former ones.
    fn forget_former(&self) -> Result<(), KernelError> {
        let Some(pins) = &self.pins else {
            return Ok(());
        };
        let names: Vec<_> = programs(&self.skel)
            .map(|program| program.name().to_string_lossy().into_owned())
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        pins.retain(&names)
    }

    /// Attaches what is not attached.
    pub(crate) fn attach_missing(&mut self) {
        let (progs, pins) = (&self.skel.progs, self.pins.as_ref());
        for companion in &mut self.companions {
            companion.again(companion.what.program(&self.skel), pins);
        }
        for hook in &mut self.hooks {
            let program = match hook.what {
                Hook::FileOpen => &progs.file_open,
                Hook::TaskKill => &progs.task_kill,
                Hook::UnixStreamConnect => &progs.unix_stream_connect,
                Hook::BprmCheckSecurity => &progs.bprm_check_security,
                Hook::MmapFile => &progs.mmap_file,
                Hook::PtraceAccessCheck => &progs.ptrace_access_check,
                Hook::PtraceTraceme => &progs.ptrace_traceme,
                Hook::UnixMaySend => &progs.unix_may_send,
                Hook::FileMprotect => &progs.file_mprotect,
                Hook::FileReceive => &progs.file_receive,
                Hook::InodeCreate => &progs.inode_create,
                Hook::InodeMkdir => &progs.inode_mkdir,
                Hook::InodeMknod => &progs.inode_mknod,
                Hook::InodeSymlink => &progs.inode_symlink,
                Hook::InodeLink => &progs.inode_link,
                Hook::InodeRename => &progs.inode_rename,
                Hook::InodeUnlink => &progs.inode_unlink,
                Hook::InodeRmdir => &progs.inode_rmdir,
                Hook::InodeSetattr => &progs.inode_setattr,
                Hook::InodeSetxattr => &progs.inode_setxattr,
                Hook::InodeRemovexattr => &progs.inode_removexattr,
                Hook::FilePermission => &progs.file_permission,
                Hook::Bpf => &progs.bpf,
                Hook::CgroupCanFork => &progs.cgroup_can_fork,
                Hook::CgroupAttachTask => &progs.cgroup_attach_task,
                Hook::SbUmount => &progs.sb_umount,
                Hook::SbMount => &progs.sb_mount,
                Hook::MoveMount => &progs.move_mount,
                Hook::SbPivotroot => &progs.sb_pivotroot,
                Hook::SbRemount => &progs.sb_remount,
                Hook::PathNotify => &progs.path_notify,
                Hook::Capable => &progs.capable,
                Hook::Quotactl => &progs.quotactl,
                Hook::NetlinkSend => &progs.netlink_send,
                Hook::PerfEventAlloc => &progs.perf_event_alloc,
                Hook::KernelLoadData => &progs.kernel_load_data,
                Hook::KernelReadFile => &progs.kernel_read_file,
                Hook::LockedDown => &progs.locked_down,
                Hook::SbSetMntOpts => &progs.sb_set_mnt_opts,
                Hook::PerfEventOpen => &progs.perf_event_open,
                Hook::FileIoctl => &progs.file_ioctl,
                Hook::Settime => &progs.settime,
                Hook::Syslog => &progs.syslog,
                Hook::TaskSetnice => &progs.task_setnice,
                Hook::TaskSetioprio => &progs.task_setioprio,
                Hook::TaskSetscheduler => &progs.task_setscheduler,
                Hook::TaskSetrlimit => &progs.task_setrlimit,
                Hook::FileSendSigiotask => &progs.file_send_sigiotask,
                Hook::IpcPermission => &progs.ipc_permission,
                Hook::ShmShmctl => &progs.shm_shmctl,
                Hook::MsgQueueMsgctl => &progs.msg_queue_msgctl,
                Hook::SemSemctl => &progs.sem_semctl,
                Hook::KeyPermission => &progs.key_permission,
            };
            hook.again(program, pins);
        }
    }

    /// Every hook's state, in index order.
    pub(crate) fn hook_states(&self) -> Vec<HookState> {
        self.hooks
            .iter()
            .map(|hook| HookState {
                hook: hook.what,
                attached: hook.link.is_ok(),
                problem: hook.link.as_ref().err().cloned(),
            })
            .collect()
    }

    /// What of the companions is missing, and what that means.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.companions
            .iter()
            .filter_map(|companion| {
                let problem = companion.link.as_ref().err()?;
                let meaning = match companion.what {
                    Companion::CgroupMkdir => {
                        "tracepoint cgroup_mkdir: nested cgroups leave their zone"
                    }
                    Companion::CgroupRelease => {
                        "tracepoint cgroup_release: removed cgroups fill the table"
                    }
                    Companion::Rename => {
                        "vfs_rename: what is moved between claims keeps its old label"
                    }
                    Companion::Link => {
                        "vfs_link: what is linked into a claim and unlinked outside keeps its old label"
                    }
                    Companion::Gone => {
                        "inode_free_security: files that were linked out of claims fill the table"
                    }
                    Companion::PrivateMount => {
                        "clone_private_mount: layers of the host's overlays are judged as well"
                    }
                    Companion::Superblock => {
                        "sb_set_mnt_opts: files behind the host's overlays are judged as well"
                    }
                    Companion::SetAcl => {
                        "inode_set_acl: access control lists of other zones' files can be set"
                    }
                    Companion::IoctlCompat => {
                        "file_ioctl_compat: 32-bit programs can type into terminals of other zones"
                    }
                    Companion::UringCmd => {
                        "uring_cmd: commands can be given to disks by io_uring"
                    }
                    Companion::RemoveAcl => {
                        "inode_remove_acl: access control lists of other zones' files can be removed"
                    }
                    Companion::FileSetattr => {
                        "inode_file_setattr: flags of other zones' files can be changed"
                    }
                    Companion::Signaller => {
                        "file_set_fowner: who has a file's signals sent is not known"
                    }
                    Companion::ShmMade | Companion::MsgMade | Companion::SemMade => {
                        "*_alloc_security: what a zone makes of System V IPC passes for the host's"
                    }
                    Companion::ShmGone | Companion::MsgGone | Companion::SemGone => {
                        "*_free_security: System V objects that are gone fill the table"
                    }
                    Companion::KeyMade => "key_alloc: keys that a zone makes are nobody's",
                    Companion::KeyGone => {
                        "security_key_free: keys that are gone fill the table of System V objects"
                    }
                    Companion::FileMade => {
                        "d_instantiate: queues and shared memory that a zone makes are nobody's"
                    }
                };
                Some(format!("{meaning} ({problem})"))
            })
            .collect()
    }
}

/// Opens the embedded object. The eight bytes that hold its pointer are never freed: a process loads
/// once, and the alternative is a structure that borrows from itself.
pub(crate) fn open() -> Result<OpenSyvaSkel<'static>, KernelError> {
    log::capture();
    // Kernels before 5.11 charge map memory to RLIMIT_MEMLOCK; newer ones ignore it.
    let unlimited = Rlimit {
        current: None,
        maximum: None,
    };
    if let Err(errno) = setrlimit(Resource::Memlock, unlimited) {
        tracing::debug!(%errno, "raising RLIMIT_MEMLOCK");
    }
    let mut open = SyvaSkelBuilder::default()
        .open(Box::leak(Box::new(MaybeUninit::uninit())))
        .map_err(|e| error::from_libbpf("open", "the BPF object", &e))?;
    variant::fit(&mut open)?;
    Ok(open)
}

/// Loads; the error ends with what the verifier said.
pub(crate) fn load(open: OpenSyvaSkel<'static>) -> Result<SyvaSkel<'static>, KernelError> {
    log::take_warnings();
    open.load().map_err(|e| {
        let mut failure = error::from_libbpf("load", "the BPF object", &e);
        let said = log::take_warnings();
        if !said.is_empty() {
            failure.said = format!("{}; libbpf said: {}", failure.said, said.trim());
        }
        failure
    })
}

fn size(open: &mut OpenSyvaSkel<'_>, capacity: &Capacity) -> Result<(), KernelError> {
    let maps = &mut open.maps;
    for (map, rows) in [
        (&mut maps.zones, capacity.zones),
        (&mut maps.members, capacity.members),
        (&mut maps.claims, capacity.claim_rows()),
        (&mut maps.links, capacity.claims),
        (&mut maps.pairs, capacity.pairs),
        (&mut maps.host_sockets, capacity.host_sockets),
        (&mut maps.zone_usage, usage_rows(capacity)),
        (&mut maps.usage_by_daemon, usage_rows(capacity)),
    ] {
        map.set_max_entries(rows)
            .map_err(|e| error::from_libbpf("size map to", format!("{rows} rows"), &e))?;
    }
    Ok(())
}

/// Tells the programs what one zone may take.
fn bound(open: &mut OpenSyvaSkel<'_>, quotas: Quotas, capacity: &Capacity) {
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.cgroup_quota = quotas.of(Share::Cgroups, capacity);
        rodata.ipc_quota = quotas.of(Share::Ipc, capacity);
    }
}

/// A loaded object's every program, by name, but for those this kernel has no hook for.
pub(crate) fn programs<'a>(
    skel: &'a SyvaSkel<'static>,
) -> impl Iterator<Item = ProgramMut<'a>> + 'a {
    skel.object()
        .progs_mut()
        .filter(|program| program.autoload())
}

/// A loaded object's every map.
pub(crate) fn maps<'a>(skel: &'a SyvaSkel<'static>) -> impl Iterator<Item = Map<'a>> + 'a {
    skel.object().maps()
}
