//! Suite `gapless`: enforcement outlives the daemon (I4). Processes of zone `web` try a forbidden file
//! and their own, over and over, while the daemon is killed, stopped, refused a start and started again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::query::{LinkInfoIter, MapInfoIter};

use super::actor::{act, begin, make_cgroup};
use super::stage::{Stage, attach, setup};
use super::{Checks, Failure};
use crate::daemon::{Daemon, Setup, eventually};

const PINS: &str = "/sys/fs/bpf/syva";
const STOP: &str = "/tmp/hammer.stop";
const PROCESSES: usize = 3;
const RESTARTS: usize = 50;
/// At least so many attempts must have been made, or the run says nothing.
const ATTEMPTS: u64 = 5_000;

/// Everything while the probe runs, then what only `--unload` does.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "attached");
    let links = links();

    // Before the probe, whose denials fill the ring.
    daemon.terminate()?;
    let daemon = told_afterwards(checks, &stage, &setup)?;
    let hammer = Hammer::start(&stage)?;
    let daemon = while_none_runs(checks, &stage, daemon)?;
    let daemon = not_started(checks, &stage, daemon)?;
    let daemon = restarts(checks, daemon)?;
    hammer.judge(checks)?;
    checks.equal("no link was left over", &self::links(), &links);
    checks.equal("nor a map", &maps("members"), &1);
    unloaded(checks, &stage, daemon)
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
    let daemon = setup.start()?;
    checks.equal("the journal is as it was", &daemon.digest()?, &before);
    stage.kept_apart(checks, "killed and started again");
    checks.denied("as is the nested cgroup", &stage.tries(&nested));
    let status = daemon.done(&["status"])?;
    checks.equal(
        "starting on what is pinned is no drift",
        &status.json()["drift_repaired"],
        &0.into(),
    );
    let ended = daemon.terminate()?;
    checks.equal("SIGTERM is a success", &ended.code(), &Some(0));
    stage.kept_apart(checks, "stopped, while no daemon runs");
    setup.start()
}

/// A denial made while no daemon ran is counted, and told by the next one.
fn told_afterwards(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<Daemon, Failure> {
    // A name that the probe does not use.
    let only = Path::new("/tmp/db/only-while-none-ran");
    fs::write(only, "")?;
    checks.denied("a denial nobody reads", &act(&stage.web, "open", &[only]));
    let daemon = setup.start()?;
    eventually("the event of a denial made while no daemon ran", || {
        let events = daemon.done(&["events"])?;
        let named = |line: &serde_json::Value| {
            let path = line["path"].as_str();
            path.is_some_and(|path| path.ends_with("only-while-none-ran"))
        };
        Ok(events.lines.iter().any(named))
    })?;
    checks.that("the next daemon tells it", true, "");
    Ok(daemon)
}

/// A start that is refused leaves everything as it is.
fn not_started(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    let beside = setup
        .clone()
        .at_socket("/run/syva/beside.sock".into())
        .with_state("/run/syva/beside".into());
    refused(
        checks,
        &beside,
        "another journal, the same pins",
        "another daemon uses it",
    )?;
    stage.kept_apart(checks, "with a second daemon refused");
    daemon.terminate()?;
    let smaller = setup.clone().args(&["--max-pairs", "10"]);
    refused(checks, &smaller, "other capacities", "--unload")?;
    stage.kept_apart(checks, "with other capacities refused");
    let db = setup.state().join("db");
    let aside = setup.state().join("db.aside");
    fs::rename(&db, &aside)?;
    fs::write(&db, "no journal")?;
    refused(checks, &setup, "a journal that is none", "")?;
    stage.kept_apart(checks, "with the journal refused");
    fs::remove_file(&db)?;
    fs::rename(&aside, &db)?;
    let daemon = setup.start()?;
    stage.kept_apart(checks, "started at last");
    Ok(daemon)
}

fn refused(checks: &mut Checks, setup: &Setup, what: &str, says: &str) -> Result<(), Failure> {
    let ended = setup.end()?;
    checks.that(
        format!("{what}: it does not start, and says why"),
        !ended.status.success() && ended.log.contains(says),
        format!("{ended:?}"),
    );
    Ok(())
}

fn restarts(checks: &mut Checks, mut daemon: Daemon) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    let before = daemon.digest()?;
    let begun = Instant::now();
    for round in 0..RESTARTS {
        match round % 2 {
            0 => daemon.kill()?,
            _ => drop(daemon.terminate()?),
        }
        daemon = setup.start()?;
    }
    checks.equal(
        format!("{RESTARTS} restarts in a row keep the state"),
        &daemon.digest()?,
        &before,
    );
    checks.note(format!("{RESTARTS} restarts in {:.0?}", begun.elapsed()));
    Ok(daemon)
}

/// Only this ends enforcement.
fn unloaded(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<(), Failure> {
    let setup = daemon.setup().clone();
    let unload = setup.clone().args(&["--unload"]);
    refused(
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
    let daemon = setup.start()?;
    stage.kept_apart(checks, "started again after --unload");
    attach(&daemon, "c-web", "web", &stage.web)?;
    Ok(())
}

fn links() -> usize {
    LinkInfoIter::default().count()
}

fn maps(name: &str) -> usize {
    let named = |map: &libbpf_rs::query::MapInfo| map.name.to_string_lossy() == name;
    MapInfoIter::default().filter(named).count()
}

/// Processes of zone `web` that try without a pause.
struct Hammer {
    reports: Vec<PathBuf>,
    _running: Vec<super::actor::Background>,
}

/// What one of them saw.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    denied: u64,
    leaked: u64,
    own: u64,
    own_refused: u64,
}

impl Hammer {
    fn start(stage: &Stage) -> Result<Hammer, Failure> {
        let reports: Vec<_> = (0..PROCESSES)
            .map(|number| PathBuf::from(format!("/tmp/hammer.{number}")))
            .collect();
        let one =
            |report: &PathBuf| begin(&stage.web, "hammer", &[&stage.secret, &stage.own, report]);
        let _running = reports.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Hammer { reports, _running })
    }

    /// Stops them, and judges what they saw.
    fn judge(self, checks: &mut Checks) -> Result<(), Failure> {
        fs::write(STOP, "")?;
        eventually("every process of the probe has reported", || {
            Ok(self.reports.iter().all(|report| report.exists()))
        })?;
        let mut sum = Seen::default();
        for report in &self.reports {
            let seen = Seen::read(&fs::read_to_string(report)?)?;
            sum.denied += seen.denied;
            sum.leaked += seen.leaked;
            sum.own += seen.own;
            sum.own_refused += seen.own_refused;
        }
        checks.note(format!("the probe: {sum:?}"));
        checks.equal("no attempt got through", &sum.leaked, &0);
        checks.equal("none at their own file was refused", &sum.own_refused, &0);
        checks.that(
            format!("at least {ATTEMPTS} attempts were made, and as many at their own"),
            sum.denied.min(sum.own) >= ATTEMPTS,
            format!("{sum:?}"),
        );
        Ok(())
    }
}

impl Seen {
    fn read(text: &str) -> Result<Seen, Failure> {
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [denied, leaked, own, own_refused] => Ok(Seen {
                denied,
                leaked,
                own,
                own_refused,
            }),
            _ => Err(format!("no report: {text:?}").into()),
        }
    }
}

/// What the actor does: tries both until told to stop, then reports.
pub fn hammer(secret: &Path, own: &Path, report: &Path) -> io::Result<()> {
    let mut seen = Seen::default();
    while !Path::new(STOP).exists() {
        for _ in 0..16 {
            match File::open(secret) {
                Err(error) if error.raw_os_error() == Some(1) => seen.denied += 1,
                _ => seen.leaked += 1,
            }
            match File::open(own) {
                Ok(_) => seen.own += 1,
                Err(_) => seen.own_refused += 1,
            }
        }
        // The daemon shares the guest's processors.
        thread::sleep(Duration::from_millis(1));
    }
    let (
        part,
        Seen {
            denied,
            leaked,
            own,
            own_refused,
        },
    ) = (report.with_extension("part"), seen);
    fs::write(&part, format!("{denied} {leaked} {own} {own_refused}"))?;
    fs::rename(part, report)
}
