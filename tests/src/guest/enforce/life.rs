//! Memberships that the kernel makes and removes, beside those of the daemon.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use syva_bpf::verify::filter_total;
use syva_model::hook::Hook;
use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, Table};
use syva_model::kernel::Kernel as _;

use super::world::{ONE, TWO, World};
use crate::guest::actor::make_cgroup;
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let file = Path::new("/tmp/one/sub/file");
    moved(checks, world, file)?;
    nested(checks, world, file)?;
    other_hierarchy(checks, world, file)?;
    written_again(checks, world)?;
    race(checks, world)?;
    let two = world.two.clone();
    let id = CgroupId(fs::metadata(&two)?.ino());
    world.members.write(&MapWrite::DropMember(id))?;
    world.control.settle()?;
    world.allowed(
        checks,
        "a detached cgroup is outside its zone",
        &two,
        "open",
        &[file],
    )?;
    world.attach(&two, TWO)?;
    world.refused(
        checks,
        "attached again, it is inside",
        Hook::FileOpen,
        &two,
        "open",
        &[file],
    )?;
    Ok(())
}

/// What a look-up found counts until the row is changed: the same cgroup goes from zone to zone and out.
fn moved(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    const SLOTS: u64 = 65_536;
    let cgroup = make_cgroup("moved")?;
    let id = world.attach(&cgroup, TWO)?;
    // Another row in its slot, so that the count alone never answers.
    let neighbour = CgroupId(id.0 + SLOTS * 1_000);
    let row = MemberRow {
        zone: TWO,
        root: neighbour,
        origin: Origin::Journal,
    };
    world.members.write(&MapWrite::PutMember(neighbour, row))?;
    for round in 1..=3 {
        world.attach(&cgroup, TWO)?;
        let what = format!("moved to zone two, time {round}");
        world.refused(checks, &what, Hook::FileOpen, &cgroup, "open", &[file])?;
        world.attach(&cgroup, ONE)?;
        let what = format!("moved to zone one, time {round}");
        world.allowed(checks, &what, &cgroup, "open", &[file])?;
    }
    world.attach(&cgroup, TWO)?;
    let what = "moved to zone two, to be dropped";
    world.refused(checks, what, Hook::FileOpen, &cgroup, "open", &[file])?;
    world.members.write(&MapWrite::DropMember(id))?;
    let what = "dropped, with another row in its slot";
    world.allowed(checks, what, &cgroup, "open", &[file])?;
    world.members.write(&MapWrite::DropMember(neighbour))?;
    fs::remove_dir(&cgroup)?;
    Ok(())
}

/// What is made inside a zone is inside it, and leaves nothing behind.
fn nested(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let before = (world.memberships()?.len(), filter_total(&world.kernel)?);
    checks.equal(
        "the filter counts what there is",
        &before.1,
        &(before.0 as u64),
    );
    let (outer, inner) = (world.two.join("outer"), world.two.join("outer/inner"));
    fs::create_dir_all(&inner)?;
    world.refused(
        checks,
        "a task two cgroups below zone two",
        Hook::FileOpen,
        &inner,
        "open",
        &[file],
    )?;
    let id = CgroupId(fs::metadata(&inner)?.ino());
    let root = CgroupId(fs::metadata(&world.two)?.ino());
    let row = world
        .memberships()?
        .into_iter()
        .find(|(found, _)| *found == id);
    let expected = MemberRow {
        zone: TWO,
        root,
        origin: Origin::Kernel,
    };
    checks.equal(
        "its row says where it comes from",
        &row,
        &Some((id, expected)),
    );
    checks.equal(
        "the filter counts both",
        &filter_total(&world.kernel)?,
        &(before.1 + 2),
    );
    fs::remove_dir(&inner)?;
    fs::remove_dir(&outer)?;
    settle(world, before)?;
    let after = (world.memberships()?.len(), filter_total(&world.kernel)?);
    checks.equal("removed, they leave nothing behind", &after, &before);
    Ok(())
}

/// Waits until the kernel has let go of removed cgroups.
fn settle(world: &mut World, expected: (usize, u64)) -> Result<(), Failure> {
    for _ in 0..200 {
        if (world.memberships()?.len(), filter_total(&world.kernel)?) == expected {
            break;
        }
        thread::sleep(Duration::from_millis(25));
    }
    Ok(())
}

/// Cgroups of another hierarchy have the same ids and are none of ours.
fn other_hierarchy(checks: &mut Checks, world: &mut World, file: &Path) -> Result<(), Failure> {
    let before = world.memberships()?;
    let highest = before.iter().map(|(id, _)| id.0).max().unwrap_or(0);
    let v1 = Path::new("/tmp/v1");
    fs::create_dir_all(v1)?;
    mount(
        "none",
        v1,
        "cgroup",
        MountFlags::empty(),
        Some(c"none,name=other"),
    )?;
    let mut made = Vec::new();
    let mut id = 0;
    while id <= highest {
        let dir = v1.join(format!("c{}", made.len()));
        fs::create_dir(&dir)?;
        id = fs::metadata(&dir)?.ino();
        made.push(dir);
    }
    for dir in &made {
        fs::remove_dir(dir)?;
    }
    thread::sleep(Duration::from_millis(500));
    unmount(v1, UnmountFlags::empty())?;
    checks.that(
        "cgroups of another hierarchy passed over every id of ours",
        made.len() > 4,
        format!("made {}", made.len()),
    );
    checks.equal("and changed no membership", &world.memberships()?, &before);
    let two = world.two.clone();
    world.refused(
        checks,
        "zone two is still confined",
        Hook::FileOpen,
        &two,
        "open",
        &[file],
    )?;
    Ok(())
}

/// The walk at attach decides by what a cgroup's row is, and writes each once or again.
fn written_again(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let id = CgroupId(fs::metadata(&world.two)?.ino());
    let held = world.members.member(id)?;
    checks.equal(
        "a membership is read by its cgroup",
        &held.map(|row| row.zone),
        &Some(TWO),
    );
    let row = MemberRow {
        zone: ONE,
        root: id,
        origin: Origin::Kernel,
    };
    let fresh = CgroupId(u64::MAX - 5);
    checks.equal(
        "a cgroup without one has none",
        &world.members.member(fresh)?,
        &None,
    );
    let total = filter_total(&world.kernel)?;
    for _ in 0..2 {
        world.members.write(&MapWrite::PutMember(fresh, row))?;
    }
    checks.equal(
        "one written twice is there",
        &world.members.member(fresh)?,
        &Some(row),
    );
    for _ in 0..2 {
        world.members.write(&MapWrite::DropMember(fresh))?;
    }
    checks.equal(
        "the filter is where it was",
        &filter_total(&world.kernel)?,
        &total,
    );
    let refused = world.zones.member(fresh);
    checks.that(
        "only the members map has members",
        refused.is_err(),
        "zones had one",
    );
    Ok(())
}

/// The kernel makes and removes cgroups while the daemon writes and drops their rows.
fn race(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let before = (world.memberships()?.len(), filter_total(&world.kernel)?);
    let two = world.two.clone();
    let root = CgroupId(fs::metadata(&two)?.ino());
    let highest = world
        .memberships()?
        .iter()
        .map(|(id, _)| id.0)
        .max()
        .unwrap_or(0);
    let row = MemberRow {
        zone: TWO,
        root,
        origin: Origin::Kernel,
    };
    let mut members = world.kernel.table(Table::Members)?;
    let writer = thread::spawn(move || -> Result<(), String> {
        for round in 0..2_000u64 {
            // Ids the kernel is using, has used, and will use.
            let id = CgroupId(highest + 1 + round % 64);
            let step = match round % 3 {
                0 => MapWrite::PutMember(id, row),
                _ => MapWrite::DropMember(id),
            };
            members.write(&step).map_err(|e| e.to_string())?;
            let id = CgroupId(highest + 1 + (round * 7) % 64);
            members
                .write(&MapWrite::PutMember(id, row))
                .map_err(|e| e.to_string())?;
        }
        for id in 0..4096 {
            members
                .write(&MapWrite::DropMember(CgroupId(highest + 1 + id)))
                .map_err(|e| e.to_string())?;
        }
        Ok(())
    });
    for round in 0..300 {
        let dir = two.join(format!("r{}", round % 4));
        fs::create_dir(&dir)?;
        fs::remove_dir(&dir)?;
    }
    let written = writer.join().map_err(|_| "the writer panicked")?;
    checks.check("kernel and daemon write memberships at once", written);
    settle(world, before)?;
    let rows = world.memberships()?;
    for (id, _) in rows.iter().filter(|(id, _)| id.0 > highest) {
        world.members.write(&MapWrite::DropMember(*id))?;
    }
    let after = (world.memberships()?.len(), filter_total(&world.kernel)?);
    checks.equal(
        "and the filter counts exactly what there is",
        &after,
        &before,
    );
    Ok(())
}
