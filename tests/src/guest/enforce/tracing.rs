//! ptrace and what asks for its rights: across zones, inside one, at the host, and by asking for it.

use std::path::{Path, PathBuf};

use rustix::io::Errno;
use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId, ZoneRow};

use super::world::{AUDITED, ONE, TWO, World};
use crate::guest::actor::{Background, Outcome, act, begin};
use crate::guest::tracer::readable_address;
use crate::guest::{Checks, Failure};

const HOOK: Hook = Hook::PtraceAccessCheck;

/// A process that is traced.
struct Victim {
    _process: Background,
    pid: PathBuf,
    exe: PathBuf,
    memory: PathBuf,
    shown: PathBuf,
    address: PathBuf,
}

impl Victim {
    fn of(cgroup: &Path) -> Result<Victim, Failure> {
        let process = begin(cgroup, "wait", &[])?;
        let pid = PathBuf::from(process.pid().to_string());
        let proc = Path::new("/proc").join(&pid);
        Ok(Victim {
            _process: process,
            exe: proc.join("exe"),
            memory: proc.join("mem"),
            shown: proc.join("environ"),
            address: readable_address(&pid)?,
            pid,
        })
    }

    /// Every way of taking it over, and how a refusal is told.
    fn takeovers(&self) -> [(&'static str, Vec<&Path>, Errno); 4] {
        [
            ("attach", vec![&self.pid], Errno::PERM),
            ("read-memory", vec![&self.pid, &self.address], Errno::PERM),
            ("take-descriptor", vec![&self.pid], Errno::PERM),
            ("open", vec![&self.memory], Errno::ACCESS),
        ]
    }
}

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let victim = Victim::of(&world.one)?;
    across(checks, world, &victim)?;
    shown(checks, world, &victim)?;
    inside(checks, world, &victim)?;
    host(checks, world)?;
    listed(checks, world)?;
    asked_for(checks, world)
}

/// Another zone's task is neither read about nor taken over, whatever pair is allowed.
fn across(checks: &mut Checks, world: &mut World, victim: &Victim) -> Result<(), Failure> {
    let two = world.two.clone();
    let pair = Pair::new(ONE, TWO);
    for (open, how) in [(false, ""), (true, ", their pair allowed")] {
        if open {
            world.pairs.write(&MapWrite::PutPair(pair))?;
        }
        for (action, args, errno) in victim.takeovers() {
            let claim = format!("zone two does {action} to a task of zone one{how}");
            let attempt = || act(&two, action, &args);
            let event = world
                .refused_as(checks, &claim, HOOK, errno, attempt)?
                .ok_or("no event")?;
            checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
            checks.equal("event: operation", &event.operation, &Operation::Control);
            let pid = event.object_pid.to_string();
            checks.equal("event: target", &Path::new(&pid), &victim.pid.as_path());
        }
        let event = world
            .refused_as(
                checks,
                &format!("zone two reads about a task of zone one{how}"),
                HOOK,
                Errno::ACCESS,
                || act(&two, "readlink", &[&victim.exe]),
            )?
            .ok_or("no event")?;
        checks.equal("event: operation", &event.operation, &Operation::Inspect);
    }
    world.pairs.write(&MapWrite::DropPair(pair))?;
    for who in [world.free.clone(), world.privileged.clone()] {
        for (action, args, _) in victim.takeovers() {
            let claim = format!("{} does {action} to it", who.display());
            world.allowed(checks, &claim, &who, action, &args)?;
        }
        let claim = format!("{} reads about it", who.display());
        world.allowed(checks, &claim, &who, "readlink", &[&victim.exe])?;
    }

    let audited = world.audited.clone();
    let (outcome, counted, events) = world.watch(|| act(&audited, "attach", &[&victim.pid]))?;
    checks.allowed("an audited zone attaches to it", &outcome);
    let once: Vec<u64> = Hook::ALL.iter().map(|h| u64::from(*h == HOOK)).collect();
    checks.equal("it would have been denied once", &counted.1, &once);
    let seen: Vec<_> = events.iter().map(|e| (e.subject, e.object)).collect();
    checks.equal("one event says so", &seen, &vec![(AUDITED, ONE)]);
    Ok(())
}

/// A file that shows memory is not opened across zones, in whichever mode and whatever pair is allowed.
fn shown(checks: &mut Checks, world: &mut World, victim: &Victim) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let pair = Pair::new(ONE, TWO);
    for (open, how) in [(false, ""), (true, ", their pair allowed")] {
        if open {
            world.pairs.write(&MapWrite::PutPair(pair))?;
        }
        for action in ["open", "open-read-write"] {
            let claim =
                format!("zone two does {action} to the environment of zone one's task{how}");
            let args = [victim.shown.as_path()];
            let event = world.refused(checks, &claim, Hook::FileOpen, &two, action, &args)?;
            let operation = event.map(|event| event.operation);
            let expected = Some(Operation::Inspect);
            checks.equal("event: operation", &operation, &expected);
        }
    }
    world.pairs.write(&MapWrite::DropPair(pair))?;
    for who in [one, world.free.clone(), world.privileged.clone()] {
        for action in ["open", "open-read-write"] {
            let claim = format!("{} does {action} to it", who.display());
            world.allowed(checks, &claim, &who, action, &[&victim.shown])?;
        }
    }
    Ok(())
}

/// In the own zone reading is free; taking over needs the zone's permission.
fn inside(checks: &mut Checks, world: &mut World, victim: &Victim) -> Result<(), Failure> {
    let one = world.one.clone();
    let allow = |allow_ptrace| {
        let row = ZoneRow {
            allow_ptrace,
            ..ZoneRow::default()
        };
        MapWrite::PutZone(ONE, row)
    };
    world.allowed(
        checks,
        "zone one reads about its own task",
        &one,
        "readlink",
        &[&victim.exe],
    )?;
    for (action, args, errno) in victim.takeovers() {
        let attempt = || act(&one, action, &args);
        let claim = format!("zone one does {action} to its own task");
        let event = world
            .refused_as(checks, &claim, HOOK, errno, attempt)?
            .ok_or("no event")?;
        checks.equal("event: zones", &(event.subject, event.object), &(ONE, ONE));
        world.zones.write(&allow(true))?;
        let claim = format!("{claim}, which it may");
        world.allowed(checks, &claim, &one, action, &args)?;
        world.zones.write(&allow(false))?;
    }
    Ok(())
}

/// The host's tasks are out of reach, until the operator names the host in a pair.
fn host(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let victim = Victim::of(&free)?;
    let pair = Pair::new(ZoneId::HOST, TWO);
    let deeds: [(&str, &Path, Errno); 2] = [
        ("attach", &victim.pid, Errno::PERM),
        ("readlink", &victim.exe, Errno::ACCESS),
    ];
    for (action, target, errno) in deeds {
        let claim = format!("zone two does {action} to a host task");
        let attempt = || act(&two, action, &[target]);
        let event = world
            .refused_as(checks, &claim, HOOK, errno, attempt)?
            .ok_or("no event")?;
        checks.equal("event: the host's zone", &event.object, &ZoneId::HOST);
        world.pairs.write(&MapWrite::PutPair(pair))?;
        let claim = format!("{claim}, their pair allowed");
        world.allowed(checks, &claim, &two, action, &[target])?;
        world.pairs.write(&MapWrite::DropPair(pair))?;
    }
    Ok(())
}

/// ps(1) asks about every process; what it is refused is counted, and no event.
fn listed(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let ps = Path::new("/bin/ps");
    let (outcome, (denied, would_deny), events) = world.watch(|| act(&two, "exec", &[ps]))?;
    checks.allowed("zone two runs ps", &outcome);
    let others = denied
        .iter()
        .zip(Hook::ALL)
        .filter(|(_, hook)| **hook != HOOK);
    let quiet = others
        .map(|(count, _)| count)
        .chain(&would_deny)
        .sum::<u64>();
    checks.equal("nothing but ptrace's check counts it", &quiet, &0);
    let counted = denied[HOOK.index() as usize];
    checks.that("it is counted", counted > 0, "it is not");
    checks.equal("and makes no event", &events.len(), &0);
    world.allowed(checks, "a host task runs ps", &free, "exec", &[ps])
}

/// The tracer of a task that asks for it is its parent, and is judged.
fn asked_for(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let privileged = world.privileged.clone();
    // The parent joins its zone once its child has joined the other.
    let asked =
        |parent: &Path, child: &Path| -> Outcome { act(&free, "be-asked", &[parent, child]) };
    let hook = Hook::PtraceTraceme;
    for (parent, child, zones, claim) in [
        (&two, &one, (TWO, ONE), "a task of zone one, by zone two"),
        (&two, &free, (TWO, ZoneId::HOST), "a host task, by zone two"),
        (
            &one,
            &one,
            (ONE, ONE),
            "a task of zone one, by its own zone",
        ),
    ] {
        let claim = format!("asks to be traced: {claim}");
        let attempt = || asked(parent, child);
        let event = world
            .refused_as(checks, &claim, hook, Errno::PERM, attempt)?
            .ok_or("no event")?;
        checks.equal("event: zones", &(event.subject, event.object), &zones);
        checks.that(
            "event: the parent is blamed, the child is the target",
            event.pid != 0 && event.object_pid > event.pid && event.comm == "exe",
            format!("{event:?}"),
        );
    }
    for (parent, claim) in [(&free, "a host task"), (&privileged, "a privileged zone")] {
        let claim = format!("asks to be traced: a task of zone one, by {claim}");
        world.goes_on(checks, &claim, || asked(parent, &one))?;
    }
    let row = ZoneRow {
        allow_ptrace: true,
        ..ZoneRow::default()
    };
    world.zones.write(&MapWrite::PutZone(ONE, row))?;
    world.goes_on(
        checks,
        "asks to be traced: a task of zone one, by its own zone, which may",
        || asked(&one, &one),
    )?;
    world
        .zones
        .write(&MapWrite::PutZone(ONE, ZoneRow::default()))?;
    Ok(())
}
