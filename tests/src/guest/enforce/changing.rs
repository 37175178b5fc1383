//! Changes to other tasks, and signals by every call: to another zone, to the own one, to the host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};

use super::world::{AUDITED, ONE, TWO, World};
use crate::guest::actor::{Background, Outcome, act, begin};
use crate::guest::demo::crossing::dies;
use crate::guest::{Checks, Failure};

/// SIGCONT: it does nothing to a task that runs.
const HARMLESS: &str = "18";
/// SIGKILL.
const DEADLY: &str = "9";

/// What changes a task, and the hook that is asked.
const CHANGES: [(&str, Hook); 6] = [
    ("set-priority", Hook::TaskSetnice),
    ("set-io-priority", Hook::TaskSetioprio),
    ("set-scheduler", Hook::TaskSetscheduler),
    ("set-attributes", Hook::TaskSetscheduler),
    ("set-affinity", Hook::TaskSetscheduler),
    ("set-limit", Hook::TaskSetrlimit),
];

/// What needs the right to read about a task.
const READINGS: [&str; 4] = ["migrate-pages", "move-pages", "compare", "robust-list"];

/// What signals a task, beside kill(2).
const SIGNALS: [&str; 5] = ["tkill", "tgkill", "sigqueue", "tgsigqueue", "pidfd-signal"];

/// How a file's signals are directed.
const WAYS: [&str; 3] = ["F_SETOWN", "F_SETOWN_EX", "FIOSETOWN"];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    changes(checks, world)?;
    readings(checks, world)?;
    signals(checks, world)?;
    files(checks, world)?;
    born(checks, world)
}

fn task(cgroup: &Path) -> Result<(Background, PathBuf), Failure> {
    let task = begin(cgroup, "wait", &[])?;
    let pid = task.pid().to_string().into();
    Ok((task, pid))
}

fn changes(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (_victim, pid) = task(&one)?;
    let (_bystander, hosts) = task(&free)?;
    for (action, hook) in CHANGES {
        let claim = format!("zone two does {action} to a task of zone one");
        let event = world
            .refused(checks, &claim, hook, &two, action, &[&pid])?
            .ok_or("no event")?;
        checks.equal("event: zones", &(event.subject, event.object), &(TWO, ONE));
        let target = event.object_pid.to_string();
        checks.equal("event: target", &Path::new(&target), &pid.as_path());
        let claim = format!("zone two does {action} to a host task");
        let event = world
            .refused(checks, &claim, hook, &two, action, &[&hosts])?
            .ok_or("no event")?;
        checks.equal("event: the host's zone", &event.object, &ZoneId::HOST);
        for who in [one.clone(), free.clone(), world.privileged.clone()] {
            let claim = format!("{} does {action} to it", who.display());
            world.allowed(checks, &claim, &who, action, &[&pid])?;
        }
        let claim = format!("zone two does {action} to itself");
        world.allowed(checks, &claim, &two, action, &[Path::new("0")])?;
    }
    for action in ["read-limit", "read-priority"] {
        let claim = format!("zone two does {action} of it, which is free");
        world.allowed(checks, &claim, &two, action, &[&pid])?;
    }

    let pair = Pair::new(ONE, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    let claim = "an allowed pair lets zone two change its limits";
    world.allowed(checks, claim, &two, "set-limit", &[&pid])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;

    let audited = world.audited.clone();
    let (outcome, counted, events) = world.watch(|| act(&audited, "set-priority", &[&pid]))?;
    checks.allowed("an audited zone changes its priority", &outcome);
    let hook = Hook::TaskSetnice;
    let once: Vec<u64> = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
    checks.equal("it would have been denied once", &counted.1, &once);
    let seen: Vec<_> = events.iter().map(|e| (e.subject, e.object)).collect();
    checks.equal("one event says so", &seen, &vec![(AUDITED, ONE)]);
    Ok(())
}

/// Other calls that name a task ask for ptrace's rights over it.
fn readings(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let (_victim, pid) = task(&one)?;
    for action in READINGS {
        let claim = format!("zone two does {action} to a task of zone one");
        let event = world
            .refused(
                checks,
                &claim,
                Hook::PtraceAccessCheck,
                &two,
                action,
                &[&pid],
            )?
            .ok_or("no event")?;
        checks.equal("event: operation", &event.operation, &Operation::Inspect);
        let claim = format!("zone one does {action} to its own");
        world.allowed(checks, &claim, &one, action, &[&pid])?;
    }
    Ok(())
}

fn signals(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let (_victim, pid) = task(&one)?;
    let args = [pid.as_path(), Path::new(HARMLESS)];
    for action in SIGNALS {
        let claim = format!("zone two does {action} to a task of zone one");
        let event = world
            .refused(checks, &claim, Hook::TaskKill, &two, action, &args)?
            .ok_or("no event")?;
        checks.equal("event: signal", &event.signal, &18);
        for who in [&one, &free] {
            let claim = format!("{} does {action} to it", who.display());
            world.allowed(checks, &claim, who, action, &args)?;
        }
    }
    Ok(())
}

/// What a file sends is sent in the name of whoever chose whom it goes to.
fn files(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    for way in WAYS {
        let (_victim, pid) = task(&one)?;
        let args = [Path::new(way), &pid, Path::new(DEADLY)];
        let claim = format!("zone two has a file kill a task of zone one, by {way}");
        unsent(checks, world, &claim, || act(&two, "file-signals", &args))?;
        checks.that(format!("{claim}: it lives"), !dies(&pid), "it died");
        let claim = format!("zone one has a file kill its own, by {way}");
        world.allowed(checks, &claim, &one, "file-signals", &args)?;
        checks.that(format!("{claim}: it dies"), dies(&pid), "it lives");
    }
    others_write(checks, world)
}

/// It is done, one signal is not sent, and the event is about zone two and not about current.
fn unsent(
    checks: &mut Checks,
    world: &mut World,
    claim: &str,
    attempt: impl FnOnce() -> Outcome,
) -> Result<u32, Failure> {
    let hook = Hook::FileSendSigiotask;
    let (outcome, counted, events) = world.watch(attempt)?;
    checks.allowed(format!("{claim}: nobody is told"), &outcome);
    let once: Vec<u64> = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
    checks.equal(format!("{claim}: counted once"), &counted.0, &once);
    let [event] = &events[..] else {
        return Err(format!("{claim}: not one event: {events:?}").into());
    };
    let told = (event.subject, event.object, event.signal);
    checks.equal(format!("{claim}: event"), &told, &(TWO, ONE, 9));
    Ok(event.pid)
}

/// Somebody who is in no zone does something to a file that a zone has armed, and the other way round.
fn others_write(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two, free) = (world.one.clone(), world.two.clone(), world.free.clone());
    let fifo = Path::new("/tmp/armed-fifo");
    for (by, deadly) in [(&two, false), (&one, true)] {
        act(&free, "fifo", &[fifo]);
        let (_victim, pid) = task(&one)?;
        let armed = arm(by, fifo, &pid)?;
        let claim = format!("a host task writes to a file that {} armed", by.display());
        let write = || act(&free, "write-fifo", &[fifo]);
        if deadly {
            world.goes_on(checks, &claim, write)?;
        } else {
            let blamed = unsent(checks, world, &claim, write)?;
            checks.equal("event: the process that armed it", &blamed, &armed.pid());
        }
        let died = dies(&pid);
        checks.equal(format!("{claim}: the target dies"), &died, &deadly);
        drop(armed);
        fs::remove_file(fifo)?;
    }
    act(&free, "fifo", &[fifo]);
    let armed = arm(&free, fifo, Path::new("0"))?;
    let claim = "zone two writes to a file that a host task armed for itself";
    world.allowed(checks, claim, &two, "write-fifo", &[fifo])?;
    let pid = armed.pid().to_string();
    checks.that(
        format!("{claim}: it is told"),
        dies(pid.as_ref()),
        "it was not",
    );
    Ok(fs::remove_file(fifo)?)
}

fn arm(by: &Path, fifo: &Path, pid: &Path) -> Result<Background, Failure> {
    let armed = fifo.with_extension("armed");
    let _ = fs::remove_file(&armed);
    let process = begin(by, "arm", &[fifo, pid, Path::new(DEADLY)])?;
    for _ in 0..500 {
        if armed.exists() {
            return Ok(process);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("the file was not armed".into())
}

/// A child that begins in a cgroup with other processors is asked about before it is in any (6.1 and later).
fn born(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let one = world.one.clone();
    let (from, to) = (one.join("from"), one.join("to"));
    for cgroup in [Path::new("/sys/fs/cgroup"), &one] {
        let control = cgroup.join("cgroup.subtree_control");
        fs::write(&control, "+cpuset").map_err(|e| format!("{}: {e}", control.display()))?;
    }
    for cgroup in [&from, &to] {
        fs::create_dir(cgroup)?;
    }
    fs::write(to.join("cpuset.cpus"), "0")?;
    let claim = "a zone's task makes a child in a cgroup of its zone with other processors";
    world.allowed(checks, claim, &from, "clone-into", &[&to])?;

    let script = Path::new("/tmp/forks");
    fs::write(script, "#!/bin/sh\n(:) && /bin/true\n")?;
    fs::set_permissions(script, fs::Permissions::from_mode(0o755))?;
    let claim = "a zone's task runs a program that runs others";
    world.allowed(checks, claim, &to, "exec", &[script])
}
