//! Unix sockets in every form: of each type, by path and by abstract name, connected or not.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use syva_model::hook::Hook;

use super::world::{ONE, TWO, World};
use crate::guest::actor::{Outcome, act, act_on, begin, begin_on, bound};
use crate::guest::{Checks, Failure};

/// How a socket is made, how it is reached, and the hook that is asked.
const FORMS: [(&str, &str, Hook); 5] = [
    ("listen", "connect", Hook::UnixStreamConnect),
    (
        "listen-seqpacket",
        "connect-seqpacket",
        Hook::UnixStreamConnect,
    ),
    ("receive", "send", Hook::UnixMaySend),
    ("receive", "connect-to-send", Hook::UnixMaySend),
    ("receive", "send-descriptor", Hook::UnixMaySend),
];

/// By path and by abstract name.
const NAMES: [&str; 2] = ["/tmp/form.sock", "@form"];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let one = world.one.clone();
    for (made, reached, hook) in FORMS {
        for name in NAMES {
            let name = Path::new(name);
            let socket = bound(&one, made, name)?;
            reach(checks, world, hook, reached, name)?;
            drop(socket);
        }
    }
    any_name(checks, world)?;
    pairs(checks, world)
}

/// Zone two does not reach zone one's socket; zone one and the host do.
fn reach(
    checks: &mut Checks,
    world: &mut World,
    hook: Hook,
    action: &str,
    name: &Path,
) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let claim = format!("zone two does {action} to {} of zone one", name.display());
    let event = world
        .refused(checks, &claim, hook, &two, action, &[name])?
        .ok_or("no event")?;
    let told = (event.subject, event.object, Path::new(&event.name));
    checks.equal("event", &told, &(TWO, ONE, name));
    for who in [one, free] {
        let claim = format!("{} does {action} to {}", who.display(), name.display());
        world.allowed(checks, &claim, &who, action, &[name])?;
    }
    Ok(())
}

/// A name that the kernel has chosen.
fn any_name(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let report = Path::new("/tmp/any-name");
    let receiver = begin(&world.one, "receive-autobound", &[report])?;
    let mut name = PathBuf::new();
    for _ in 0..500 {
        name = fs::read_to_string(report).unwrap_or_default().into();
        if name.as_os_str().len() > 1 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    reach(checks, world, Hook::UnixMaySend, "send", &name)?;
    drop(receiver);
    Ok(())
}

/// The end of a pair that another zone made, handed over by it: its other end is that zone's.
fn pairs(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let handed = |to: &Path| -> Result<Outcome, Failure> {
        let (ours, theirs) = UnixStream::pair()?;
        let maker = begin_on(&one, "hand-out-end", &[], OwnedFd::from(ours))?;
        let outcome = act_on(to, "send-by-end", File::from(OwnedFd::from(theirs)));
        drop(maker);
        Ok(outcome)
    };
    let attempt = |to: &Path| handed(to).unwrap_or_else(|e| Outcome::Broken(e.to_string()));
    let claim = "zone two sends to the other end of zone one's pair";
    world.refused_as(checks, claim, Hook::UnixMaySend, Errno::PERM, || {
        attempt(&two)
    })?;
    let claim = "zone one sends to the other end of its own pair";
    world.goes_on(checks, claim, || attempt(&one))?;
    let claim = "zone two sends both ways between the ends of its own pair";
    world.goes_on(checks, claim, || act(&two, "send-to-self", &[]))
}
