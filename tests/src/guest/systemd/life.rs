//! Start, restart, crash and stop, as systemd does and sees them.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::node::{CORE, active};
use super::unit;
use crate::daemon::Setup;
use crate::guest::actor::{Background, begin};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Where the moment of readiness is recorded. systemd runs ExecStartPost= when the daemon has said that
/// it is ready, before the unit is active; `+` is outside the unit's sandbox.
const FIRST: &str = "/run/syva-first";

/// What is tried at that moment.
fn at_readiness(script: &str) -> Result<(), Failure> {
    let _ = fs::remove_file(FIRST);
    let line = format!("[Service]\nExecStartPost=+/bin/sh -c '{script} >{FIRST} 2>&1; true'\n");
    unit::drop_in(CORE, "first", &line)
}

/// Starts the unit and watches it become active.
pub fn started(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    at_readiness("/usr/local/bin/syva-cli --format json status")?;
    unit::must(&["start", "--no-block", CORE])?;
    let mut seen = Vec::new();
    unit::eventually("the unit is active", || {
        let state = unit::property(CORE, "ActiveState")?;
        if seen.last() != Some(&state) {
            seen.push(state.clone());
        }
        Ok(state == "active")
    })?;
    let early = seen.iter().any(|state| state == "activating");
    checks.that("it is not active at once", early, format!("{seen:?}"));
    let first: Value = serde_json::from_str(&fs::read_to_string(FIRST)?)?;
    let attached = first["attached"] == true;
    checks.that(
        "every hook was attached when it said that it is ready",
        attached,
        &first,
    );
    let status = core.done(&["status"])?;
    checks.equal(
        "its self-tests pass in the hardened unit: it is healthy",
        &status.text("health").as_str(),
        &"healthy",
    );
    let text = unit::property(CORE, "StatusText")?;
    let says = text.starts_with("healthy, ") && text.ends_with("hooks attached");
    checks.that("systemctl status says so in words", says, &text);
    Ok(())
}

/// Registers and attaches, with something running in each zone.
pub fn populated(stage: &Stage, core: &Setup) -> Result<Vec<Background>, Failure> {
    stage.register(core)?;
    core.done(&["zones", "register", "cache"])?;
    core.done(&["comms", "allow", "db", "cache"])?;
    let running = [&stage.web, &stage.db].map(|cgroup| begin(cgroup, "wait", &[]));
    let running = running.into_iter().collect::<Result<_, _>>()?;
    stage.attach(core)?;
    Ok(running)
}

/// All that can be listed.
fn everything(core: &Setup) -> Result<Vec<Value>, Failure> {
    let lists: [(&[&str], &str); 4] = [
        (&["zones", "list"], "zones"),
        (&["containers", "list"], "containers"),
        (&["comms", "list"], "pairs"),
        (&["host-paths", "list"], "paths"),
    ];
    let listed = lists.map(|(words, field)| {
        let answer = core.done(words)?.json()[field].clone();
        match answer.as_array().is_some_and(|rows| !rows.is_empty()) {
            true => Ok(answer),
            false => Err(Failure::from(format!("{words:?} lists nothing: {answer}"))),
        }
    });
    listed.into_iter().collect()
}

/// What the rest of the suite needs, in one restart, each of which takes the emulator ten seconds: a
/// directory that is another in the unit's namespace, a watchdog and a restart one can wait for, and a line
/// in the log for every request.
const ADDED: &str = "[Service]
BindPaths=/srv/hidden:/srv/shown
WatchdogSec=20
TimeoutAbortSec=2
RestartSec=1
LimitCORE=0
Environment=RUST_LOG=info,h2=debug
";

/// Restarts it, and compares what there was before and after.
pub fn restarted(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    let (before, digest) = (everything(core)?, core.digest()?);
    unit::drop_in(CORE, "added", ADDED)?;
    at_readiness(&format!(
        "/opt/syva-test/syva-guest act {} open {}; echo $?",
        stage.web.display(),
        stage.secret.display()
    ))?;
    unit::must(&["restart", CORE])?;
    checks.that(
        "the restart ends with an active unit",
        unit::is_active(CORE)?,
        "no",
    );
    let after = everything(core)?;
    checks.equal(
        "zones, members, pairs and claims are as before",
        &after,
        &before,
    );
    checks.equal("the state is the journal's", &core.digest()?, &digest);
    let first = fs::read_to_string(FIRST)?;
    checks.equal(
        "when it said that it is ready again, web was denied db's file",
        &first.trim(),
        &rustix::io::Errno::PERM.raw_os_error().to_string().as_str(),
    );
    stage.kept_apart(checks, "restarted by systemd");
    unit::drop_in(CORE, "first", "")
}

/// Sends the daemon a signal, by its main process.
pub fn signal(signal: Signal) -> Result<u32, Failure> {
    let pid = unit::main_pid(CORE)?;
    let raw = i32::try_from(pid)?;
    kill_process(Pid::from_raw(raw).ok_or("no pid")?, signal)?;
    Ok(pid)
}

/// Waits until another process than that one is the daemon, and ready.
pub fn replaced(old: u32) -> Result<(), Failure> {
    unit::eventually("systemd starts it again", || {
        Ok(unit::main_pid(CORE).is_ok_and(|pid| pid != old))
    })?;
    active()
}

/// Kills it.
pub fn killed(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    let before = everything(core)?;
    let old = signal(Signal::KILL)?;
    replaced(old)?;
    checks.equal(
        "killed, it is started again",
        &unit::property(CORE, "NRestarts")?.as_str(),
        &"1",
    );
    checks.equal("with all that there was", &everything(core)?, &before);
    stage.kept_apart(checks, "killed and started again by systemd");
    Ok(())
}

/// Stops it. What is pinned goes on enforcing, as docs/operations.md says.
pub fn stopped(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    stage.kept_apart(checks, "before the stop");
    unit::must(&["stop", CORE])?;
    let result = unit::property(CORE, "Result")?;
    checks.equal("stopping is a success", &result.as_str(), &"success");
    stage.kept_apart(checks, "stopped by systemd");
    let answer = core.cli(&["status"])?;
    checks.equal("and nobody answers", &answer.exit, &3);
    let kernel = Command::new("/usr/local/bin/syva-core")
        .arg("status")
        .output()?;
    let said = String::from_utf8_lossy(&kernel.stdout).into_owned();
    checks.that(
        "but syva-core status says that every program is attached",
        kernel.status.success() && said.contains("what the policy refused is still refused"),
        format!("{kernel:?}"),
    );
    thread::sleep(Duration::from_secs(3));
    let state = unit::property(CORE, "ActiveState")?;
    checks.equal("it stays stopped", &state.as_str(), &"inactive");
    unit::must(&["start", CORE])?;
    stage.kept_apart(checks, "started again");
    Ok(())
}
