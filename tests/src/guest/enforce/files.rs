//! Files: claims of a tree and of one object, pairs, audit, privilege.

use std::fs;
use std::path::Path;

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, Scope, ZoneId};
use syva_model::kernel::Verdict;

use super::world::{APPLIED, APPLYING, AUDITED, ONE, TWO, World};
use crate::guest::actor::act;
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let tree = Path::new("/tmp/one");
    let file = Path::new("/tmp/one/sub/file");
    let public = Path::new("/tmp/public");
    fs::create_dir_all("/tmp/one/sub")?;
    fs::write(file, "")?;
    fs::write(public, "")?;

    world.allowed(
        checks,
        "before the claim, zone two opens it",
        &two,
        "open",
        &[file],
    )?;
    let claim = world.claim(tree, ONE, Scope::Subtree)?;
    let event = world
        .refused(
            checks,
            "zone two opens a file of zone one",
            Hook::FileOpen,
            &two,
            "open",
            &[file],
        )?
        .ok_or("no event")?;
    checks.equal("event: verdict", &event.verdict, &Verdict::Deny);
    checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
    checks.equal("event: hook", &event.hook, &Hook::FileOpen);
    checks.equal("event: claim", &event.claim, &Some(claim));
    checks.equal("event: depth", &event.depth, &2);
    checks.equal("event: name", &event.name.as_str(), &"file");
    checks.equal("event: inode", &event.inode, &world.key(file)?.0.ino);
    let sequences = (event.applied, event.applying);
    checks.equal("event: sequences", &sequences, &(APPLIED, APPLYING));
    checks.equal("event: command", &event.comm.as_str(), &"exe");
    checks.that(
        "event: pids",
        event.pid > 1 && event.tid == event.pid,
        format!("{event:?}"),
    );
    let cgroup = world
        .memberships()?
        .iter()
        .any(|(id, row)| *id == event.subject_cgroup && row.zone == TWO);
    checks.that("event: the caller's cgroup", cgroup, format!("{event:?}"));

    world.allowed(checks, "zone one opens its own file", &one, "open", &[file])?;
    world.allowed(
        checks,
        "zone one opens it again, from the cache",
        &one,
        "open",
        &[file],
    )?;
    world.refused(
        checks,
        "zone two tries again, from the cache",
        Hook::FileOpen,
        &two,
        "open",
        &[file],
    )?;
    world.allowed(checks, "a host task opens it", &free, "open", &[file])?;
    world.allowed(
        checks,
        "a privileged zone opens it",
        &world.privileged.clone(),
        "open",
        &[file],
    )?;
    world.refused(
        checks,
        "zone two opens the claimed folder",
        Hook::FileOpen,
        &two,
        "open",
        &[tree],
    )?;
    world.allowed(
        checks,
        "zone one opens an unclaimed file",
        &one,
        "open",
        &[public],
    )?;
    world.allowed(
        checks,
        "zone two opens an unclaimed file",
        &two,
        "open",
        &[public],
    )?;

    let made = Path::new("/tmp/one/sub/made-later");
    world.allowed(checks, "zone one makes a file", &one, "create", &[made])?;
    world.refused(
        checks,
        "zone two opens a file made after the claim",
        Hook::FileOpen,
        &two,
        "open",
        &[made],
    )?;

    pairs(checks, world, file)?;
    audit(checks, world, file)?;
    scopes(checks, world)?;
    depth(checks, world)
}

/// A pair opens and closes while everything runs.
fn pairs(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let two = world.two.clone();
    let pair = Pair::new(TWO, ONE);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    world.allowed(
        checks,
        "an allowed pair opens the file",
        &two,
        "open",
        &[file],
    )?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    world.control.settle()?;
    world.refused(
        checks,
        "a closed pair closes it",
        Hook::FileOpen,
        &two,
        "open",
        &[file],
    )?;
    Ok(())
}

/// An audited zone is reported and goes on.
fn audit(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let cgroup = world.audited.clone();
    let (outcome, counted, events) = world.watch(|| act(&cgroup, "open", &[file]))?;
    checks.allowed("an audited zone opens a file of zone one", &outcome);
    let by_hook = |count| {
        Hook::ALL
            .iter()
            .map(move |h| u64::from(*h == Hook::FileOpen) * count)
    };
    checks.equal(
        "it would have been denied once",
        &counted,
        &(by_hook(0).collect(), by_hook(1).collect()),
    );
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.verdict, e.subject, e.object))
        .collect();
    checks.equal(
        "one event says so",
        &seen,
        &vec![(Verdict::WouldDeny, AUDITED, ONE)],
    );
    Ok(())
}

/// An exact claim covers one object; a claim of another generation none; limbo keeps everyone out.
fn scopes(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (exact, below) = (Path::new("/tmp/exact"), Path::new("/tmp/exact/below"));
    fs::create_dir_all(exact)?;
    fs::write(below, "")?;
    let key = world.claim(exact, ONE, Scope::Exact)?;
    world.refused(
        checks,
        "zone two opens an exactly claimed folder",
        Hook::FileOpen,
        &two,
        "open",
        &[exact],
    )?;
    world.allowed(
        checks,
        "zone two opens a file below an exact claim",
        &two,
        "open",
        &[below],
    )?;

    let limbo = ZoneId::LIMBO;
    world.claim(exact, limbo, Scope::Exact)?;
    world.refused(
        checks,
        "zone one opens what is changing zone",
        Hook::FileOpen,
        &one,
        "open",
        &[exact],
    )?;
    world.unclaim(key)?;
    world.allowed(
        checks,
        "zone two opens it once the claim is gone",
        &two,
        "open",
        &[exact],
    )?;

    let (key, generation) = world.key(exact)?;
    let row = syva_model::image::ClaimRow {
        zone: ONE,
        scope: Scope::Subtree,
        generation: generation + 1,
        depth: 0,
    };
    world.claims.write(&MapWrite::PutClaim(key, row))?;
    world.advance_epoch()?;
    world.allowed(
        checks,
        "a claim of another generation covers nothing",
        &two,
        "open",
        &[below],
    )?;
    world.unclaim(key)
}

/// What lies too deep to be walked to is refused, though it may be nobody's.
fn depth(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let mut deep = Path::new("/tmp/deep").to_owned();
    for _ in 0..126 {
        deep.push("d");
    }
    fs::create_dir_all(&deep)?;
    world.allowed(
        checks,
        "zone two opens the deepest folder that is walked to",
        &two,
        "open",
        &[&deep],
    )?;
    deep.push("d");
    fs::create_dir(&deep)?;
    let event = world
        .refused(
            checks,
            "zone two opens a folder that is too deep",
            Hook::FileOpen,
            &two,
            "open",
            &[&deep],
        )?
        .ok_or("no event")?;
    checks.equal("its zone is unknown", &event.object, &ZoneId::UNKNOWN);
    world.allowed(checks, "a host task opens it", &free, "open", &[&deep])?;
    Ok(())
}
