//! Signals: to another zone, to the own one, to the host.

use std::path::{Path, PathBuf};

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};

use super::world::{ONE, TWO, World};
use crate::guest::actor::begin;
use crate::guest::{Checks, Failure};

/// SIGCONT: it does nothing to a task that runs.
const HARMLESS: &str = "18";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let victim = begin(&one, "wait", &[])?;
    let pid = PathBuf::from(victim.pid().to_string());
    let to_victim = [pid.as_path(), Path::new(HARMLESS)];
    let to_host = [Path::new("1"), Path::new("0")];

    let event = world
        .refused(
            checks,
            "zone two signals a task of zone one",
            Hook::TaskKill,
            &two,
            "kill",
            &to_victim,
        )?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: signal", &event.signal, &18);
    checks.equal("event: target", &event.object_pid, &victim.pid());
    checks.equal("event: no claim", &event.claim, &None);
    world.allowed(
        checks,
        "zone one signals its own task",
        &one,
        "kill",
        &to_victim,
    )?;
    world.allowed(checks, "a host task signals it", &free, "kill", &to_victim)?;

    let event = world
        .refused(
            checks,
            "zone two signals a host task",
            Hook::TaskKill,
            &two,
            "kill",
            &to_host,
        )?
        .ok_or("no event")?;
    checks.equal("event: the host's zone", &event.object, &ZoneId::HOST);
    let pair = Pair::new(ZoneId::HOST, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    world.allowed(
        checks,
        "an allowed pair with the host lets it",
        &two,
        "kill",
        &to_host,
    )?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    Ok(())
}
