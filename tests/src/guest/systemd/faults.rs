//! What goes wrong around the daemon: it hangs, its port is taken, journald is gone.

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::life::{replaced, signal};
use super::node::{CORE, active};
use super::unit;
use crate::daemon::Setup;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// The watchdog's limit in this suite, in seconds.
const LIMIT: f64 = 20.0;

/// A daemon that hangs is killed and started again; one that does not is left alone.
pub fn watchdog(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    // Since when, in microseconds; the other clock is this process'.
    let since: u64 = unit::property(CORE, "ActiveEnterTimestampMonotonic")?.parse()?;
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
    let lived = uptime - since as f64 / 1e6;
    if lived < LIMIT {
        thread::sleep(Duration::from_secs_f64(LIMIT - lived + 2.0));
    }
    let restarts = unit::property(CORE, "NRestarts")?;
    checks.equal(
        "past the watchdog's limit, a daemon that lives is left alone",
        &restarts.as_str(),
        &"1",
    );
    let digest = core.digest()?;
    let old = signal(Signal::STOP)?;
    replaced(old)?;
    let log = unit::log(CORE)?;
    checks.that(
        "one that hangs is killed by the watchdog and started again",
        log.contains("Watchdog timeout") && log.contains("result 'watchdog'"),
        log.lines().rev().take(8).collect::<Vec<_>>().join(" | "),
    );
    checks.equal("with the state it had", &core.digest()?, &digest);
    stage.kept_apart(checks, "after the watchdog");
    Ok(())
}

/// The port of /healthz and /metrics is taken, and free again.
pub fn port_in_use(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    unit::must(&["stop", CORE])?;
    let taken = TcpListener::bind("127.0.0.1:9464")?;
    let started = unit::systemctl(&["start", CORE])?;
    checks.that(
        "with its port in use it does not start",
        !started.status.success(),
        "it did",
    );
    let log = unit::log(CORE)?;
    for says in [
        "cannot listen on 127.0.0.1:9464",
        "choose another --http-addr",
    ] {
        checks.that(
            format!("the journal says: {says}"),
            log.contains(says),
            log.lines().rev().take(6).collect::<Vec<_>>().join(" | "),
        );
    }
    checks.that("and it is not active", !unit::is_active(CORE)?, "it is");
    drop(taken);
    active()?;
    stage.kept_apart(checks, "once the port is free, started again by itself");
    Ok(())
}

/// Every socket and the service of journald.
const JOURNALD: [&str; 4] = [
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
    "systemd-journald-audit.socket",
    "systemd-journald.service",
];

fn journald(verb: &[&str]) -> Result<(), Failure> {
    let mut words = verb.to_vec();
    words.extend(JOURNALD);
    unit::systemctl(&words)?;
    Ok(())
}

/// journald goes and comes back while the daemon runs, and the daemon starts without it.
pub fn without_journald(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    let pid = unit::main_pid(CORE)?;
    journald(&["mask", "--runtime", "--quiet"])?;
    journald(&["stop"])?;
    let gone = !unit::is_active("systemd-journald.service")?;
    checks.that("journald is gone", gone, "it is active");
    let mut answered = 0;
    for round in 0..5 {
        let zone = format!("round-{round}");
        answered += usize::from(core.cli(&["zones", "register", &zone])?.exit == 0);
    }
    checks.equal("without journald commands are answered", &answered, &5);
    stage.kept_apart(checks, "without journald");
    let status = core.done(&["status"])?;
    checks.equal("it is healthy", &status.text("health").as_str(), &"healthy");

    journald(&["unmask", "--runtime", "--quiet"])?;
    journald(&["start"])?;
    let lines = |log: String| log.lines().filter(|line| line.contains("h2")).count();
    let before = lines(unit::log(CORE)?);
    unit::eventually("its lines are in the journal again", || {
        core.done(&["status"])?;
        Ok(lines(unit::log(CORE)?) > before)
    })?;
    checks.equal(
        "journald back, its lines are in the journal, and it was not restarted",
        &unit::main_pid(CORE)?,
        &pid,
    );

    journald(&["mask", "--runtime", "--quiet"])?;
    journald(&["stop"])?;
    unit::must(&["restart", CORE])?;
    checks.that("it starts without journald", unit::is_active(CORE)?, "no");
    stage.kept_apart(checks, "started without journald");
    journald(&["unmask", "--runtime", "--quiet"])?;
    journald(&["start"])
}
