//! Files through which the node is ruled: written by no zone, and those of its namespaces by each.

use std::fs;
use std::path::{Path, PathBuf};

use syva_model::hook::{Hook, ObjectKind};
use syva_model::image::{MapWrite, Pair, ZoneId};

use crate::guest::actor::{act, begin};
use crate::guest::enforce::world::{ONE, TWO, World};
use crate::guest::life::paths::sh;
use crate::guest::{Checks, Failure};

/// Parameters and switches of the node. What a kernel lacks is left out, and said.
const NODE: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/printk",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/kernel/yama/ptrace_scope",
    // Of the host's namespace of names, which the zone is in.
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/file-max",
    "/proc/sys/dev/tty/ldisc_autoload",
    "/proc/sysrq-trigger",
    "/proc/mtrr",
    "/proc/irq/default_smp_affinity",
    "/proc/scsi/scsi",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/bus/pci/rescan",
    "/sys/bus/pci/devices/0000:00:00.0/config",
    "/sys/devices/system/cpu/cpu1/online",
    "/sys/module/kernel/parameters/panic",
    "/sys/kernel/security/lockdown",
    // What is exported by NFS, threads of the kernel's own serve, which are in no zone.
    "/proc/fs/nfsd/threads",
    "/proc/net/rpc/nfsd.fh/channel",
];

/// What is a namespace's own, or no one's but the task's.
const OWN: &[&str] = &[
    "/proc/sys/kernel/msgmax",
    "/proc/sys/kernel/msgmni",
    "/proc/sys/kernel/sem",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/kernel/shm_rmid_forced",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/fs/mqueue/msg_max",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/conf/lo/rp_filter",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/user/max_user_namespaces",
    "/proc/self/comm",
    "/proc/self/oom_score_adj",
    "/proc/self/coredump_filter",
    "/proc/thread-self/comm",
    "/proc/pressure/cpu",
    "/sys/class/net/lo/mtu",
    "/sys/class/net/lo/flags",
    "/dev/null",
    "/dev/kmsg",
];

/// Of SELinux: what it enforces, and whether; and questions, which programs write and read the answers of.
const SELINUX: (&[&str], &[&str]) = (
    &[
        "/sys/fs/selinux/enforce",
        "/sys/fs/selinux/load",
        "/sys/fs/selinux/commit_pending_bools",
        "/sys/fs/selinux/avc/cache_threshold",
    ],
    &[
        "/sys/fs/selinux/access",
        "/sys/fs/selinux/context",
        "/sys/fs/selinux/create",
        "/sys/fs/selinux/member",
        "/sys/fs/selinux/null",
    ],
);

/// The same of AppArmor, which shows its policy in two places.
const APPARMOR: (&[&str], &[&str]) = (
    &[
        "/sys/kernel/security/apparmor/.load",
        "/sys/kernel/security/apparmor/.replace",
        "/sys/kernel/security/apparmor/.remove",
        "/sys/kernel/security/apparmor/policy/.replace",
        "/sys/kernel/security/apparmor/policy/.remove",
    ],
    &["/sys/kernel/security/apparmor/.access"],
);

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    sh("mkdir -p /proc/fs/nfsd && mount -t nfsd nfsd /proc/fs/nfsd || true")?;
    node(checks, world, NODE)?;
    own(checks, world, OWN)?;
    opened(checks, world)?;
    debugging(checks, world)?;
    tasks(checks, world)?;
    mutations(checks, world)
}

/// What another security module enforces is not a zone's to change; asking it is everybody's.
pub fn selinux(checks: &mut Checks) -> Result<(), Failure> {
    sh("mount -t selinuxfs selinuxfs /sys/fs/selinux")?;
    module(checks, SELINUX)
}

/// The same of AppArmor.
pub fn apparmor(checks: &mut Checks) -> Result<(), Failure> {
    module(checks, APPARMOR)
}

fn module(checks: &mut Checks, (rules, asks): (&[&str], &[&str])) -> Result<(), Failure> {
    let first = rules.first().ok_or("nothing to try")?;
    checks.that("the module is there", Path::new(first).exists(), first);
    let mut world = World::new()?;
    node(checks, &mut world, rules)?;
    own(checks, &mut world, asks)?;
    world.no_errors(checks)
}

fn there(checks: &mut Checks, path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    if path.exists() {
        return Some(path);
    }
    checks.note(format!("this kernel has no {}", path.display()));
    None
}

fn node(checks: &mut Checks, world: &mut World, paths: &[&str]) -> Result<(), Failure> {
    let two = world.two.clone();
    let (free, privileged) = (world.free.clone(), world.privileged.clone());
    for path in paths {
        let Some(path) = there(checks, path) else {
            continue;
        };
        let name = path.display();
        // Files that nobody may write are refused by their mode to others than root, and to the
        // kernel's own checks later: to open them is root's.
        let claim = format!("zone two opens {name} to write");
        let event = world
            .refused(checks, &claim, Hook::FileOpen, &two, "write", &[&path])?
            .ok_or("no event")?;
        let what = (event.kind, event.object);
        checks.equal(
            format!("{claim}: told as the node's"),
            &what,
            &(ObjectKind::Node, ZoneId::HOST),
        );
        for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
            let claim = format!("{who} opens {name} to write");
            world.allowed(checks, &claim, cgroup, "write", &[&path])?;
        }
    }
    Ok(())
}

/// Reading is free, and a pair with the host opens the rest.
fn opened(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let pattern = Path::new("/proc/sys/kernel/core_pattern");
    world.allowed(
        checks,
        "zone two reads core_pattern",
        &two,
        "open",
        &[pattern],
    )?;
    let pair = Pair::new(ZoneId::HOST, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    let claim = "a pair with the host opens the node's files";
    world.allowed(checks, claim, &two, "write", &[pattern])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    Ok(())
}

fn own(checks: &mut Checks, world: &mut World, paths: &[&str]) -> Result<(), Failure> {
    let two = world.two.clone();
    for path in paths {
        let Some(path) = there(checks, path) else {
            continue;
        };
        let claim = format!("zone two opens {} to write", path.display());
        world.allowed(checks, &claim, &two, "write", &[&path])?;
    }
    Ok(())
}

/// What shows the kernel's work and memory is not even read.
fn debugging(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    for (kind, at, file) in [
        ("debugfs", "/tmp/engine-debugfs", "sleep_time"),
        ("tracefs", "/tmp/engine-tracefs", "tracing_on"),
    ] {
        let at = Path::new(at);
        fs::create_dir_all(at)?;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some(kind), at, Some(kind), flags, None::<&str>)?;
        let first = fs::read_dir(at)?
            .filter_map(Result::ok)
            .find(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map_or_else(|| at.join(file), |entry| entry.path());
        let claim = format!("zone two reads {}", first.display());
        world.refused(checks, &claim, Hook::FileOpen, &two, "open", &[&first])?;
        let claim = format!("a host task reads {}", first.display());
        world.allowed(checks, &claim, &free, "open", &[&first])?;
        let claim = format!("zone two lists {kind}");
        world.allowed(checks, &claim, &two, "open", &[at])?;
        nix::mount::umount(at)?;
    }
    Ok(())
}

/// Files of tasks that ptrace does not keep.
fn tasks(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (foreign, own) = (begin(&one, "wait", &[])?, begin(&two, "wait", &[])?);
    for name in ["oom_score_adj", "coredump_filter", "clear_refs", "comm"] {
        let of = |pid: u32| PathBuf::from(format!("/proc/{pid}/{name}"));
        let claim = format!("zone two opens {name} of a task of zone one to write");
        let event = world
            .refused(
                checks,
                &claim,
                Hook::FileOpen,
                &two,
                "write",
                &[&of(foreign.pid())],
            )?
            .ok_or("no event")?;
        let what = (event.kind, event.object, event.object_pid);
        let expected = (ObjectKind::Task, ONE, foreign.pid());
        checks.equal(format!("{claim}: told as the task's"), &what, &expected);
        let claim = format!("zone two opens {name} of the host's first task to write");
        world.refused(checks, &claim, Hook::FileOpen, &two, "write", &[&of(1)])?;
        let claim = format!("zone two opens {name} of a task of its own to write");
        world.allowed(checks, &claim, &two, "write", &[&of(own.pid())])?;
    }
    let status = PathBuf::from(format!("/proc/{}/status", foreign.pid()));
    let claim = "zone two reads the status of a task of zone one";
    world.allowed(checks, claim, &two, "open", &[&status])?;
    let pair = Pair::new(ONE, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    let score = PathBuf::from(format!("/proc/{}/oom_score_adj", foreign.pid()));
    let claim = "an allowed pair opens a task's file";
    world.allowed(checks, claim, &two, "write", &[&score])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    let task = PathBuf::from(format!("/proc/{0}/task/{0}/comm", foreign.pid()));
    let claim = "zone two opens comm of a thread of zone one to write";
    world.refused(checks, claim, Hook::FileOpen, &two, "write", &[&task])?;
    Ok(())
}

/// Changing such files is writing them.
fn mutations(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let file = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
    if file.exists() {
        let claim = "zone two changes the mode of a file of sysfs";
        world.refused(checks, claim, Hook::InodeSetattr, &two, "chmod", &[file])?;
        checks.allowed("a host task does", &act(&free, "chmod", &[file]));
    }
    let file = Path::new("/sys/class/net/lo/mtu");
    let claim = "zone two changes the mode of a file of its network namespace";
    world.allowed(checks, claim, &two, "chmod", &[file])
}
