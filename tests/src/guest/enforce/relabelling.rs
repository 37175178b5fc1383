//! Changes that would give a file another label: a second name elsewhere, a claim that moves, an exact claim.

use std::fs;
use std::path::Path;

use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::Scope;

use super::mutations::{CLAIMED, PUBLIC, prepare};
use super::world::{ONE, World};
use crate::guest::{Checks, Failure};

/// A file must not get a second label by a second name; a first name is as good as a rename.
pub fn links(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let hook = Hook::InodeLink;
    let (inside, outside) = (Path::new(CLAIMED), Path::new(PUBLIC));
    let (file, public) = (inside.join("file"), outside.join("file"));
    let (linked, linked_outside) = (inside.join("new"), outside.join("new"));
    for (claim, who, args) in [
        (
            "zone two links out of zone one's directory",
            &two,
            [&file, &linked_outside],
        ),
        (
            "zone two links into zone one's directory",
            &two,
            [&public, &linked],
        ),
        (
            "zone one links its file to nobody's directory",
            &one,
            [&file, &linked_outside],
        ),
        (
            "zone one links nobody's file into its directory",
            &one,
            [&public, &linked],
        ),
    ] {
        let args = [args[0].as_path(), args[1].as_path()];
        let event = world.refused(checks, claim, hook, who, "link", &args)?;
        if who == &one {
            let operation = event.map(|event| event.operation);
            checks.equal("event: operation", &operation, &Some(Operation::Relabel));
        }
        world.allowed(
            checks,
            &format!("{claim}: a host task may"),
            &free,
            "link",
            &args,
        )?;
        fs::remove_file(args[1])?;
    }
    world.refused(
        checks,
        "zone two makes a file without a name in zone one's directory",
        Hook::FileOpen,
        &two,
        "open-without-name",
        &[inside],
    )?;
    world.allowed(
        checks,
        "zone one makes a file without a name in its directory",
        &one,
        "open-without-name",
        &[inside],
    )?;
    world.refused(
        checks,
        "zone two names a file in zone one's directory that had no name",
        hook,
        &two,
        "name-later",
        &[outside, &linked],
    )?;
    world.allowed(
        checks,
        "zone one names a file in its directory that had no name",
        &one,
        "name-later",
        &[outside, &linked],
    )?;
    world.refused(
        checks,
        "zone two opens the file that was named there",
        Hook::FileOpen,
        &two,
        "open",
        &[&linked],
    )?;
    prepare(inside)
}

/// A claimed directory is not renamed by its own zone either; the host may.
pub fn claimed_itself(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (claimed, elsewhere) = (Path::new(CLAIMED), Path::new("/tmp/mutate/elsewhere"));
    for (who, cgroup, operation) in [
        ("zone two", &two, Operation::Use),
        ("zone one", &one, Operation::Relabel),
    ] {
        let claim = format!("{who} renames what zone one has claimed");
        let args = [claimed, elsewhere];
        let event = world
            .refused(checks, &claim, Hook::InodeRename, cgroup, "rename", &args)?
            .ok_or("no event")?;
        checks.equal("event: operation", &event.operation, &operation);
        checks.equal("event: depth", &event.depth, &0);
    }
    world.allowed(
        checks,
        "a host task renames it",
        &free,
        "rename",
        &[claimed, elsewhere],
    )?;
    world.refused(
        checks,
        "it is claimed where it is now",
        Hook::FileOpen,
        &two,
        "open",
        &[&elsewhere.join("file")],
    )?;
    world.allowed(
        checks,
        "and its zone opens it there",
        &one,
        "open",
        &[&elsewhere.join("file")],
    )?;
    fs::rename(elsewhere, claimed)?;
    Ok(())
}

/// An exact claim holds for the object: a directory's entries, not what they lead to.
pub fn exactly_claimed(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (dir, file) = (
        Path::new("/tmp/mutate/exact"),
        Path::new("/tmp/mutate/exactly"),
    );
    prepare(dir)?;
    fs::write(file, "")?;
    let keys = [
        world.claim(dir, ONE, Scope::Exact)?,
        world.claim(file, ONE, Scope::Exact)?,
    ];
    let inside = dir.join("file");
    let new = dir.join("new");
    let cases: [(Hook, &str, &[&Path]); 6] = [
        (Hook::InodeSetattr, "chmod", &[file]),
        (Hook::InodeSetxattr, "set-attribute", &[file]),
        (Hook::InodeSetattr, "chmod", &[dir]),
        (Hook::InodeCreate, "create", &[&new]),
        (Hook::InodeUnlink, "unlink", &[&inside]),
        (Hook::InodeUnlink, "unlink", &[file]),
    ];
    for (hook, action, args) in cases {
        let name = args[0].display();
        let claim = format!("exact claim, zone two: {action} {name}");
        world.refused(checks, &claim, hook, &two, action, args)?;
        let claim = format!("exact claim, zone one: {action} {name}");
        world.allowed(checks, &claim, &one, action, args)?;
    }
    let below = dir.join("other");
    world.allowed(
        checks,
        "exact claim, zone two changes a file in the directory",
        &two,
        "chmod",
        &[&below],
    )?;
    // From one claim of the zone into another, of which the first does not reach what is in it.
    world.allowed(
        checks,
        "exact claim, zone two opens that file",
        &two,
        "open",
        &[&below],
    )?;
    let moved = Path::new(CLAIMED).join("moved");
    fs::rename(&below, &moved)?;
    world.refused(
        checks,
        "zone two opens it once it was moved into a subtree of the same zone",
        Hook::FileOpen,
        &two,
        "open",
        &[&moved],
    )?;
    for key in keys {
        world.unclaim(key)?;
    }
    Ok(())
}
