//! Writing, making and removing cgroups: the own zone's, and all others.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use syva_model::decision::Operation;
use syva_model::hook::{Hook, ObjectKind};
use syva_model::image::{MapWrite, Pair, ZoneId};
use syva_model::kernel::Verdict;

use crate::guest::actor::{Outcome, act, act_on};
use crate::guest::enforce::world::{AUDITED, ONE, TWO, World};
use crate::guest::{Checks, Failure};

/// A cgroup's files that are written, in every cgroup but the root, which lacks some.
const FILES: &[&str] = &[
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.freeze",
    "cgroup.max.depth",
    "cgroup.max.descendants",
    "cgroup.type",
    "cgroup.subtree_control",
];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    files(checks, world)?;
    told(checks, world)?;
    inherited(checks, world)?;
    directories(checks, world)?;
    other_mounts(checks, world)
}

/// Zone two writes its own, and neither zone one's nor the host's; the others write as they like.
fn files(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let root = PathBuf::from("/sys/fs/cgroup");
    for name in FILES {
        for (whose, cgroup) in [
            ("zone one's", world.one.clone()),
            ("a host's", world.free.clone()),
            ("the root's", root.clone()),
        ] {
            let file = cgroup.join(name);
            if !file.exists() {
                continue;
            }
            let claim = format!("zone two opens {whose} {name} to write");
            world.refused(checks, &claim, Hook::FileOpen, &two, "write", &[&file])?;
            let claim = format!("zone two opens {whose} {name} to read");
            world.allowed(checks, &claim, &two, "open", &[&file])?;
        }
        let own = two.join(name);
        let claim = format!("zone two opens its own {name} to write");
        world.allowed(checks, &claim, &two, "write", &[&own])?;
        let foreign = world.one.join(name);
        for (who, cgroup) in [
            ("a host task", world.free.clone()),
            ("a privileged zone", world.privileged.clone()),
        ] {
            let claim = format!("{who} opens zone one's {name} to write");
            world.allowed(checks, &claim, &cgroup, "write", &[&foreign])?;
        }
    }
    // What the kernel has since 5.14, which needs no task to be seen.
    let kill = world.one.join("cgroup.kill");
    if kill.exists() {
        let claim = "zone two kills zone one's cgroup";
        world.refused(checks, claim, Hook::FileOpen, &two, "write", &[&kill])?;
    }
    let nested = two.join("own");
    world.allowed(checks, "zone two makes a cgroup", &two, "mkdir", &[&nested])?;
    let procs = nested.join("cgroup.procs");
    world.allowed(
        checks,
        "zone two moves itself to its own nested cgroup",
        &two,
        "put",
        &[&procs, Path::new("0")],
    )?;
    world.allowed(
        checks,
        "from there back up to its root",
        &nested,
        "put",
        &[&two.join("cgroup.procs"), Path::new("0")],
    )?;
    world.allowed(
        checks,
        "zone two freezes and thaws its own nested cgroup",
        &two,
        "put",
        &[&nested.join("cgroup.freeze"), Path::new("0")],
    )
}

/// The event says which file of which zone; audit reports, and no pair opens it.
fn told(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, audited) = (world.two.clone(), world.audited.clone());
    let procs = world.one.join("cgroup.procs");
    let event = world
        .refused(
            checks,
            "zone two opens zone one's cgroup.procs",
            Hook::FileOpen,
            &two,
            "write",
            &[&procs],
        )?
        .ok_or("no event")?;
    let what = (event.kind, event.operation);
    let govern = (ObjectKind::Node, Operation::Govern);
    checks.equal("event: what was judged", &what, &govern);
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal(
        "event: which file",
        &event.name.as_str(),
        &"one/cgroup.procs",
    );
    for (pair, file) in [
        (Pair::new(ONE, TWO), procs.clone()),
        (
            Pair::new(ZoneId::HOST, TWO),
            world.free.join("cgroup.procs"),
        ),
    ] {
        world.pairs.write(&MapWrite::PutPair(pair))?;
        let claim = format!("an allowed pair with {} opens no cgroup", pair.low());
        world.refused(checks, &claim, Hook::FileOpen, &two, "write", &[&file])?;
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    let attempt = || act(&audited, "write", &[&procs]);
    let (outcome, (denied, would), events) = world.watch(attempt)?;
    checks.allowed("an audited zone opens it", &outcome);
    let hook = Hook::FileOpen.index() as usize;
    checks.equal("and is counted", &(denied[hook], would[hook]), &(0, 1));
    let told: Vec<_> = events.iter().map(|e| (e.verdict, e.subject)).collect();
    checks.equal("and reported", &told, &vec![(Verdict::WouldDeny, AUDITED)]);
    Ok(())
}

/// Descriptors that were open before the caller was in its zone.
fn inherited(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, privileged) = (world.two.clone(), world.privileged.clone());
    let foreign = world.free.join("cgroup.max.depth");
    let own = two.join("cgroup.max.depth");
    let open = |path: &Path| OpenOptions::new().write(true).open(path);
    for action in ["put-open", "splice-open", "send-file-open"] {
        let file = open(&foreign)?;
        let claim = format!("zone two, an inherited descriptor of a host's cgroup: {action}");
        let attempt = || act_on_with(&two, action, file);
        world.refused_as(checks, &claim, Hook::FilePermission, Errno::PERM, attempt)?;
        for (who, cgroup, path) in [
            ("zone two, of its own cgroup", &two, &own),
            ("a privileged zone, of a host's", &privileged, &foreign),
        ] {
            let file = open(path)?;
            let attempt = || act_on_with(cgroup, action, file);
            world.goes_on(checks, &format!("{who}: {action}"), attempt)?;
        }
    }
    let depth = fs::read_to_string(&foreign)?;
    checks.equal(
        "the privileged zone alone has changed it",
        &depth.trim(),
        &"7",
    );
    fs::write(&foreign, "max")?;
    let file = File::open(&foreign)?;
    let read = || act_on(&two, "read-open", file);
    world.goes_on(checks, "an inherited descriptor is read", read)
}

/// Acts on the file with the depth 7, which is valid and harmless.
fn act_on_with(cgroup: &Path, action: &str, file: File) -> Outcome {
    crate::guest::actor::act_on_with(cgroup, action, &[Path::new("7")], file)
}

/// Making, removing and changing the directories themselves.
fn directories(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    for (whose, parent) in [
        ("zone one's", world.one.clone()),
        ("a host's", world.free.clone()),
        ("the root's", PathBuf::from("/sys/fs/cgroup")),
    ] {
        let made = parent.join("made");
        let claim = format!("zone two makes a cgroup in {whose}");
        world.refused(checks, &claim, Hook::InodeMkdir, &two, "mkdir", &[&made])?;
        fs::create_dir(&made)?;
        let claim = format!("zone two removes a cgroup of {whose}");
        world.refused(checks, &claim, Hook::InodeRmdir, &two, "rmdir", &[&made])?;
        for file in [made.clone(), made.join("cgroup.procs")] {
            let claim = format!("zone two changes the owner of {}", file.display());
            world.refused(checks, &claim, Hook::InodeSetattr, &two, "chown", &[&file])?;
            let claim = format!("zone two changes the mode of {}", file.display());
            world.refused(checks, &claim, Hook::InodeSetattr, &two, "chmod", &[&file])?;
        }
        let claim = format!("zone two sets an attribute of a cgroup of {whose}");
        let set = "set-attribute";
        world.refused(checks, &claim, Hook::InodeSetxattr, &two, set, &[&made])?;
        let claim = format!("a privileged zone removes a cgroup of {whose}");
        let privileged = world.privileged.clone();
        world.allowed(checks, &claim, &privileged, "rmdir", &[&made])?;
    }
    let own = two.join("made");
    for (action, path) in [
        ("mkdir", own.clone()),
        ("chown", own.clone()),
        ("chmod", own.join("cgroup.procs")),
        ("set-attribute", own.clone()),
        ("rmdir", own.clone()),
    ] {
        let claim = format!("zone two, a cgroup of its own: {action}");
        world.allowed(checks, &claim, &two, action, &[&path])?;
    }
    Ok(())
}

/// The same cgroups by another mount of the file system, and hierarchies of version 1.
fn other_mounts(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let (again, first) = (
        Path::new("/tmp/cgroup-again"),
        Path::new("/tmp/cgroup-first"),
    );
    for (kind, at, options) in [
        ("cgroup2", again, ""),
        ("cgroup", first, "none,name=attacker"),
    ] {
        fs::create_dir_all(at)?;
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("none"), at, Some(kind), flags, Some(options))?;
    }
    let foreign = again.join("one/cgroup.procs");
    let claim = "zone two opens zone one's cgroup.procs by a second mount";
    world.refused(checks, claim, Hook::FileOpen, &two, "write", &[&foreign])?;
    let own = again.join("two/cgroup.procs");
    let claim = "zone two opens its own by a second mount";
    world.allowed(checks, claim, &two, "write", &[&own])?;
    for name in ["release_agent", "cgroup.procs", "notify_on_release"] {
        let file = first.join(name);
        let claim = format!("zone two opens {name} of a hierarchy of version 1 to write");
        world.refused(checks, &claim, Hook::FileOpen, &two, "write", &[&file])?;
        let claim = format!("zone two reads {name} of a hierarchy of version 1");
        world.allowed(checks, &claim, &two, "open", &[&file])?;
        let free = world.free.clone();
        let claim = format!("a host task opens {name} of a hierarchy of version 1 to write");
        world.allowed(checks, &claim, &free, "write", &[&file])?;
    }
    let claim = "zone two makes a cgroup in a hierarchy of version 1";
    let made = first.join("made");
    world.refused(checks, claim, Hook::InodeMkdir, &two, "mkdir", &[&made])?;
    let zoned = Path::new("/tmp/cgroup-zoned");
    fs::create_dir_all(zoned)?;
    let claim = "zone two mounts a hierarchy of version 1";
    world.refused(
        checks,
        claim,
        Hook::SbSetMntOpts,
        &two,
        "mount-cgroup",
        &[zoned],
    )?;
    let claim = "a privileged zone mounts a hierarchy of version 1";
    let privileged = world.privileged.clone();
    world.allowed(checks, claim, &privileged, "mount-cgroup", &[zoned])?;
    nix::mount::umount(again)?;
    nix::mount::umount(first)?;
    Ok(())
}
