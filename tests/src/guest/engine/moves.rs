//! Tasks that are moved: by the host, which may and is told of, and by a zone that pulls in another's.

use std::fs;
use std::path::Path;

use std::os::unix::fs::MetadataExt as _;

use syva_model::hook::Hook;
use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, ZoneId};
use syva_model::kernel::Verdict;

use crate::guest::actor::{Outcome, act, begin};
use crate::guest::enforce::world::{ONE, TWO, World};
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    escapes(checks, world)?;
    pulled(checks, world)
}

/// What the host moves out of a zone goes on, is counted, and is told of.
fn escapes(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let task = begin(&one, "wait", &[])?;
    let pid = task.pid().to_string();
    let nested = one.join("below");
    fs::create_dir(&nested)?;
    for (to, escape) in [
        (&nested, None),
        (&one, None),
        (&two, Some((ONE, TWO))),
        (&free, Some((TWO, ZoneId::HOST))),
        (&one, None),
    ] {
        let before = world.counters()?.escapes;
        let claim = format!("the host moves a task to {}", to.display());
        let attempt = || match fs::write(to.join("cgroup.procs"), &pid) {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::Broken(error.to_string()),
        };
        let (outcome, (denied, would), events) = world.watch(attempt)?;
        checks.allowed(&claim, &outcome);
        let refused: u64 = denied.iter().chain(&would).sum();
        checks.equal(format!("{claim}: no denial"), &refused, &0);
        let grown = world.counters()?.escapes - before;
        checks.equal(
            format!("{claim}: counted"),
            &grown,
            &u64::from(escape.is_some()),
        );
        let told: Vec<_> = events
            .iter()
            .map(|e| (e.verdict, e.hook, e.subject, e.object, e.object_pid))
            .collect();
        let expected: Vec<_> = escape
            .map(|(from, to)| {
                let hook = Hook::CgroupAttachTask;
                (Verdict::Escape, hook, from, to, task.pid())
            })
            .into_iter()
            .collect();
        checks.equal(format!("{claim}: told"), &told, &expected);
    }
    Ok(())
}

/// A zone that sees a foreign task writes its id into a cgroup of its own, which it may write: nothing
/// can stop the kernel, so the caller is killed, and the event says where the task belongs.
fn pulled(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let own = begin(&two, "wait", &[])?;
    let nested = two.join("pulled-into");
    fs::create_dir(&nested)?;
    let procs = nested.join("cgroup.procs");
    let own_pid = own.pid().to_string();
    let claim = "zone two moves another task of its own";
    let args = [procs.as_path(), Path::new(&own_pid)];
    world.allowed(checks, claim, &two, "put", &args)?;
    for action in ["put", "put-from-thread"] {
        let foreign = begin(&one, "wait", &[])?;
        let pid = foreign.pid().to_string();
        let claim = format!("zone two pulls in a task of zone one ({action})");
        let attempt = || act(&two, action, &[&procs, Path::new(&pid)]);
        let (outcome, (denied, _), mut events) = world.watch(attempt)?;
        checks.equal(format!("{claim}: killed"), &outcome, &Outcome::Killed);
        let hook = Hook::CgroupAttachTask.index() as usize;
        checks.equal(format!("{claim}: counted"), &denied[hook], &1);
        let event = events.pop().ok_or("no event")?;
        let what = (event.verdict, event.subject, event.object, event.object_pid);
        let expected = (Verdict::Deny, TWO, ONE, foreign.pid());
        checks.equal(format!("{claim}: told"), &what, &expected);
        let home = fs::metadata(&one)?.ino();
        checks.equal(format!("{claim}: where it belongs"), &event.inode, &home);
        // What it was pulled into is nobody's: the rest of the zone does not reach it, nor itself.
        let (signal, none) = (Path::new("18"), Path::new("0"));
        for (target, what) in [(&foreign, "the task"), (&own, "its own task there")] {
            let pid = target.pid().to_string();
            let claim = format!("{claim}: then signals {what}");
            let args = [Path::new(&pid), signal];
            let event = world
                .refused(checks, &claim, Hook::TaskKill, &two, "kill", &args)?
                .ok_or("no event")?;
            checks.equal(format!("{claim}: nobody's"), &event.object, &ZoneId::LIMBO);
        }
        fs::write(one.join("cgroup.procs"), &pid)?;
        // What the daemon does as it compares.
        let row = MemberRow {
            zone: TWO,
            root: CgroupId(fs::metadata(&two)?.ino()),
            origin: Origin::Kernel,
        };
        let parked = CgroupId(fs::metadata(&nested)?.ino());
        world.members.write(&MapWrite::PutMember(parked, row))?;
        let claim = format!("{claim}, and once that is over signals its own task");
        let args = [Path::new(&own_pid), none];
        world.allowed(checks, &claim, &two, "kill", &args)?;
        let there = fs::read_to_string(one.join("cgroup.procs"))?;
        checks.that(
            format!("{claim}: it can be moved back"),
            there.lines().any(|line| line == pid),
            there,
        );
    }
    Ok(())
}
