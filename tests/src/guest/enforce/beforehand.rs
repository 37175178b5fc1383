//! Overlays that a task mounts first, before it is attached to a zone: they are no host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use syva_model::hook::Hook;

use super::overlays::{TREE, through};
use super::world::{ONE, TWO, World};
use crate::guest::actor::{Outcome, Spawned, make_cgroup, spawn};
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    in_sight(checks, world)?;
    in_a_container(checks, world)
}

/// A task mounts where everyone sees it, and its cgroup is attached afterwards.
fn in_sight(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    for (zone, id) in [("two", TWO), ("one", ONE)] {
        let (cgroup, scratch) = (
            make_cgroup(&format!("early-{zone}"))?,
            format!("/tmp/early-{zone}"),
        );
        let args = [Path::new(TREE), Path::new(&scratch)];
        world.allowed(
            checks,
            &format!("a task that will be in zone {zone} mounts an overlay"),
            &cgroup,
            "overlay",
            &args,
        )?;
        world.attach(&cgroup, id)?;
        let file = through(&scratch, "file");
        if id == TWO {
            world.refused(
                checks,
                "attached to zone two, it opens zone one's file through it",
                Hook::FileOpen,
                &cgroup,
                "open",
                &[&file],
            )?;
        } else {
            world.allowed(
                checks,
                "attached to zone one, it opens its own",
                &cgroup,
                "open",
                &[&file],
            )?;
        }
        unmount(Path::new(&scratch).join("merged"), UnmountFlags::empty())?;
    }
    Ok(())
}

/// The same as in a container, and from a cgroup that is gone when its parent is attached.
fn in_a_container(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    for (zone, id) in [("two", TWO), ("one", ONE)] {
        let cgroup = make_cgroup(&format!("container-{zone}"))?;
        let inner = make_cgroup(&format!("container-{zone}/inner"))?;
        let scratch = PathBuf::from(format!("/tmp/container-{zone}"));
        let task = spawn(
            &inner,
            "overlay-beforehand",
            &[Path::new(TREE), &scratch, Path::new("file"), &cgroup],
        )?;
        wait_for(&scratch.join("mounted"))?;
        fs::remove_dir(&inner)?;
        world.attach(&cgroup, id)?;
        let opens = || go_on(&scratch, task);
        if id == TWO {
            let errno = Errno::PERM;
            world.refused_as(
                checks,
                "a container that mounted zone one's tree is attached to zone two",
                Hook::FileOpen,
                errno,
                opens,
            )?;
        } else {
            world.goes_on(
                checks,
                "a container that mounted zone one's tree is attached to zone one",
                opens,
            )?;
        }
    }
    Ok(())
}

fn wait_for(path: &Path) -> Result<(), Failure> {
    for _ in 0..1000 {
        if path.exists() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{} does not come", path.display()).into())
}

fn go_on(scratch: &Path, task: Spawned) -> Outcome {
    match fs::write(scratch.join("attached"), "") {
        Ok(()) => task.outcome(),
        Err(error) => Outcome::Broken(error.to_string()),
    }
}
