//! System V objects: of the zone that made them, whoever else may use them by their mode.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use syva_model::hook::Hook;
use syva_model::image::{CgroupId, MapWrite, Pair, ZoneId};

use super::world::{AUDITED, ONE, TWO, World};
use crate::daemon::eventually;
use crate::guest::actor::{Outcome, Spawned, act, make_cgroup, spawn};
use crate::guest::maps::{self, loaded};
use crate::guest::sysv::{Kind, id_of};
use crate::guest::{Checks, Failure};

/// Keys that nobody else has.
const KEY: i32 = 0x5379_7661;
const HOSTS: i32 = KEY + 1;
const OLD: i32 = KEY + 2;
const LATE: i32 = KEY + 3;

/// What was made before the programs were attached.
pub struct Beforehand {
    go: &'static Path,
    contained: Spawned,
}

/// The host makes an object of each kind, and what is to be a container one in its own namespace.
pub fn beforehand() -> Result<Beforehand, Failure> {
    let free = make_cgroup("free")?;
    let later = make_cgroup("later")?;
    for kind in Kind::ALL {
        done(&sysv(&free, kind, "make", OLD))?;
    }
    let go = Path::new("/tmp/go");
    let contained = spawn(&free, "sysv-beforehand", &[&later, go])?;
    eventually("shared memory is made in a namespace of its own", || {
        Ok(go.with_extension("made").exists())
    })?;
    Ok(Beforehand { go, contained })
}

pub fn run(checks: &mut Checks, world: &mut World, before: Beforehand) -> Result<(), Failure> {
    let (one, free) = (world.one.clone(), world.free.clone());
    for kind in Kind::ALL {
        for (cgroup, key) in [(&one, KEY), (&free, HOSTS)] {
            let claim = format!("{} makes {kind}", cgroup.display());
            world.goes_on(checks, &claim, || sysv(cgroup, kind, "make", key))?;
        }
        across(checks, world, kind)?;
        others(checks, world, kind)?;
        attached_later(checks, world, kind)?;
        removed(checks, world, kind)?;
    }
    older(checks, world, before)?;
    full(checks, world)
}

fn sysv(cgroup: &Path, kind: Kind, operation: &str, number: i32) -> Outcome {
    let number = number.to_string();
    let args = [kind.name(), operation, &number].map(Path::new);
    act(cgroup, "sysv", &args)
}

fn done(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(format!("preparing: {other:?}").into()),
    }
}

/// What is asked of the object's permissions, and is refused with EACCES.
fn permitted(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Shm => &["stat", "attach"],
        Kind::Msg => &["stat", "send", "receive"],
        Kind::Sem => &["stat", "add", "values", "set-values"],
    }
}

/// What is not.
fn controlled(kind: Kind) -> (Hook, &'static [&'static str]) {
    match kind {
        Kind::Shm => (Hook::ShmShmctl, &["stat-any", "set", "lock", "unlock"]),
        Kind::Msg => (Hook::MsgQueueMsgctl, &["stat-any", "set"]),
        Kind::Sem => (Hook::SemSemctl, &["stat-any", "set"]),
    }
}

/// Everything but removing it: the operation, its number, and how a refusal is counted and told.
fn operations(kind: Kind, key: i32) -> Result<Vec<(&'static str, i32, Hook, Errno)>, Failure> {
    let id = id_of(kind, key)?;
    let permission = (Hook::IpcPermission, Errno::ACCESS);
    let (hook, controlled) = controlled(kind);
    let mut all = vec![("get", key, permission.0, permission.1)];
    let permitted = permitted(kind).iter();
    all.extend(permitted.map(|what| (*what, id, permission.0, permission.1)));
    all.extend(controlled.iter().map(|what| (*what, id, hook, Errno::PERM)));
    Ok(all)
}

/// Zone two uses neither zone one's nor the host's; who may, does.
fn across(checks: &mut Checks, world: &mut World, kind: Kind) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    for (key, owner, whose) in [
        (KEY, ONE, "zone one's"),
        (HOSTS, ZoneId::HOST, "the host's"),
    ] {
        let id = id_of(kind, key)?;
        for (operation, number, hook, errno) in operations(kind, key)? {
            let claim = format!("zone two does {operation} to {whose} {kind}");
            let attempt = || sysv(&two, kind, operation, number);
            let event = world
                .refused_as(checks, &claim, hook, errno, attempt)?
                .ok_or("no event")?;
            let told = (
                event.subject,
                event.object,
                event.name.as_str(),
                event.inode,
            );
            checks.equal("event", &told, &(TWO, owner, kind.name(), id as u64));
        }
        let claim = format!("zone two removes {whose} {kind}");
        let (hook, _) = controlled(kind);
        let attempt = || sysv(&two, kind, "remove", id);
        world.refused_as(checks, &claim, hook, Errno::PERM, attempt)?;
    }
    let claim = format!("zone two asks for the sums of {kind}, which no zone has");
    world.goes_on(checks, &claim, || sysv(&two, kind, "sums", 0))?;
    for who in [one, world.free.clone(), world.privileged.clone()] {
        for (operation, number, ..) in operations(kind, KEY)? {
            let claim = format!("{} does {operation} to zone one's {kind}", who.display());
            world.goes_on(checks, &claim, || sysv(&who, kind, operation, number))?;
        }
    }
    Ok(())
}

/// Pairs open what they name; an audited zone is reported and goes on.
fn others(checks: &mut Checks, world: &mut World, kind: Kind) -> Result<(), Failure> {
    let two = world.two.clone();
    for (with, key) in [(ONE, KEY), (ZoneId::HOST, HOSTS)] {
        let pair = Pair::new(with, TWO);
        world.pairs.write(&MapWrite::PutPair(pair))?;
        for (operation, number, ..) in operations(kind, key)? {
            let claim =
                format!("zone two does {operation} to {kind} of {with:?}, the pair allowed");
            world.goes_on(checks, &claim, || sysv(&two, kind, operation, number))?;
        }
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    let audited = world.audited.clone();
    let (outcome, counted, events) = world.watch(|| sysv(&audited, kind, "get", KEY))?;
    checks.allowed(format!("an audited zone gets zone one's {kind}"), &outcome);
    let hook = Hook::IpcPermission;
    let once: Vec<u64> = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
    checks.equal("it would have been denied once", &counted.1, &once);
    let seen: Vec<_> = events.iter().map(|e| (e.subject, e.object)).collect();
    checks.equal("one event says so", &seen, &vec![(AUDITED, ONE)]);
    Ok(())
}

/// What a container made before it was attached is its zone's, and stays so after its cgroup is gone.
fn attached_later(checks: &mut Checks, world: &mut World, kind: Kind) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let late = make_cgroup("late")?;
    let claim = format!("a cgroup that is in no zone makes {kind}");
    world.goes_on(checks, &claim, || sysv(&late, kind, "make", LATE))?;
    let get = |who: &Path| sysv(who, kind, "get", LATE);
    let (hook, errno) = (Hook::IpcPermission, Errno::ACCESS);
    let claim = format!("zone one gets {kind} of what is in no zone yet");
    world.refused_as(checks, &claim, hook, errno, || get(&one))?;
    let id = world.attach(&late, ONE)?;
    let claim = format!("zone one gets that {kind} once its maker's cgroup is attached");
    world.goes_on(checks, &claim, || get(&one))?;
    let claim = format!("and zone two does not, {kind}");
    world.refused_as(checks, &claim, hook, errno, || get(&two))?;
    detach(world, id)?;
    fs::remove_dir(&late)?;
    done(&sysv(&world.free, kind, "remove", id_of(kind, LATE)?))?;

    let nested = one.join("nested-maker");
    fs::create_dir(&nested)?;
    done(&sysv(&nested, kind, "make", LATE))?;
    fs::remove_dir(&nested)?;
    let claim = format!("zone one gets {kind} of a nested cgroup that is gone");
    world.goes_on(checks, &claim, || get(&one))?;
    let claim = format!("and zone two does not get that {kind}");
    world.refused_as(checks, &claim, hook, errno, || get(&two))?;
    done(&sysv(&one, kind, "remove", id_of(kind, LATE)?))
}

fn detach(world: &mut World, cgroup: CgroupId) -> Result<(), Failure> {
    world.members.write(&MapWrite::DropMember(cgroup))?;
    Ok(world.control.settle()?)
}

/// Its own zone removes it, and nothing of it is left for what gets its address next.
fn removed(checks: &mut Checks, world: &mut World, kind: Kind) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let id = id_of(kind, KEY)?;
    let claim = format!("zone one removes its own {kind}");
    world.goes_on(checks, &claim, || sysv(&one, kind, "remove", id))?;
    done(&sysv(&free, kind, "remove", id_of(kind, HOSTS)?))?;
    let objects = loaded("ipc_objects")?;
    // Freed after a grace period; no other kind has objects now.
    let forgotten = eventually("the rows of what was removed are gone", || {
        Ok(maps::rows(&objects) == 0)
    });
    checks.check(format!("what was removed is forgotten, {kind}"), forgotten);
    done(&sysv(&two, kind, "make", KEY))?;
    let get = |who: &Path| sysv(who, kind, "get", KEY);
    let claim = format!("zone two gets its own {kind}, made since");
    world.goes_on(checks, &claim, || get(&two))?;
    let claim = format!("and zone one does not get that {kind}");
    let (hook, errno) = (Hook::IpcPermission, Errno::ACCESS);
    world.refused_as(checks, &claim, hook, errno, || get(&one))?;
    done(&sysv(&two, kind, "remove", id_of(kind, KEY)?))
}

/// What is older than the programs: in the host's namespace the host's, in a container's the container's.
fn older(checks: &mut Checks, world: &mut World, before: Beforehand) -> Result<(), Failure> {
    let (one, free) = (world.one.clone(), world.free.clone());
    for kind in Kind::ALL {
        let claim = format!("zone one gets {kind} older than the programs");
        let attempt = || sysv(&one, kind, "get", OLD);
        let event = world
            .refused_as(checks, &claim, Hook::IpcPermission, Errno::ACCESS, attempt)?
            .ok_or("no event")?;
        checks.equal("event: the host's zone", &event.object, &ZoneId::HOST);
        let claim = format!("a host task gets {kind} older than the programs");
        world.goes_on(checks, &claim, || sysv(&free, kind, "get", OLD))?;
        done(&sysv(&free, kind, "remove", id_of(kind, OLD)?))?;
    }
    let later = make_cgroup("later")?;
    world.attach(&later, ONE)?;
    fs::write(before.go, "")?;
    let claim = "a container attaches its own shared memory, older than the programs";
    world.goes_on(checks, claim, || before.contained.outcome())
}

/// A zone for whose objects there is no room makes none; the host does, and it is counted.
fn full(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let site = |world: &World| -> Result<u64, Failure> {
        let sites = world.counters()?.error_sites;
        let found = sites.iter().find(|(name, _)| name == "ipc_table");
        Ok(found.map_or(0, |(_, count)| *count))
    };
    let objects = loaded("ipc_objects")?;
    let filled = maps::fill(&objects);
    for kind in Kind::ALL {
        let one = sysv(&world.one, kind, "make", KEY);
        let refused = Outcome::Refused(Errno::NOSPC.raw_os_error());
        checks.equal(
            format!("the table full, zone one makes {kind}"),
            &one,
            &refused,
        );
        let host = sysv(&world.free, kind, "make", HOSTS);
        checks.allowed(format!("the table full, the host makes {kind}"), &host);
        let audited = sysv(&world.audited, kind, "make", LATE);
        checks.allowed(
            format!("the table full, an audited zone makes {kind}"),
            &audited,
        );
    }
    checks.equal("each was counted", &site(world)?, &9);
    maps::empty(&objects, &filled)?;
    for kind in Kind::ALL {
        let one = sysv(&world.one, kind, "make", KEY);
        checks.allowed(format!("with room again, zone one makes {kind}"), &one);
        let event = sysv(&world.one, kind, "get", HOSTS);
        let refused = Outcome::Refused(Errno::ACCESS.raw_os_error());
        checks.equal(
            format!("what the host made meanwhile is the host's, {kind}"),
            &event,
            &refused,
        );
    }
    Ok(())
}
