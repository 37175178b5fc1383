//! Suite `silent`: a daemon that does not answer is asked through the kernel, which goes on enforcing
//! and counting, also once the daemon is dead; after `--unload` it is said that nothing enforces.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::stage::{Stage, setup};
use super::{Checks, Failure, binary};
use crate::daemon::Daemon;

/// The daemon has five seconds to answer; the rest is for emulation.
const BOUND: Duration = Duration::from_secs(25);

/// What `syva-core` said.
struct Said {
    exit: i32,
    json: Value,
    took: Duration,
}

fn ask(socket: &Path, verb: &[&str]) -> Result<Said, Failure> {
    let began = Instant::now();
    let output = Command::new(binary("syva-core")?)
        .arg("--socket-path")
        .arg(socket)
        .args(verb)
        .args(["--format", "json"])
        .output()?;
    Ok(Said {
        exit: output.status.code().unwrap_or(-1),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        took: began.elapsed(),
    })
}

fn file_opens_denied(status: &Value) -> Option<u64> {
    let mut hooks = status["hooks"].as_array()?.iter();
    hooks.find(|hook| hook["hook"] == "file_open")?["deny"].as_u64()
}

/// Stops the daemon, takes its socket away, and kills it.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&[])?;
    let nothing = ask(setup.socket(), &["status"])?;
    says_that_nothing_enforces(checks, "before the daemon has started", &nothing);
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    checks.denied("web is denied db's file", &stage.tries(&stage.web));
    answered(checks, &daemon)?;

    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or("no pid")?;
    kill_process(pid, Signal::STOP)?;
    checks.denied("while it is stopped too", &stage.tries(&stage.web));
    checks.allowed("and db opens its own", &stage.tries(&stage.db));
    let stopped = ask(setup.socket(), &["status"])?;
    from_kernel(checks, "with the daemon stopped", &stopped, 2);
    kill_process(pid, Signal::CONT)?;

    std::fs::remove_file(setup.socket())?;
    checks.denied("without its socket too", &stage.tries(&stage.web));
    checks.allowed("and db opens its own", &stage.tries(&stage.db));
    let away = ask(setup.socket(), &["status"])?;
    from_kernel(checks, "with its socket away", &away, 3);
    let unprivileged = as_user(setup.socket())?;
    checks.that(
        "who may not look is told what is lacking, and nothing is claimed",
        unprivileged.exit == 4
            && unprivileged.json["reason"]
                .to_string()
                .contains("CAP_SYS_ADMIN"),
        format!("{} {}", unprivileged.exit, unprivileged.json),
    );

    daemon.kill()?;
    checks.denied("once it is dead too", &stage.tries(&stage.web));
    checks.allowed("and db opens its own", &stage.tries(&stage.db));
    let dead = ask(setup.socket(), &["status"])?;
    from_kernel(checks, "once it is dead", &dead, 4);
    let events = ask(setup.socket(), &["events"])?;
    checks.equal("but its events cannot be had", &events.exit, &3);

    let ended = setup.clone().args(&["--unload"]).end()?;
    checks.that("--unload succeeds", ended.status.success(), &ended.log);
    let unloaded = ask(setup.socket(), &["status"])?;
    says_that_nothing_enforces(checks, "unloaded", &unloaded);
    checks.allowed("which is so", &stage.tries(&stage.web));
    Ok(())
}

/// While the daemon answers, both programs say the same.
fn answered(checks: &mut Checks, daemon: &Daemon) -> Result<(), Failure> {
    let socket = daemon.setup().socket();
    let own = ask(socket, &["status"])?;
    let cli = daemon.done(&["status"])?;
    let without_clock = |status: &Value| {
        let mut status = status.clone();
        status["uptime_secs"] = Value::Null;
        status
    };
    checks.equal(
        "syva-core status says what syva-cli status says",
        &without_clock(&own.json),
        &without_clock(cli.json()),
    );
    checks.equal("with the same exit code", &own.exit, &0);
    let own = ask(socket, &["events"])?;
    let cli = daemon.done(&["events"])?;
    checks.that(
        "syva-core events shows the denial that syva-cli events shows",
        own.exit == 0 && !own.json.is_null() && own.json == *cli.json(),
        format!("{} {} {cli:?}", own.exit, own.json),
    );
    Ok(())
}

fn from_kernel(checks: &mut Checks, when: &str, said: &Said, denied: u64) {
    let Said { exit, json, took } = said;
    checks.that(
        format!("{when}, the status comes from the kernel: every hook attached"),
        *exit == 0 && json["source"] == "kernel" && json["attached"] == true,
        format!("{exit} {json}"),
    );
    checks.that(
        format!("{when}, it has the denials made meanwhile"),
        file_opens_denied(json) == Some(denied),
        format!("not {denied}: {json}"),
    );
    checks.that(
        format!("{when}, it is there within {BOUND:?}"),
        *took < BOUND,
        format!("{took:?}"),
    );
}

fn says_that_nothing_enforces(checks: &mut Checks, when: &str, said: &Said) {
    let Said { exit, json, .. } = said;
    checks.that(
        format!("{when}, it says that nothing enforces"),
        *exit == 3
            && json["ok"] == false
            && json["attached"] == false
            && json["reason"].to_string().contains("nothing is enforced"),
        format!("{exit} {json}"),
    );
}

fn as_user(socket: &Path) -> Result<Said, Failure> {
    use std::os::unix::process::CommandExt as _;
    let began = Instant::now();
    let output = Command::new(binary("syva-core")?)
        .arg("--socket-path")
        .arg(socket)
        .args(["status", "--format", "json"])
        .uid(1000)
        .gid(1000)
        .output()?;
    Ok(Said {
        exit: output.status.code().unwrap_or(-1),
        json: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        took: began.elapsed(),
    })
}
