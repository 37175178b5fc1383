//! Executing and mapping: what file_open let pass and belongs to another zone by now.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::io::Errno;
use syva_model::hook::Hook;

use super::world::{ONE, TWO, World};
use crate::guest::actor::{Outcome, act_on, exec_moved};
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    opened_first(checks, world)?;
    by_descriptor_too(checks, world)?;
    moved_meanwhile(checks, world)?;
    mapping(checks, world)
}

/// A script that does nothing, at that path.
fn program(path: &Path, interpreter: &str) -> Result<(), Failure> {
    fs::write(path, format!("#!{interpreter}\n"))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}

/// Everything executed is opened first, so that is what usually refuses it.
fn opened_first(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (own, borrowed) = (Path::new("/tmp/one/true"), Path::new("/tmp/borrowed"));
    fs::copy("/bin/busybox", own)?;
    fs::set_permissions(own, Permissions::from_mode(0o755))?;
    program(borrowed, "/tmp/one/true")?;
    for (who, claim) in [
        (&one, "zone one executes its own program"),
        (&free, "a host task executes it"),
        (&world.privileged.clone(), "a privileged zone executes it"),
    ] {
        world.allowed(checks, claim, who, "exec", &[own])?;
    }
    world.allowed(
        checks,
        "zone two executes an unclaimed program",
        &two,
        "exec",
        &[Path::new("/bin/true")],
    )?;
    for (path, claim) in [
        (own, "zone two executes a program of zone one"),
        (
            borrowed,
            "zone two executes a script whose interpreter is zone one's",
        ),
    ] {
        world.refused(checks, claim, Hook::FileOpen, &two, "exec", &[path])?;
    }
    world.allowed(
        checks,
        "zone one executes that script",
        &one,
        "exec",
        &[borrowed],
    )
}

/// A descriptor does not save the opening: execveat(2) opens it anew.
fn by_descriptor_too(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let own = Path::new("/tmp/one/true");
    let by_descriptor = |who: &Path| match File::open(own) {
        Ok(file) => act_on(who, "exec-open", file),
        Err(error) => Outcome::Broken(error.to_string()),
    };
    world.refused_as(
        checks,
        "zone two executes a descriptor of zone one's program",
        Hook::FileOpen,
        Errno::PERM,
        || by_descriptor(&two),
    )?;
    world.goes_on(checks, "zone one executes that descriptor", || {
        by_descriptor(&one)
    })
}

/// Between the opening and the executing, the file moves into zone one's claim.
fn moved_meanwhile(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (outside, inside) = (Path::new("/tmp/moving"), Path::new("/tmp/one/moving"));
    program(outside, "/bin/true")?;
    let event = world
        .refused_as(
            checks,
            "zone two executes a script that moves to zone one meanwhile",
            Hook::BprmCheckSecurity,
            Errno::PERM,
            || exec_moved(&two, outside, outside, inside),
        )?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: name", &event.name.as_str(), &"moving");
    checks.equal("event: depth", &event.depth, &1);
    for (who, claim) in [
        (&one, "zone one does the same"),
        (&free, "a host task does the same"),
    ] {
        program(outside, "/bin/true")?;
        world.goes_on(checks, claim, || exec_moved(who, outside, outside, inside))?;
    }

    // The hook is called for the interpreter as well.
    let (script, interpreter) = (Path::new("/tmp/interpreted"), Path::new("/tmp/true"));
    let within = Path::new("/tmp/one/true");
    program(script, "/tmp/true")?;
    for (who, claim) in [(&two, None), (&one, Some("zone one does the same"))] {
        fs::copy("/bin/busybox", interpreter)?;
        fs::set_permissions(interpreter, Permissions::from_mode(0o755))?;
        let attempt = || exec_moved(who, script, interpreter, within);
        match claim {
            Some(claim) => world.goes_on(checks, claim, attempt)?,
            None => drop(world.refused_as(
                checks,
                "zone two executes a script whose interpreter moves to zone one meanwhile",
                Hook::BprmCheckSecurity,
                Errno::PERM,
                attempt,
            )?),
        }
    }
    Ok(())
}

/// A descriptor that came from elsewhere is not opened again, and cannot be executed all the same.
fn mapping(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (file, public) = (Path::new("/tmp/one/sub/file"), Path::new("/tmp/public"));
    fs::write(file, "text")?;
    fs::write(public, "text")?;
    let open = |path| File::open(path).map_err(|error| format!("opening a file: {error}"));
    let claimed = open(file)?;
    let event = world
        .refused_as(
            checks,
            "zone two maps a file of zone one to execute it",
            Hook::MmapFile,
            Errno::PERM,
            || act_on(&two, "map", claimed),
        )?
        .ok_or("no event")?;
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: name", &event.name.as_str(), &"file");
    for (who, action, path, claim) in [
        (&one, "map", file, "zone one maps its own file"),
        (&free, "map", file, "a host task maps it"),
        (&two, "map", public, "zone two maps an unclaimed file"),
        (
            &two,
            "map-to-read",
            file,
            "zone two maps an inherited descriptor to read it",
        ),
    ] {
        let file = open(path)?;
        world.goes_on(checks, claim, || act_on(who, action, file))?;
    }
    world.allowed(
        checks,
        "zone two maps anonymous memory to execute it",
        &two,
        "map-anonymous",
        &[],
    )
}
