//! Host sockets given to zones: one by its path or name, and nothing else with it.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;

use syva_model::hook::Hook;
use syva_model::host_socket::{Grant, Place, SocketKey};
use syva_model::image::{MapWrite, Pair, Scope, ZoneId};
use syva_model::kernel::Rows;

use super::world::{ONE, TWO, World};
use crate::guest::actor::{act, listen, receive};
use crate::guest::{Checks, Failure};

const DIR: &str = "/tmp/host/service";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    fs::create_dir_all(DIR)?;
    streams(checks, world)?;
    datagrams(checks, world)?;
    abstract_names(checks, world)?;
    whose_else(checks, world)?;
    depth(checks, world)?;
    core_dumps(checks, world)
}

/// A process that dies is dumped to the host's socket that core_pattern names, by the kernel in its name; the
/// same socket is not a zone's to connect to.
fn core_dumps(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let release = rustix::system::uname();
    let mut numbers = release.release().to_str()?.split('.').map(str::parse);
    let version = (
        numbers.next().ok_or("no version")??,
        numbers.next().ok_or("no version")??,
    );
    if version < (6, 16) {
        checks.note("this kernel dumps to no socket");
        return Ok(());
    }
    let two = world.two.clone();
    let socket = Path::new("/tmp/host/cores");
    let listener = std::os::unix::net::UnixListener::bind(socket)?;
    let before = fs::read_to_string(PATTERN)?;
    fs::write(PATTERN, format!("@{}", socket.display()))?;
    let dumped = std::thread::spawn(move || -> std::io::Result<Vec<u8>> {
        let (mut from, _) = listener.accept()?;
        let mut core = Vec::new();
        std::io::Read::read_to_end(&mut from, &mut core)?;
        Ok(core)
    });
    let (outcome, (denied, _), _) = world.watch(|| act(&two, "dump-core", &[]))?;
    let refused: u64 = denied.iter().sum();
    checks.equal("a process of zone two dies, no denial", &refused, &0);
    fs::write(PATTERN, before.trim_end())?;
    if refused > 0 {
        return Err(format!("nothing was dumped: {outcome:?}").into());
    }
    let core = dumped.join().map_err(|_| "the listener panicked")??;
    checks.that(
        "its core is dumped to the host's socket",
        core.starts_with(b"\x7fELF"),
        format!("{} bytes, {outcome:?}", core.len()),
    );
    let claim = "zone two connects to the socket for cores itself";
    let _listener = listen(&world.free.clone(), socket)?;
    let hook = Hook::UnixStreamConnect;
    world.refused(checks, claim, hook, &two, "connect", &[socket])?;
    Ok(())
}

/// What a socket at that path is known by, by the kernel's own word.
fn key(world: &World, path: &Path) -> Result<SocketKey, Failure> {
    let directory = fs::File::open(path.parent().ok_or("no parent")?)?;
    let facts = world.kernel_facts(directory.as_fd())?;
    let above = facts.place.ok_or("the directory has no place")?;
    let name = path.file_name().ok_or("no name")?.to_string_lossy();
    Ok(SocketKey {
        dev: facts.key.dev,
        place: Place::new(&format!("{above}/{name}"))?,
    })
}

fn give(world: &mut World, zone: ZoneId, socket: SocketKey) -> Result<Grant, Failure> {
    let grant = Grant { zone, socket };
    world.host_sockets.write(&MapWrite::PutHostSocket(grant))?;
    Ok(grant)
}

fn streams(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (bus, other) = (
        Path::new("/tmp/host/service/bus"),
        Path::new("/tmp/host/service/other"),
    );
    let hook = Hook::UnixStreamConnect;
    let socket = key(world, bus)?;
    checks.equal(
        "a place is the path from the file system's root",
        &socket.place.as_str(),
        &"/host/service/bus",
    );
    let listener = listen(&free, bus)?;
    let event = world
        .refused(
            checks,
            "a host socket that was not given",
            hook,
            &one,
            "connect",
            &[bus],
        )?
        .ok_or("no event")?;
    checks.equal(
        "event: the path it was bound by",
        &event.name.as_str(),
        &"/tmp/host/service/bus",
    );

    let grant = give(world, ONE, socket)?;
    checks.equal(
        "the row reads back",
        &format!("{:?}", world.host_sockets.rows()?),
        &format!("{:?}", Rows::HostSockets(vec![grant])),
    );
    world.allowed(
        checks,
        "the same once it was given",
        &one,
        "connect",
        &[bus],
    )?;
    world.refused(
        checks,
        "to another zone it was not given",
        hook,
        &two,
        "connect",
        &[bus],
    )?;
    let second = listen(&free, other)?;
    world.refused(
        checks,
        "another socket beside it",
        hook,
        &one,
        "connect",
        &[other],
    )?;
    drop(second);
    drop(listener);

    // As a service does at each start, and one with a RuntimeDirectory= whole.
    let listener = listen(&free, bus)?;
    world.allowed(checks, "the socket made anew", &one, "connect", &[bus])?;
    drop(listener);
    fs::remove_dir_all(DIR)?;
    fs::create_dir(DIR)?;
    let listener = listen(&free, bus)?;
    world.allowed(checks, "in a directory made anew", &one, "connect", &[bus])?;
    std::os::unix::fs::symlink("/tmp/host", "/tmp/led")?;
    let led = Path::new("/tmp/led/service/bus");
    world.allowed(checks, "by another path", &one, "connect", &[led])?;
    drop(listener);
    let listener = listen(&free, led)?;
    world.allowed(checks, "bound by another path", &one, "connect", &[bus])?;
    fs::rename(bus, other)?;
    world.refused(
        checks,
        "renamed to a name not given",
        hook,
        &one,
        "connect",
        &[other],
    )?;
    fs::rename(other, bus)?;
    world.allowed(checks, "and back", &one, "connect", &[bus])?;

    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    world.refused(checks, "taken away again", hook, &one, "connect", &[bus])?;
    let pair = Pair::new(ONE, ZoneId::HOST);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    world.allowed(checks, "with the host in a pair", &one, "connect", &[bus])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    drop(listener);
    Ok(())
}

fn datagrams(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (audited, privileged) = (world.audited.clone(), world.privileged.clone());
    let hook = Hook::UnixMaySend;
    let zoned = Path::new("/tmp/host/zoned");
    let receiver = receive(&one, zoned)?;
    let event = world
        .refused(
            checks,
            "zone two sends to zone one",
            hook,
            &two,
            "send",
            &[zoned],
        )?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    world.refused(
        checks,
        "and connects to send",
        hook,
        &two,
        "connect-to-send",
        &[zoned],
    )?;
    world.allowed(checks, "zone one sends to its own", &one, "send", &[zoned])?;
    world.allowed(
        checks,
        "and connects to send",
        &one,
        "connect-to-send",
        &[zoned],
    )?;
    world.allowed(checks, "a host task sends to it", &free, "send", &[zoned])?;
    world.allowed(
        checks,
        "a zone sends between the ends of a pair",
        &two,
        "send-to-self",
        &[],
    )?;
    let pair = Pair::new(ONE, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    world.allowed(checks, "an allowed pair sends", &two, "send", &[zoned])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    drop(receiver);

    let notify = Path::new("/tmp/host/service/notify");
    let receiver = receive(&free, notify)?;
    let event = world
        .refused(
            checks,
            "zone one sends to a host socket",
            hook,
            &one,
            "send",
            &[notify],
        )?
        .ok_or("no event")?;
    checks.equal(
        "event: path",
        &event.name.as_str(),
        &"/tmp/host/service/notify",
    );
    world.allowed(
        checks,
        "a privileged zone sends",
        &privileged,
        "send",
        &[notify],
    )?;
    let attempt = || crate::guest::actor::act(&audited, "send", &[notify]);
    let (outcome, counted, events) = world.watch(attempt)?;
    checks.allowed("an audited zone sends", &outcome);
    let would = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
    checks.equal("and it is counted", &counted.1, &would);
    checks.equal("and told once", &events.len(), &1);
    let socket = key(world, notify)?;
    let grant = give(world, ONE, socket)?;
    world.allowed(checks, "once it was given", &one, "send", &[notify])?;
    world.allowed(
        checks,
        "and along a connection",
        &one,
        "connect-to-send",
        &[notify],
    )?;
    world.refused(checks, "not from zone two", hook, &two, "send", &[notify])?;
    drop(receiver);
    let receiver = receive(&free, notify)?;
    world.allowed(checks, "to the socket made anew", &one, "send", &[notify])?;
    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    world.refused(checks, "taken away again", hook, &one, "send", &[notify])?;
    drop(receiver);
    Ok(())
}

fn abstract_names(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let name = Path::new("@syva/test");
    let longer = Path::new("@syva/test2");
    let hook = Hook::UnixStreamConnect;
    let (listener, second) = (listen(&free, name)?, listen(&free, longer)?);
    let event = world
        .refused(
            checks,
            "an abstract host socket",
            hook,
            &one,
            "connect",
            &[name],
        )?
        .ok_or("no event")?;
    checks.equal("event: its name", &event.name.as_str(), &"@syva/test");
    let grant = give(
        world,
        ONE,
        SocketKey::of_abstract(Place::new("@syva/test")?),
    )?;
    world.allowed(checks, "once it was given", &one, "connect", &[name])?;
    world.refused(checks, "not to zone two", hook, &two, "connect", &[name])?;
    world.refused(
        checks,
        "nor a longer name",
        hook,
        &one,
        "connect",
        &[longer],
    )?;
    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    world.refused(checks, "taken away again", hook, &one, "connect", &[name])?;
    drop((listener, second));
    Ok(())
}

/// What was given is a socket of the host: one of another zone at the same place is that zone's.
fn whose_else(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let path = Path::new("/tmp/host/service/bus");
    let hook = Hook::UnixStreamConnect;
    let socket = key(world, path)?;
    let grant = give(world, TWO, socket)?;
    let listener = listen(&one, path)?;
    world.refused(
        checks,
        "a zone's socket where a host's was given",
        hook,
        &two,
        "connect",
        &[path],
    )?;
    drop(listener);
    let listener = listen(&free, path)?;
    world.allowed(checks, "the host's there", &two, "connect", &[path])?;
    let claim = world.claim(Path::new("/tmp/host"), ONE, Scope::Subtree)?;
    world.refused(
        checks,
        "the host's in zone one's claim",
        hook,
        &two,
        "connect",
        &[path],
    )?;
    world.allowed(checks, "which zone one may use", &one, "connect", &[path])?;
    world.unclaim(claim)?;
    world.allowed(checks, "and the host's again", &two, "connect", &[path])?;
    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    drop(listener);
    Ok(())
}

/// As deep and as long as a place may be, and a level and a byte more.
fn depth(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, free) = (world.one.clone(), world.free.clone());
    let hook = Hook::UnixStreamConnect;
    let deepest = Path::new("/tmp/1/2/3/4/5/6/7");
    let (within, beyond) = (deepest.join("s"), deepest.join("8/s"));
    fs::create_dir_all(deepest.join("8"))?;
    let socket = key(world, &within)?;
    let grant = give(world, ONE, socket)?;
    let listener = listen(&free, &within)?;
    world.allowed(
        checks,
        "a given socket eight levels deep",
        &one,
        "connect",
        &[&within],
    )?;
    drop(listener);
    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    let listener = listen(&free, &beyond)?;
    world.refused(
        checks,
        "one nine levels deep",
        hook,
        &one,
        "connect",
        &[&beyond],
    )?;
    drop(listener);
    checks.that(
        "cannot be given either",
        key(world, &beyond).is_err(),
        "it has a place",
    );
    // As long as a path that can be bound: 107 bytes, of which /tmp is not the file system's.
    let long = format!("/tmp/{}", "x".repeat(102));
    let long = Path::new(&long);
    let socket = key(world, long)?;
    let grant = give(world, ONE, socket)?;
    let listener = listen(&free, long)?;
    world.allowed(
        checks,
        "a given socket of 107 bytes",
        &one,
        "connect",
        &[long],
    )?;
    drop(listener);
    world.host_sockets.write(&MapWrite::DropHostSocket(grant))?;
    Ok(())
}
