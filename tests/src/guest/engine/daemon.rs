//! Suite `engine-daemon`: what only the real daemon does: claim its own files, give back what a zone pulled
//! in, tell of escapes.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::naming::{self, Burrow};
use super::pulled;
use crate::daemon::{Daemon, eventually};
use crate::guest::actor::{Outcome, act, begin};
use crate::guest::stage::{Stage, setup};
use crate::guest::{Checks, Failure};

/// Starts it with a timer that never fires, so that nothing is put right by chance.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "3600"])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    own_files(checks, &stage, &daemon)?;
    given_back(checks, &stage, &daemon)?;
    escapes(checks, &stage, &daemon)?;
    daemon.terminate()?;
    let daemon = setup.start()?;
    own_files(checks, &stage, &daemon)?;
    let drift = daemon.done(&["status"])?;
    let drift = drift.json()["drift_repaired"].clone();
    checks.equal("its own claims are no drift", &drift, &0.into());
    daemon.terminate()?;
    // This one compares all the time.
    let setup = crate::guest::stage::setup(&["--reconcile-interval", "1"])?;
    let daemon = setup.start()?;
    naming::run(checks, &stage, &daemon)?;
    let daemon = pulled::run(checks, &stage, &setup, daemon)?;
    daemon.terminate()?;
    Ok(())
}

fn own_files(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let (state, socket) = (daemon.setup().state(), daemon.setup().socket());
    let inside = fs::read_dir(state)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.is_file())
        .ok_or("the state directory holds no file")?;
    let elsewhere = state.with_file_name("elsewhere");
    let new = state.join("new");
    let attacks: &[(&str, Vec<&Path>)] = &[
        ("open", vec![state]),
        ("open", vec![&inside]),
        ("write", vec![&inside]),
        ("truncate", vec![&inside]),
        ("unlink", vec![&inside]),
        ("create", vec![&new]),
        ("chmod", vec![state]),
        ("rename", vec![state, &elsewhere]),
        ("connect", vec![socket]),
        ("unlink", vec![socket]),
        ("chmod", vec![socket]),
    ];
    for host in [false, true] {
        let verb = if host { "allow" } else { "deny" };
        daemon.done(&["comms", verb, "web", "host"])?;
        for (action, args) in attacks {
            let what = args.iter().map(|path| path.display().to_string());
            let what = what.collect::<Vec<_>>().join(" ");
            checks.denied(
                format!("web, in a pair with the host: {host}: {action} {what}"),
                &act(&stage.web, action, args),
            );
        }
    }
    daemon.done(&["comms", "deny", "web", "host"])?;
    for (action, args) in [("open", vec![inside.as_path()]), ("connect", vec![socket])] {
        let claim = format!("a host task: {action} {}", args[0].display());
        checks.allowed(claim, &act(&stage.free, action, &args));
    }
    stage.kept_apart(checks, "beside the engine's claims");
    Ok(())
}

/// Where a process is, by its line of hierarchy 0; nothing if the kernel has no words for it.
fn cgroup_of(pid: u32) -> Result<Vec<u8>, Failure> {
    let text = match fs::read(format!("/proc/{pid}/cgroup")) {
        Err(error) if error.kind() == ErrorKind::InvalidFilename => return Ok(Vec::new()),
        text => text?,
    };
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"0::"));
    Ok(line.unwrap_or_default().to_vec())
}

fn given_back(checks: &mut Checks, stage: &Stage, _: &Daemon) -> Result<(), Failure> {
    for name in [&b"pulls"[..], naming::STRANGE] {
        let nested = stage.web.join(OsStr::from_bytes(name));
        fs::create_dir(&nested)?;
        let own = act(&nested, "open", &[&stage.own]);
        checks.allowed(format!("{nested:?} opens web's file"), &own);
        for (whose, home) in [("db's", &stage.db), ("the host's", &stage.free)] {
            let claim = format!("web pulls a process of {whose} into {nested:?}");
            let foreign = begin(home, "wait", &[])?;
            let pid = foreign.pid().to_string();
            let before = cgroup_of(foreign.pid())?;
            let args = [&nested.join("cgroup.procs"), Path::new(&pid)];
            let outcome = act(&stage.web, "put", &args);
            checks.equal(format!("{claim}: killed"), &outcome, &Outcome::Killed);
            back(checks, &claim, foreign.pid(), &before);
            let restored = eventually("the cgroup is web's again", || {
                Ok(act(&nested, "open", &[&stage.own]) == Outcome::Done)
            });
            checks.check(format!("{claim}: the cgroup is web's again"), restored);
            let open = act(&nested, "open", &[&stage.secret]);
            checks.denied(format!("{claim}: and no more than that"), &open);
        }
        fs::remove_dir(&nested)?;
    }
    let foreign = begin(&stage.db, "wait", &[])?;
    let before = cgroup_of(foreign.pid())?;
    let claim = "web pulls a process of db's into a cgroup that no path leads to";
    let pulls = Burrow::dig(&stage.web)?.pulls(foreign.pid())?;
    checks.equal(format!("{claim}: killed"), &pulls, &Outcome::Killed);
    back(checks, claim, foreign.pid(), &before);
    let restored = eventually("it is web's again", || Ok(Burrow::dig(&stage.web).is_ok()));
    checks.check(format!("{claim}: it is web's again"), restored);
    Ok(())
}

fn back(checks: &mut Checks, claim: &str, pid: u32, home: &[u8]) {
    let back = eventually("it is moved back", || Ok(cgroup_of(pid)? == home));
    checks.check(format!("{claim}: it is moved back"), back);
}

fn escapes(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let count = || -> Result<u64, Failure> {
        let status = daemon.done(&["status"])?;
        Ok(status.json()["escapes"].as_u64().ok_or("no count")?)
    };
    let before = count()?;
    let task = begin(&stage.web, "wait", &[])?;
    fs::write(stage.free.join("cgroup.procs"), task.pid().to_string())?;
    checks.equal("an escape is counted", &(count()? - before), &1);
    let told = eventually("an escape is told of", || {
        let events = daemon.done(&["events"])?;
        Ok(events.lines.iter().any(|event| {
            event["decision"] == "escape"
                && event["zone"] == "web"
                && event["target_pid"] == task.pid()
        }))
    });
    checks.check("an escape is told of, with its zone and process", told);
    Ok(())
}
