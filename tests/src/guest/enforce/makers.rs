//! POSIX queues and shared memory: of the zone that made them, where no claim says otherwise.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use syva_model::hook::Hook;
use syva_model::image::Scope;

use super::world::{ONE, TWO, World};
use crate::guest::actor::{Outcome, act, act_on};
use crate::guest::mutating::handed_over;
use crate::guest::{Checks, Failure};

/// Where the host has POSIX shared memory.
const SHM: &str = "/dev/shm";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    queues(checks, world)?;
    memory(checks, world)?;
    named_anew(checks, world)?;
    claimed(checks, world)?;
    elsewhere(checks, world)
}

/// Does it as the other zone, which is refused, and then as the own one and the host, who are not.
fn kept(
    checks: &mut Checks,
    world: &mut World,
    hook: Hook,
    action: &str,
    args: &[&Path],
) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let what = args[0].display();
    let claim = format!("zone two does {action} to {what}");
    let event = world
        .refused(checks, &claim, hook, &two, action, args)?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: no claim", &event.claim, &None);
    for who in [free, one] {
        let claim = format!("{} does {action} to {what}", who.display());
        world.allowed(checks, &claim, &who, action, args)?;
        // What can be done once only: undone, so that it can be done again.
        if action == "rename" {
            fs::rename(args[1], args[0])?;
        } else if action == "link" {
            fs::remove_file(args[1])?;
        }
    }
    Ok(())
}

fn queues(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let name = Path::new("/of-one");
    world.allowed(
        checks,
        "zone one makes a queue",
        &one,
        "make-queue",
        &[name],
    )?;
    kept(checks, world, Hook::FileOpen, "send-queue", &[name])?;
    kept(checks, world, Hook::FileOpen, "receive-queue", &[name])?;

    let root = Path::new("/dev/mqueue");
    fs::create_dir_all(root)?;
    mount("mqueue", root, "mqueue", MountFlags::empty(), None)?;
    let seen = root.join("of-one");
    kept(checks, world, Hook::FileOpen, "open", &[&seen])?;
    kept(checks, world, Hook::InodeSetattr, "chmod", &[&seen])?;
    let claim = "zone two removes zone one's queue";
    // mq_unlink(3) makes EACCES of EPERM, as POSIX has it.
    let remove = || act(&two, "remove-queue", &[name]);
    world.refused_as(checks, claim, Hook::InodeUnlink, Errno::ACCESS, remove)?;
    let claim = "zone two unlinks zone one's queue";
    world.refused(checks, claim, Hook::InodeUnlink, &two, "unlink", &[&seen])?;
    world.allowed(checks, "zone one removes it", &one, "remove-queue", &[name])?;

    // Made as a file, and not by mq_open(3).
    let file = root.join("file-of-one");
    world.allowed(
        checks,
        "zone one makes a queue as a file",
        &one,
        "create",
        &[&file],
    )?;
    kept(checks, world, Hook::FileOpen, "open", &[&file])?;
    fs::remove_file(&file)?;
    unmount(root, UnmountFlags::DETACH)?;

    let hosts = Path::new("/of-the-host");
    world.allowed(
        checks,
        "a host task makes a queue",
        &free,
        "make-queue",
        &[hosts],
    )?;
    let claim = "zone two sends to the host's queue, which is free as unclaimed files are";
    world.allowed(checks, claim, &two, "send-queue", &[hosts])?;
    world.allowed(
        checks,
        "a host task removes its queue",
        &free,
        "remove-queue",
        &[hosts],
    )
}

fn memory(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let shm = Path::new(SHM);
    let (file, other) = (shm.join("of-one"), shm.join("other"));
    world.allowed(
        checks,
        "zone one makes shared memory",
        &one,
        "create",
        &[&file],
    )?;
    for (hook, action, args) in [
        (Hook::FileOpen, "open", vec![&*file]),
        (Hook::FileOpen, "write", vec![&file]),
        (Hook::InodeSetattr, "truncate", vec![&file]),
        (Hook::InodeSetattr, "chmod", vec![&file]),
        (Hook::InodeRename, "rename", vec![&file, &other]),
        (Hook::InodeLink, "link", vec![&file, &other]),
    ] {
        kept(checks, world, hook, action, &args)?;
    }
    let claim = "zone two removes zone one's shared memory";
    world.refused(checks, claim, Hook::InodeUnlink, &two, "unlink", &[&file])?;
    world.allowed(
        checks,
        "zone two makes a file beside it",
        &two,
        "create",
        &[&other],
    )?;
    let claim = "zone two renames it over zone one's";
    world.refused(
        checks,
        claim,
        Hook::InodeRename,
        &two,
        "rename",
        &[&other, &file],
    )?;
    let claim = "zone one opens zone two's";
    world.refused(checks, claim, Hook::FileOpen, &one, "open", &[&other])?;
    world.allowed(
        checks,
        "zone two removes its own",
        &two,
        "unlink",
        &[&other],
    )?;
    received(checks, world, &file)?;
    world.allowed(checks, "zone one removes its own", &one, "unlink", &[&file])?;

    let folder = shm.join("folder");
    world.allowed(
        checks,
        "zone one makes a folder there",
        &one,
        "mkdir",
        &[&folder],
    )?;
    let inside = folder.join("inside");
    let claim = "zone two makes a file in zone one's folder";
    world.refused(checks, claim, Hook::InodeCreate, &two, "create", &[&inside])?;
    let claim = "zone two removes zone one's folder";
    world.refused(checks, claim, Hook::InodeRmdir, &two, "rmdir", &[&folder])?;
    world.allowed(
        checks,
        "zone one removes its folder",
        &one,
        "rmdir",
        &[&folder],
    )?;

    let hosts = shm.join("of-the-host");
    world.allowed(
        checks,
        "a host task makes shared memory",
        &free,
        "create",
        &[&hosts],
    )?;
    let claim = "zone two opens the host's, which is free as unclaimed files are";
    world.allowed(checks, claim, &two, "open", &[&hosts])?;
    let second = shm.join("second-name");
    world.allowed(
        checks,
        "zone two gives it a second name",
        &two,
        "link",
        &[&hosts, &second],
    )?;
    let claim = "by which it has not become zone two's";
    world.allowed(checks, claim, &one, "open", &[&hosts])?;
    for path in [hosts, second] {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// A descriptor of it that another task hands over.
fn received(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let receive = |cgroup: &Path| {
        let socket = fs::File::open(file).and_then(|file| handed_over(&file));
        socket.map_or_else(
            |error| Outcome::Broken(error.to_string()),
            |socket| act_on(cgroup, "receive-descriptor", socket),
        )
    };
    let claim = "zone two receives a descriptor of zone one's shared memory";
    world.refused_as(checks, claim, Hook::FileReceive, Errno::PERM, || {
        receive(&two)
    })?;
    let claim = "zone one receives a descriptor of its own shared memory";
    world.goes_on(checks, claim, || receive(&one))
}

/// As sem_open(3) does it, and a file that is made without a name: the maker stays.
fn named_anew(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let one = world.one.clone();
    let shm = Path::new(SHM);
    let (first, last) = (shm.join("sem.first"), shm.join("sem.last"));
    world.allowed(
        checks,
        "zone one makes a semaphore",
        &one,
        "create",
        &[&first],
    )?;
    world.allowed(
        checks,
        "gives it another name",
        &one,
        "link",
        &[&first, &last],
    )?;
    kept(checks, world, Hook::FileOpen, "open", &[&last])?;
    world.allowed(
        checks,
        "and takes away its first one",
        &one,
        "unlink",
        &[&first],
    )?;
    kept(checks, world, Hook::FileOpen, "open", &[&last])?;
    fs::rename(&last, &first)?;
    kept(checks, world, Hook::FileOpen, "open", &[&first])?;
    fs::remove_file(&first)?;
    let later = shm.join("named-later");
    let claim = "zone one names a file that it made without a name";
    world.allowed(checks, claim, &one, "name-later", &[shm, &later])?;
    kept(checks, world, Hook::FileOpen, "open", &[&later])?;
    Ok(fs::remove_file(&later)?)
}

/// A claim comes first: what a zone makes in another one's claim is the claim's.
fn claimed(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let folder = Path::new(SHM).join("claimed");
    fs::create_dir(&folder)?;
    let file = folder.join("of-two");
    world.allowed(checks, "zone two makes a file", &two, "create", &[&file])?;
    let key = world.claim(&folder, ONE, Scope::Subtree)?;
    let claim = "once its folder is claimed it is the claim's";
    world.allowed(checks, claim, &one, "open", &[&file])?;
    let claim = "and its maker's no more";
    world.refused(checks, claim, Hook::FileOpen, &two, "open", &[&file])?;
    world.unclaim(key)?;
    world.allowed(
        checks,
        "unclaimed it is its maker's again",
        &two,
        "open",
        &[&file],
    )?;
    let claim = "and not the claim's";
    world.refused(checks, claim, Hook::FileOpen, &one, "open", &[&file])?;
    Ok(fs::remove_dir_all(&folder)?)
}

/// On every other file system what no claim covers is free, whoever made it.
fn elsewhere(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let file = Path::new("/run/of-one");
    world.allowed(
        checks,
        "zone one makes a file on another tmpfs",
        &one,
        "create",
        &[file],
    )?;
    world.allowed(checks, "zone two opens it", &two, "open", &[file])?;
    checks.allowed("zone two removes it", &act(&two, "unlink", &[file]));
    Ok(())
}
