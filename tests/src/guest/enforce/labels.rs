//! Cached labels: a rename between claims is seen, one within a claim costs nobody anything.

use std::fs;
use std::path::Path;

use syva_bpf::verify::move_epoch;
use syva_model::hook::Hook;

use super::world::World;
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (inside, outside) = (Path::new("/tmp/one/sub/moved"), Path::new("/tmp/moved"));
    fs::create_dir(inside)?;
    fs::write(inside.join("file"), "")?;
    let (file_inside, file_outside) = (inside.join("file"), outside.join("file"));

    world.refused(
        checks,
        "zone two opens it inside the claim",
        Hook::FileOpen,
        &two,
        "open",
        &[&file_inside],
    )?;
    world.allowed(
        checks,
        "zone one opens it inside the claim",
        &one,
        "open",
        &[&file_inside],
    )?;
    let before = move_epoch(&world.kernel)?;
    fs::rename(inside, outside)?;
    checks.equal(
        "a rename out of a claim advances the epoch",
        &move_epoch(&world.kernel)?,
        &(before + 1),
    );
    world.allowed(
        checks,
        "zone two opens it once it was moved out",
        &two,
        "open",
        &[&file_outside],
    )?;
    fs::rename(outside, inside)?;
    world.refused(
        checks,
        "zone two opens it once it was moved in",
        Hook::FileOpen,
        &two,
        "open",
        &[&file_inside],
    )?;
    world.allowed(
        checks,
        "zone one opens it once it was moved in",
        &one,
        "open",
        &[&file_inside],
    )?;

    let before = move_epoch(&world.kernel)?;
    fs::rename(inside, "/tmp/one/sub/renamed")?;
    fs::rename("/tmp/one/sub/renamed", "/tmp/one/renamed")?;
    fs::rename("/tmp/public", "/tmp/exact/public")?;
    fs::rename("/tmp/exact/public", "/tmp/public")?;
    let same = move_epoch(&world.kernel)?;
    checks.equal("a rename within a label advances nothing", &same, &before);
    let failed = fs::rename("/tmp/missing", "/tmp/one/missing");
    checks.that("a rename that fails", failed.is_err(), "it succeeded");
    checks.equal("advances nothing", &move_epoch(&world.kernel)?, &before);
    linked_in(checks, world)
}

/// Linked in and unlinked outside: a move without a rename. Before the second name there was a cached label.
fn linked_in(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let outside = Path::new("/tmp/linked");
    fs::write(outside, "")?;
    world.allowed(
        checks,
        "zone two opens a file outside",
        &two,
        "open",
        &[outside],
    )?;
    fs::hard_link(outside, "/tmp/one/linked-in")?;
    fs::remove_file(outside)?;
    let moved = Path::new("/tmp/one/linked-in");
    world.refused(
        checks,
        "zone two opens it once it was linked in",
        Hook::FileOpen,
        &two,
        "open",
        &[moved],
    )?;
    Ok(())
}
