//! Keys: of the zone that made them, whoever's permissions they carry; all others are free.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use syva_model::hook::Hook;
use syva_model::kernel::KernelEvent;

use super::world::{ONE, TWO, World};
use crate::daemon::eventually;
use crate::guest::actor::{Outcome, act};
use crate::guest::keys::serial_of;
use crate::guest::maps::{self, loaded};
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let before = maps::rows(&loaded("ipc_objects")?);
    let name = Path::new("of-one");
    world.allowed(checks, "zone one makes a key", &one, "make-key", &[name])?;
    let number = serial_of("of-one")?;
    let serial = PathBuf::from(number.to_string());
    for (action, errno) in [
        // keyctl_read_key() makes one error of all that keep it from finding a key.
        ("read-key", Errno::NOKEY),
        ("describe-key", Errno::PERM),
        ("update-key", Errno::PERM),
        ("revoke-key", Errno::PERM),
    ] {
        withheld(checks, world, action, &serial, errno, number)?;
        if action == "revoke-key" {
            continue;
        }
        for who in [one.clone(), free.clone(), world.privileged.clone()] {
            let claim = format!("{} does {action} to it", who.display());
            world.allowed(checks, &claim, &who, action, &[&serial])?;
        }
    }
    // The search goes on, and finds nothing it may use.
    let claim = "zone two finds zone one's key in the keyring that they share";
    let find = || act(&two, "find-key", &[name]);
    world.refused_as(checks, claim, Hook::KeyPermission, Errno::ACCESS, find)?;
    world.allowed(
        checks,
        "zone one finds its key there",
        &one,
        "find-key",
        &[name],
    )?;

    let other = Path::new("of-two");
    let claim = "zone two puts a key of its own into that keyring";
    world.allowed(checks, claim, &two, "make-key", &[other])?;
    world.allowed(checks, "and finds it there", &two, "find-key", &[other])?;
    let hosts = Path::new("of-the-host");
    world.allowed(
        checks,
        "a host task makes a key",
        &free,
        "make-key",
        &[hosts],
    )?;
    let claim = "zone two finds the host's, which is free";
    world.allowed(checks, claim, &two, "find-key", &[hosts])?;
    let claim = "a zone's task begins a session of its own";
    world.allowed(checks, claim, &two, "join-keyring", &[])?;

    for name in ["of-one", "of-two", "of-the-host"] {
        let serial = serial_of(name)?.to_string();
        done(&act(&free, "revoke-key", &[serial.as_ref()]))?;
    }
    // At once, and not after five minutes.
    fs::write("/proc/sys/kernel/keys/gc_delay", "1")?;
    let late = Path::new("late");
    done(&act(&one, "make-key", &[late]))?;
    done(&act(
        &one,
        "revoke-key",
        &[serial_of("late")?.to_string().as_ref()],
    ))?;
    let objects = loaded("ipc_objects")?;
    let forgotten = eventually("the rows of keys that are gone are gone", || {
        Ok(maps::rows(&objects) <= before + 2)
    });
    checks.check("keys that are gone are forgotten", forgotten);
    full(checks, world)
}

/// Zone two does not do it to zone one's key. The kernel looks whether the caller possesses the key before it
/// asks whether it may, and asks for that as well: a refusal counts once or twice.
fn withheld(
    checks: &mut Checks,
    world: &mut World,
    action: &str,
    serial: &Path,
    errno: Errno,
    number: i32,
) -> Result<(), Failure> {
    let two = world.two.clone();
    let claim = format!("zone two does {action} to zone one's");
    let (outcome, counted, events) = world.watch(|| act(&two, action, &[serial]))?;
    let refused = Outcome::Refused(errno.raw_os_error());
    checks.equal(&claim, &outcome, &refused);
    let hook = Hook::KeyPermission;
    let by_hook = Hook::ALL.iter().zip(&counted.0);
    let (ours, others): (Vec<_>, Vec<_>) = by_hook.partition(|(each, _)| **each == hook);
    let times = ours.iter().map(|(_, count)| **count).sum::<u64>();
    let held = (1..=2).contains(&times) && others.iter().all(|(_, count)| **count == 0);
    checks.that(format!("{claim}: counted"), held, format!("{counted:?}"));
    let told = |event: &KernelEvent| {
        let zones = (event.subject, event.object) == (TWO, ONE);
        zones && event.hook == hook && event.name == "key" && event.inode == number as u64
    };
    let all = events.len() as u64 == times && events.iter().all(told);
    checks.that(
        format!("{claim}: told each time"),
        all,
        format!("{events:?}"),
    );
    Ok(())
}

/// A zone for whose keys there is no room makes none.
fn full(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let objects = loaded("ipc_objects")?;
    let filled = maps::fill(&objects);
    let name = Path::new("without-room");
    let made = act(&world.one, "make-key", &[name]);
    let refused = Outcome::Refused(Errno::NOSPC.raw_os_error());
    checks.equal("the table full, zone one makes a key", &made, &refused);
    let made = act(&world.free, "make-key", &[Path::new("hosts")]);
    checks.allowed("the table full, a host task makes a key", &made);
    maps::empty(&objects, &filled)?;
    let made = act(&world.one, "make-key", &[name]);
    checks.allowed("with room again, zone one makes a key", &made);
    Ok(())
}

fn done(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Done => Ok(()),
        other => Err(format!("preparing: {other:?}").into()),
    }
}
