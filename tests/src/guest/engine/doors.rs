//! Doors that are no files: modules, kexec, raw memory, perf, the clock, the kernel's log, swap, the host's name
//! and mounts, quotas, what is opened, terminals.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};

use super::{raw_doors, raw_files};
use crate::guest::actor::{Background, Outcome, act, act_on_with, begin_on};
use crate::guest::enforce::world::{TWO, World};
use crate::guest::{Checks, Failure};

/// A door, the hook that keeps it, and what it answers to who may pass: nothing, or that what was
/// brought is rubbish.
const DOORS: &[(&str, Hook, &[Errno])] = &[
    ("init-module", Hook::Capable, &[Errno::NOEXEC]),
    ("finit-module", Hook::Capable, &[Errno::NOEXEC]),
    ("kexec-load", Hook::Capable, &[]),
    ("kexec-file-load", Hook::Capable, &[Errno::NOEXEC]),
    ("swapoff", Hook::Capable, &[Errno::INVAL]),
    ("adjtimex", Hook::Capable, &[]),
    ("sethostname", Hook::Capable, &[]),
    ("mount-setattr", Hook::Capable, &[]),
    // There the capability is for rebooting what is in it.
    ("kexec-load-in-pid-namespace", Hook::KernelLoadData, &[]),
    (
        "kexec-file-load-in-pid-namespace",
        Hook::KernelReadFile,
        &[Errno::NOEXEC],
    ),
    ("memory", Hook::LockedDown, &[]),
    ("ports", Hook::LockedDown, &[]),
    ("iopl", Hook::LockedDown, &[]),
    ("ioperm", Hook::LockedDown, &[]),
    ("kcore", Hook::LockedDown, &[]),
    ("perf-processor", Hook::PerfEventOpen, &[]),
    ("perf-kernel", Hook::PerfEventOpen, &[]),
    ("set-clock", Hook::Settime, &[]),
    ("clear-log", Hook::Syslog, &[]),
    ("console-level", Hook::Syslog, &[]),
    ("quotas-off", Hook::Quotactl, &[]),
    ("remount", Hook::SbRemount, &[]),
    ("reconfigure", Hook::SbRemount, &[]),
    ("decide-over-opening", Hook::PathNotify, &[]),
    ("decide-over-mount", Hook::PathNotify, &[]),
    ("decide-over-file-system", Hook::PathNotify, &[]),
    ("console-output", Hook::FileIoctl, &[]),
    ("key-string", Hook::FileIoctl, &[]),
    ("device-event", Hook::NetlinkSend, &[]),
    ("device-event-of-udev", Hook::NetlinkSend, &[]),
    ("disk-command", Hook::FileIoctl, &[]),
    ("disk-command-by-ring", Hook::FileIoctl, &[]),
];

/// What concerns the caller alone, or changes nothing.
const FREE: &[&str] = &[
    "perf-own",
    "log-size",
    "type-into-own-terminal",
    "read-clock",
    "own-name",
    "own-mount",
    "own-remount",
    "own-reconfigure",
    "decide-over-own-opening",
    "watch-opening",
    "sync-quotas",
    "scanner-command",
    "own-device-event",
    "network-interfaces",
];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let (audited, privileged) = (world.audited.clone(), world.privileged.clone());
    let pair = Pair::new(ZoneId::HOST, TWO);
    raw_files::mount_disk()?;
    for (door, hook, errors) in DOORS {
        let action = [Path::new(door)];
        let open = |outcome: &Outcome| match outcome {
            Outcome::Done => errors.is_empty(),
            Outcome::Refused(errno) => errors.iter().any(|e| e.raw_os_error() == *errno),
            _ => false,
        };
        // What this kernel is built without is no door, for anyone.
        let without = act(&free, "door", &action);
        if without == Outcome::Refused(Errno::NOSYS.raw_os_error())
            || without == Outcome::Refused(Errno::NOENT.raw_os_error())
        {
            checks.note(format!("this kernel has no {door}"));
            continue;
        }
        let claim = format!("zone two: {door}");
        let event = world.refused(checks, &claim, *hook, &two, "door", &action)?;
        if *hook == Hook::Capable {
            let told = event.map(|event| event.name);
            let claim = format!("{claim}: told by the call's name");
            checks.equal(claim, &told, &Some(door.replace('-', "_")));
        }
        for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
            let (outcome, (denied, _), _) = world.watch(|| act(cgroup, "door", &action))?;
            let quiet = denied.iter().sum::<u64>() == 0;
            checks.that(
                format!("{who}: {door}"),
                quiet && open(&outcome),
                format!("{outcome:?}, {denied:?}"),
            );
        }
        let (outcome, (denied, told), _) = world.watch(|| act(&audited, "door", &action))?;
        let quiet = denied.iter().sum::<u64>() == 0;
        checks.that(
            format!("an audited zone: {door}: it goes on, and is counted as what would be refused"),
            quiet && told[hook.index() as usize] == 1 && open(&outcome),
            format!("{outcome:?}, {told:?}"),
        );
        world.pairs.write(&MapWrite::PutPair(pair))?;
        let outcome = act(&two, "door", &action);
        let claim = format!("zone two, in a pair with the host: {door}");
        checks.that(claim, open(&outcome), format!("{outcome:?}"));
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    for door in FREE {
        let claim = format!("zone two: {door}");
        world.allowed(checks, &claim, &two, "door", &[Path::new(door)])?;
    }
    terminals(checks, world)?;
    terminals_files(checks, world)?;
    beginnings(checks, world)
}

/// A terminal is its session's, whoever got a descriptor of it: typing there, and changing whose it is.
fn terminals(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    for door in ["type-into-terminal", "take-terminal", "hang-up-terminal"] {
        let args = [Path::new(door)];
        for (whose, holder) in [("a host's", &free), ("zone one's", &one)] {
            let held = Held::by(holder)?;
            let claim = format!("zone two: {door}, {whose}");
            let attempt = || act_on_with(&two, "door", &args, held.slave);
            world.refused_as(checks, &claim, Hook::FileIoctl, Errno::PERM, attempt)?;
        }
        for (who, actor, holder) in [
            ("a host task: {door}, a host's", &free, &free),
            ("zone two: {door}, its own", &two, &two),
        ] {
            let held = Held::by(holder)?;
            let claim = who.replace("{door}", door);
            world.goes_on(checks, &claim, || {
                act_on_with(actor, "door", &args, held.slave)
            })?;
        }
        // Nobody's is typed into for whoever reads there; it is free to take.
        let (_master, slave) = raw_doors::terminal()?;
        let claim = format!("zone two: {door}, nobody's");
        let attempt = || act_on_with(&two, "door", &args, slave);
        if door == "type-into-terminal" {
            world.refused_as(checks, &claim, Hook::FileIoctl, Errno::PERM, attempt)?;
        } else {
            world.goes_on(checks, &claim, attempt)?;
        }
    }
    Ok(())
}

/// Its file is opened, and given other rights, by whose session it is, and while it is nobody's.
fn terminals_files(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (audited, privileged) = (world.audited.clone(), world.privileged.clone());
    let pair = Pair::new(ZoneId::HOST, TWO);
    for (action, hook) in [
        ("open", Hook::FileOpen),
        ("write", Hook::FileOpen),
        ("chmod", Hook::InodeSetattr),
    ] {
        for (whose, holder) in [("a host's", &free), ("zone one's", &one)] {
            let held = Held::by(holder)?;
            let claim = format!("zone two: {action} of a terminal, {whose}");
            world.refused(checks, &claim, hook, &two, action, &[&held.path])?;
        }
        let held = Held::by(&free)?;
        let path = [held.path.as_path()];
        for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
            let claim = format!("{who}: {action} of a terminal, a host's");
            world.allowed(checks, &claim, cgroup, action, &path)?;
        }
        let (outcome, (denied, told), _) = world.watch(|| act(&audited, action, &path))?;
        let quiet = denied.iter().sum::<u64>() == 0;
        checks.that(
            format!(
                "an audited zone: {action} of a terminal, a host's: it goes on, and is counted"
            ),
            quiet && told[hook.index() as usize] == 1 && outcome == Outcome::Done,
            format!("{outcome:?}, {told:?}"),
        );
        world.pairs.write(&MapWrite::PutPair(pair))?;
        let claim = format!("zone two, in a pair with the host: {action} of a terminal, a host's");
        world.allowed(checks, &claim, &two, action, &path)?;
        world.pairs.write(&MapWrite::DropPair(pair))?;
        let held = Held::by(&two)?;
        let claim = format!("zone two: {action} of a terminal, its own");
        world.allowed(checks, &claim, &two, action, &[&held.path])?;
        let (_master, slave) = raw_doors::terminal()?;
        let path = nix::unistd::ttyname(&slave)?;
        let claim = format!("zone two: {action} of a terminal, nobody's");
        world.allowed(checks, &claim, &two, action, &[&path])?;
    }
    let claim = "zone two, started by a host task: it opens the terminal of its session";
    world.goes_on(checks, claim, || {
        act(
            &free,
            "door-as-child",
            &[Path::new("open-session-terminal"), &two],
        )
    })
}

/// A terminal that is somebody's.
struct Held {
    path: PathBuf,
    slave: File,
    _master: File,
    _holder: Background,
}

impl Held {
    fn by(cgroup: &Path) -> Result<Held, Failure> {
        let (master, slave) = raw_doors::terminal()?;
        let holder = begin_on(cgroup, "hold-terminal", &[], slave.try_clone()?)?;
        raw_doors::taken(&master)?;
        Ok(Held {
            path: nix::unistd::ttyname(&slave)?,
            slave,
            _master: master,
            _holder: holder,
        })
    }
}

/// What a task does to those it was started by: to the session it is still in, and to its parent.
fn beginnings(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let (audited, privileged) = (world.audited.clone(), world.privileged.clone());
    let pair = Pair::new(ZoneId::HOST, TWO);
    for (door, hook) in [
        ("hang-up-session", Hook::Capable),
        ("keyring-to-parent", Hook::KeyPermission),
    ] {
        let by_child =
            |starts: &Path, joins: &Path| act(starts, "door-as-child", &[Path::new(door), joins]);
        let claim = format!("zone two, started by a host task: {door}");
        let attempt = || by_child(&free, &two);
        world.refused_as(checks, &claim, hook, Errno::PERM, attempt)?;
        for (who, starts, joins) in [
            ("zone two, started by zone two", &two, &two),
            ("a host task, started by one", &free, &free),
            (
                "a privileged zone, started by a host task",
                &free,
                &privileged,
            ),
        ] {
            let claim = format!("{who}: {door}");
            world.goes_on(checks, &claim, || by_child(starts, joins))?;
        }
        let (outcome, (denied, told), _) = world.watch(|| by_child(&free, &audited))?;
        let quiet = denied.iter().sum::<u64>() == 0;
        checks.that(
            format!(
                "an audited zone, started by a host task: {door}: counted as what would be refused"
            ),
            quiet && told[hook.index() as usize] == 1 && outcome == Outcome::Done,
            format!("{outcome:?}, {told:?}"),
        );
        world.pairs.write(&MapWrite::PutPair(pair))?;
        let claim = format!("zone two, in a pair with the host that started it: {door}");
        world.goes_on(checks, &claim, || by_child(&free, &two))?;
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    Ok(())
}
