//! Suite `gapless`: enforcement outlives the daemon (I4). Processes of zone `web` try a forbidden file
//! and their own, over and over, while the daemon is killed, stopped, upgraded, refused a start and
//! started again.

pub mod hammer;
mod refusals;
mod upgrade;

use std::fs;
use std::path::Path;
use std::time::Instant;

use libbpf_rs::query::{LinkInfoIter, MapInfoIter};

use super::actor::{act, make_cgroup};
use super::mounting;
use super::stage::{Stage, attach, setup};
use super::{Checks, Failure};
use crate::daemon::{Daemon, Setup, eventually, put};
use hammer::Hammer;

const PINS: &str = "/sys/fs/bpf/syva";

/// What `make test` runs: with those before, a dozen starts beside the probe.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    over(checks, 6, 2_000)
}

/// What `make test-long` runs.
pub fn run_long(checks: &mut Checks) -> Result<(), Failure> {
    over(checks, 50, 20_000)
}

/// Everything while the probe runs, then what only `--unload` does.
fn over(checks: &mut Checks, times: usize, attempts: u64) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    overlaid()?;
    stage.kept_apart(checks, "attached");
    through_the_hosts_overlay(checks, &stage, "attached");
    let links = links();

    // Before the probe, whose denials fill the ring.
    let daemon = told_afterwards(checks, &stage, daemon)?;
    let hammer = Hammer::start(&stage, 3)?;
    let daemon = while_none_runs(checks, &stage, daemon)?;
    let daemon = upgrade::there_and_back(checks, &stage, daemon)?;
    let daemon = refusals::not_started(checks, &stage, daemon)?;
    let daemon = restarts(checks, daemon, times)?;
    hammer.judge(checks, "over all of that", attempts)?;
    through_the_hosts_overlay(checks, &stage, "after all of that");
    checks.equal("no link was left over", &self::links(), &links);
    checks.equal("nor a map", &maps("members"), &1);
    unloaded(checks, &stage, daemon)?;
    unpinned(checks, &stage, &setup)
}

/// What the kernel alone knows: that the host made this overlay, over a layer that `db` has claimed.
fn overlaid() -> Result<(), Failure> {
    put(Path::new("/tmp/db/layer/file"), "text")?;
    mounting::overlay(Path::new("/tmp/db/layer"), Path::new("/tmp/overlay"))?;
    Ok(())
}

fn through_the_hosts_overlay(checks: &mut Checks, stage: &Stage, when: &str) {
    checks.denied(
        format!("{when}, web is denied a layer of db's"),
        &act(&stage.web, "open", &["/tmp/db/layer/file".as_ref()]),
    );
    checks.allowed(
        format!("{when}, web opens it through the host's overlay"),
        &act(&stage.web, "open", &["/tmp/overlay/merged/file".as_ref()]),
    );
}

/// A denial made while no daemon ran is counted, and told by the next one.
fn told_afterwards(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<Daemon, Failure> {
    let before = denied_opens(&daemon)?;
    let setup = daemon.setup().clone();
    daemon.terminate()?;
    // A name that the probe does not use.
    let only = Path::new("/tmp/db/only-while-none-ran");
    fs::write(only, "")?;
    for attempt in ["first", "second", "third"] {
        let claim = format!("a denial nobody reads, the {attempt}");
        checks.denied(claim, &act(&stage.web, "open", &[only]));
    }
    let daemon = setup.start()?;
    checks.equal(
        "denials made while no daemon ran are counted, each once",
        &denied_opens(&daemon)?,
        &(before + 3),
    );
    eventually("the events of the denials made while no daemon ran", || {
        let events = daemon.done(&["events"])?;
        let named = |line: &&serde_json::Value| {
            let path = line["path"].as_str();
            path.is_some_and(|path| path.ends_with("only-while-none-ran"))
        };
        Ok(events.lines.iter().filter(named).count() == 3)
    })?;
    checks.that("the next daemon tells each of them", true, "");
    Ok(daemon)
}

fn denied_opens(daemon: &Setup) -> Result<u64, Failure> {
    let status = daemon.done(&["status"])?;
    let hooks = status.json()["hooks"].as_array().cloned();
    let open = hooks
        .iter()
        .flatten()
        .find(|hook| hook["hook"] == "file_open");
    let denied = open.and_then(|hook| hook["deny"].as_u64());
    Ok(denied.ok_or_else(|| format!("no counter of file_open: {status:?}"))?)
}

/// Killed and stopped: what is attached goes on, kernel-born memberships and counters included.
fn while_none_runs(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    let before = daemon.digest()?;
    daemon.kill()?;
    stage.kept_apart(checks, "killed, while no daemon runs");
    let nested = make_cgroup("pods/web/made-meanwhile")?;
    checks.denied(
        "a cgroup made in the zone meanwhile is in it",
        &stage.tries(&nested),
    );
    through_the_hosts_overlay(checks, stage, "killed, while no daemon runs");
    let daemon = setup.start()?;
    checks.equal("the journal is as it was", &daemon.digest()?, &before);
    stage.kept_apart(checks, "killed and started again");
    checks.denied("as is the nested cgroup", &stage.tries(&nested));
    no_drift(checks, &daemon, "starting on what is pinned")?;
    let ended = daemon.terminate()?;
    checks.equal("SIGTERM is a success", &ended.code(), &Some(0));
    stage.kept_apart(checks, "stopped, while no daemon runs");
    setup.start()
}

/// The maps were adopted, and needed no repair: nothing was cleared.
fn no_drift(checks: &mut Checks, daemon: &Setup, what: &str) -> Result<(), Failure> {
    let status = daemon.done(&["status"])?;
    checks.equal(
        format!("{what} is no drift"),
        &status.json()["drift_repaired"],
        &0.into(),
    );
    checks.equal(
        format!("{what} leaves it healthy"),
        &status.text("health").as_str(),
        &"healthy",
    );
    Ok(())
}

fn restarts(checks: &mut Checks, mut daemon: Daemon, times: usize) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    let before = daemon.digest()?;
    let begun = Instant::now();
    for round in 0..times {
        match round % 2 {
            0 => daemon.kill()?,
            _ => drop(daemon.terminate()?),
        }
        daemon = setup.start()?;
    }
    checks.equal(
        format!("{times} restarts in a row keep the state"),
        &daemon.digest()?,
        &before,
    );
    checks.note(format!("{times} restarts in {:.0?}", begun.elapsed()));
    Ok(daemon)
}

/// Only this ends enforcement.
fn unloaded(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<(), Failure> {
    let setup = daemon.setup().clone();
    let unload = setup.clone().args(&["--unload"]);
    refusals::refused(
        checks,
        &unload,
        "--unload beside a daemon",
        "another daemon uses it",
    )?;
    stage.kept_apart(checks, "with --unload refused");
    daemon.terminate()?;
    let ended = unload.end()?;
    checks.that("--unload succeeds", ended.status.success(), &ended.log);
    checks.allowed("then nothing is enforced", &stage.tries(&stage.web));
    checks.that("and nothing pinned", !Path::new(PINS).exists(), PINS);
    let ended = unload.end()?;
    checks.that(
        "with nothing pinned there is nothing to do",
        ended.status.success() && ended.log.contains("nothing was attached"),
        &ended.log,
    );
    refusals::with_nothing_left(checks, stage, &setup)?;
    let daemon = setup.start()?;
    stage.kept_apart(checks, "started again after --unload");
    attach(&daemon, "c-web", "web", &stage.web)?;
    Ok(())
}

/// Who wants no pins says so; the daemon is then all there is, and pins of before are not left to rot.
fn unpinned(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<(), Failure> {
    let off = setup.clone().args(&["--pin-dir", "off"]);
    refusals::refused(
        checks,
        &off,
        "--pin-dir off beside pins of before",
        "--unload",
    )?;
    stage.kept_apart(checks, "with --pin-dir off refused");
    let ended = setup.clone().args(&["--unload"]).end()?;
    checks.that("they are removed", ended.status.success(), &ended.log);
    let daemon = off.start()?;
    checks.that(
        "--pin-dir off is said in the log",
        daemon.log().contains("enforcement ends with this process"),
        daemon.log(),
    );
    let status = daemon.done(&["status"])?;
    checks.that(
        "and in the status",
        status.json().to_string().contains("nothing is pinned"),
        status.json(),
    );
    stage.kept_apart(checks, "with --pin-dir off");
    daemon.terminate()?;
    checks.that("nothing is pinned", !Path::new(PINS).exists(), PINS);
    eventually(
        "with --pin-dir off enforcement ends with the daemon",
        || Ok(stage.tries(&stage.web) == super::actor::Outcome::Done),
    )?;
    checks.allowed(
        "with --pin-dir off enforcement ends with the daemon",
        &stage.tries(&stage.web),
    );
    Ok(())
}

fn links() -> usize {
    LinkInfoIter::default().count()
}

fn maps(name: &str) -> usize {
    let named = |map: &libbpf_rs::query::MapInfo| map.name.to_string_lossy() == name;
    MapInfoIter::default().filter(named).count()
}
