//! Unix sockets: of the claim they are bound in, else of the zone that made them.

use std::path::Path;

use syva_model::hook::Hook;
use syva_model::image::ZoneId;

use super::world::{ONE, TWO, World};
use crate::guest::actor::listen;
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let zoned = Path::new("/tmp/zoned.sock");
    let listener = listen(&one, zoned)?;
    let hook = Hook::UnixStreamConnect;
    let event = world
        .refused(
            checks,
            "zone two connects to a socket of zone one",
            hook,
            &two,
            "connect",
            &[zoned],
        )?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: name", &event.name.as_str(), &"/tmp/zoned.sock");
    world.allowed(
        checks,
        "zone one connects to its own socket",
        &one,
        "connect",
        &[zoned],
    )?;
    world.allowed(
        checks,
        "a host task connects to it",
        &free,
        "connect",
        &[zoned],
    )?;
    drop(listener);

    let hosts = Path::new("/tmp/host.sock");
    let listener = listen(&free, hosts)?;
    let event = world
        .refused(
            checks,
            "zone one connects to a host socket",
            hook,
            &one,
            "connect",
            &[hosts],
        )?
        .ok_or("no event")?;
    checks.equal("event: the host's zone", &event.object, &ZoneId::HOST);
    drop(listener);

    let claimed = Path::new("/tmp/one/host.sock");
    let listener = listen(&free, claimed)?;
    world.allowed(
        checks,
        "zone one connects to a host socket in its claim",
        &one,
        "connect",
        &[claimed],
    )?;
    let event = world
        .refused(
            checks,
            "zone two connects to it",
            hook,
            &two,
            "connect",
            &[claimed],
        )?
        .ok_or("no event")?;
    checks.equal("event: depth below the claim", &event.depth, &1);
    drop(listener);
    Ok(())
}
