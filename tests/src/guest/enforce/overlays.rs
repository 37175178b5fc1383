//! Overlays: what lies behind those that the host made is judged at the overlay alone, what lies
//! behind anyone else's at both.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use syva_model::hook::Hook;
use syva_model::image::{Scope, ZoneId};

use super::world::{ONE, TWO, World};
use crate::daemon::put;
use crate::guest::actor::{Outcome, act};
use crate::guest::mounting::{self, CANNOT_MOUNT};
use crate::guest::{Checks, Failure};

/// Where containers' storage lies, a layer that both share in it, and what zone one keeps to itself.
const STORE: &str = "/tmp/store";
const LAYER: &str = "/tmp/store/layer";
pub const TREE: &str = "/tmp/one/tree";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    for dir in [LAYER, TREE, "/tmp/open-tree"] {
        for file in ["file", "sub/file", "written", "program"] {
            put(&Path::new(dir).join(file), "text")?;
        }
    }
    hosts(checks, world)?;
    zones(checks, world)?;
    from_a_cgroup_that_is_gone(checks, world)?;
    of_a_user_namespace(checks, world)?;
    stacked(checks, world)?;
    stacked_by_the_host(checks, world)
}

/// The file `name` seen through the overlay at `scratch`.
pub fn through(scratch: &str, name: &str) -> PathBuf {
    Path::new(scratch).join("merged").join(name)
}

/// Two containers share a layer that is somebody's: each reads and writes through its own overlay.
fn hosts(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (ones, twos) = ("/tmp/store/one", "/tmp/store/two");
    mounting::overlay(Path::new(LAYER), Path::new(ones))?;
    mounting::overlay_configured(Path::new(LAYER), Path::new(twos))?;
    let layer = world.claim(Path::new(LAYER), ONE, Scope::Subtree)?;
    let file = Path::new(LAYER).join("file");
    world.refused(
        checks,
        "zone two opens a claimed layer's file itself",
        Hook::FileOpen,
        &two,
        "open",
        &[&file],
    )?;
    for (action, name, what) in [
        ("open", "file", "opens a file"),
        ("open", "sub", "opens a directory"),
        ("write", "written", "writes to a file, which is copied up"),
        ("open", "written", "opens what was copied up"),
        ("create", "made", "makes a file"),
    ] {
        for (zone, who, scratch) in [("one", &one, ones), ("two", &two, twos)] {
            let claim = format!("zone {zone} {what} of a claimed layer through the host's overlay");
            world.allowed(checks, &claim, who, action, &[&through(scratch, name)])?;
        }
    }

    world.unclaim(layer)?;
    all_of_the_storage(checks, world, ones, twos)?;
    claimed_itself(checks, world, ones, twos)?;
    for scratch in [ones, twos] {
        unmount(Path::new(scratch).join("merged"), UnmountFlags::empty())?;
    }
    Ok(())
}

/// The storage is somebody's with the upper layers, which are not shared: who reads through an overlay
/// has the host's word for it, who writes changes what another zone has claimed.
fn all_of_the_storage(
    checks: &mut Checks,
    world: &mut World,
    ones: &str,
    twos: &str,
) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let store = world.claim(Path::new(STORE), ONE, Scope::Subtree)?;
    for name in ["file", "sub", "written"] {
        for (zone, who, scratch) in [("one", &one, ones), ("two", &two, twos)] {
            let claim =
                format!("zone {zone} opens {name} through its overlay, the storage claimed");
            world.allowed(checks, &claim, who, "open", &[&through(scratch, name)])?;
        }
    }
    let claim = "zone one makes a file in its claimed upper layer";
    world.allowed(checks, claim, &one, "create", &[&through(ones, "later")])?;
    let claim = "zone two makes a file in zone one's upper layer";
    let file = through(twos, "later");
    world.refused(checks, claim, Hook::InodeCreate, &two, "create", &[&file])?;
    let claim = "zone one copies a file up into its claimed upper layer";
    world.allowed(checks, claim, &one, "write", &[&through(ones, "program")])?;
    // Which of the changes that make up the copying is refused is the kernel's affair.
    let (outcome, ..) = world.watch(|| act(&two, "write", &[&through(twos, "program")]))?;
    checks.denied(
        "zone two copies a file up into zone one's upper layer",
        &outcome,
    );
    world.unclaim(store)
}

/// The overlay, or a file of it, is somebody's.
fn claimed_itself(
    checks: &mut Checks,
    world: &mut World,
    ones: &str,
    twos: &str,
) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let merged = world.claim(&Path::new(ones).join("merged"), ONE, Scope::Subtree)?;
    for name in ["file", "sub", "made"] {
        let path = through(ones, name);
        let claim = format!("zone two opens {name} of zone one's overlay");
        world.refused(checks, &claim, Hook::FileOpen, &two, "open", &[&path])?;
        let claim = format!("zone one opens {name} of its overlay");
        world.allowed(checks, &claim, &one, "open", &[&path])?;
    }
    world.unclaim(merged)?;
    let key = world.claim(&through(twos, "file"), ONE, Scope::Exact)?;
    let file = through(twos, "file");
    world.refused(
        checks,
        "zone two opens a claimed file of an overlay",
        Hook::FileOpen,
        &two,
        "open",
        &[&file],
    )?;
    world.allowed(checks, "zone one opens it", &one, "open", &[&file])?;
    world.allowed(
        checks,
        "zone two opens another",
        &two,
        "open",
        &[&through(twos, "sub/file")],
    )?;
    world.unclaim(key)
}

/// A zone's root mounts overlays: over its own tree it may use them, over another's not.
fn zones(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    for how in ["overlay", "overlay-configured"] {
        let scratch = |zone: &str| format!("/tmp/{how}-{zone}");
        for (zone, who, tree) in [
            ("one", &one, TREE),
            ("two", &two, TREE),
            ("two-open", &two, "/tmp/open-tree"),
        ] {
            let scratch = scratch(zone);
            let args = [Path::new(tree), Path::new(&scratch)];
            world.allowed_the_host(
                checks,
                &format!("{how}: a zone mounts one ({zone})"),
                if zone == "one" { ONE } else { TWO },
                who,
                how,
                &args,
            )?;
        }
        for (action, name) in [("open", "file"), ("open", "sub"), ("write", "written")] {
            tried(checks, world, how, action, name)?;
        }
        for zone in ["one", "two", "two-open"] {
            unmount(
                Path::new(&scratch(zone)).join("merged"),
                UnmountFlags::empty(),
            )?;
        }
    }
    Ok(())
}

/// Through its overlay, zone two does this to zone one's tree; and whoever may does it, too.
fn tried(
    checks: &mut Checks,
    world: &mut World,
    how: &str,
    action: &str,
    name: &str,
) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let scratch = |zone: &str| format!("/tmp/{how}-{zone}");
    let what = format!("{how}: {action} {name}");
    let args = [through(&scratch("two"), name)];
    let event = world
        .refused(
            checks,
            &format!("{what}, zone two over zone one's tree"),
            Hook::FileOpen,
            &two,
            action,
            &[&args[0]],
        )?
        .ok_or("no event")?;
    checks.equal(
        format!("{what}: the event's zones"),
        &(event.subject, event.object),
        &(TWO, ONE),
    );
    for (zone, who) in [("one", &one), ("two-open", &two)] {
        let args = [through(&scratch(zone), name)];
        world.allowed(
            checks,
            &format!("{what}, over its own or nobody's ({zone})"),
            who,
            action,
            &[&args[0]],
        )?;
    }
    world.allowed(
        checks,
        &format!("{what}, a host task"),
        &free,
        action,
        &[&args[0]],
    )?;
    Ok(())
}

/// The cgroup that a zoned task mounted from is gone, and with it the membership.
fn from_a_cgroup_that_is_gone(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    for (zone, who) in [("one", &one), ("two", &two)] {
        let scratch = PathBuf::from(format!("/tmp/passing-{zone}"));
        let passing = who.join("passing");
        fs::create_dir(&passing)?;
        let claim = format!("zone {zone} mounts an overlay from a nested cgroup");
        let args = [Path::new(TREE), &scratch];
        let id = if zone == "one" { ONE } else { TWO };
        world.allowed_the_host(checks, &claim, id, &passing, "overlay", &args)?;
        fs::remove_dir(&passing)?;
    }
    let file = Path::new("/tmp/passing-two/merged/file");
    let claim = "that cgroup gone, zone two opens zone one's file through it";
    world.refused(checks, claim, Hook::FileOpen, &two, "open", &[file])?;
    let file = Path::new("/tmp/passing-one/merged/file");
    let claim = "that cgroup gone, zone one opens its own";
    world.allowed(checks, claim, &one, "open", &[file])?;
    for zone in ["one", "two"] {
        unmount(format!("/tmp/passing-{zone}/merged"), UnmountFlags::empty())?;
    }
    Ok(())
}

/// Whoever may mount nothing here may in a user namespace of its own.
fn of_a_user_namespace(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let action = "overlay-in-user-namespace";
    let (mine, theirs) = (Path::new("/tmp/user-one"), Path::new("/tmp/user-two"));
    let args = [Path::new(TREE), mine, Path::new("file")];
    // Kernels before 5.11 do not allow it.
    if act(
        &world.free.clone(),
        action,
        &[
            Path::new(TREE),
            Path::new("/tmp/user-free"),
            Path::new("file"),
        ],
    ) == Outcome::Refused(CANNOT_MOUNT.raw_os_error())
    {
        checks.note("no overlay can be mounted in a user namespace of this kernel");
        return Ok(());
    }
    world.allowed(
        checks,
        "in a user namespace, zone one over its own tree",
        &one,
        action,
        &args,
    )?;
    let args = [Path::new(TREE), theirs, Path::new("file")];
    world.refused(
        checks,
        "in a user namespace, zone two over zone one's tree",
        Hook::FileOpen,
        &two,
        action,
        &args,
    )?;
    Ok(())
}

/// The host mounts an overlay over one that a zone has mounted over another's tree.
fn stacked(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    for (zone, who) in [("two", &two), ("one", &one)] {
        let (below, above) = (format!("/tmp/below-{zone}"), format!("/tmp/above-{zone}"));
        let args = [Path::new(TREE), Path::new(&below)];
        world.allowed_the_host(
            checks,
            &format!("zone {zone} mounts the lower overlay"),
            if zone == "one" { ONE } else { TWO },
            who,
            "overlay",
            &args,
        )?;
        mounting::overlay(&Path::new(&below).join("merged"), Path::new(&above))?;
        let file = through(&above, "file");
        let event = if zone == "two" {
            world.refused(
                checks,
                "zone two opens zone one's file through both",
                Hook::FileOpen,
                &two,
                "open",
                &[&file],
            )?
        } else {
            None
        };
        if let Some(event) = event {
            let known = [ONE, ZoneId::UNKNOWN].contains(&event.object);
            checks.that(
                "it is zone one's, or nobody knows",
                known,
                format!("{event:?}"),
            );
        }
        for mounted in [above, below] {
            unmount(Path::new(&mounted).join("merged"), UnmountFlags::empty())?;
        }
    }
    Ok(())
}

/// Two overlays of the host's, one over the other.
fn stacked_by_the_host(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    mounting::overlay(Path::new(LAYER), Path::new("/tmp/store/below"))?;
    mounting::overlay(
        Path::new("/tmp/store/below/merged"),
        Path::new("/tmp/store/above"),
    )?;
    let layer = world.claim(Path::new(LAYER), ONE, Scope::Subtree)?;
    world.allowed(
        checks,
        "zone two opens a claimed layer's file through two of the host's",
        &two,
        "open",
        &[&through("/tmp/store/above", "file")],
    )?;
    world.unclaim(layer)?;
    for mounted in ["above", "below"] {
        unmount(
            Path::new(STORE).join(mounted).join("merged"),
            UnmountFlags::empty(),
        )?;
    }
    Ok(())
}
