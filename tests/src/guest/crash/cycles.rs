//! Suites `crash-cycles` and `crash-cycles-long`: the daemon dies under load again and again, over real
//! maps. Started again, no acknowledged command is missing and the maps hold the journal's state.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, Setup, eventually, put};
use crate::guest::actor::{act, make_cgroup};
use crate::guest::stage::{Stage, id, setup};
use crate::guest::{Checks, Failure, binary};

const CLIENTS: usize = 3;

/// The steps at which it dies in every second cycle.
const STEPS: [&str; 8] = [
    "map-before-write",
    "journal-after-append",
    "reconciler-between-steps",
    "journal-after-flush",
    "writer-before-apply",
    "journal-after-sync",
    "writer-before-reply",
    "journal-after-anchor",
];

/// As many cycles as every change must pass.
pub fn some(checks: &mut Checks) -> Result<(), Failure> {
    run(checks, 4)
}

/// As many as `make test-long` has time for.
pub fn many(checks: &mut Checks) -> Result<(), Failure> {
    run(checks, 48)
}

/// What one client was told.
#[derive(Default)]
struct Told {
    acknowledged: Vec<String>,
    /// What it was waiting for when the daemon was lost.
    in_doubt: Option<String>,
    /// A container that is attached, by its cgroup's name.
    attached: Option<String>,
}

impl Told {
    /// Asks; false once the daemon is lost. These commands are never refused.
    fn ask(&mut self, daemon: &Setup, said: String, words: &[&str]) -> Result<bool, Failure> {
        let answer = daemon.cli(words)?;
        match answer.exit {
            0 => self.acknowledged.push(said),
            3 => self.in_doubt = Some(said),
            _ => return Err(format!("{said}: {answer:?}").into()),
        }
        Ok(answer.exit == 0)
    }
}

/// Registers zones and attaches containers to them, every other of which leaves again.
fn load(daemon: &Setup, prefix: &str) -> Result<Told, Failure> {
    let mut told = Told::default();
    for number in 0.. {
        let zone = format!("{prefix}-{number}");
        let path = format!("/tmp/{zone}");
        put(path.as_ref(), &zone)?;
        let words = ["zones", "register", &zone, "--host-path", &path];
        if !told.ask(daemon, format!("register_zone {zone}"), &words)? {
            break;
        }
        let cgroup = id(&make_cgroup(&format!("pods/{zone}"))?)?;
        let words = ["containers", "attach", &zone, &zone, "--cgroup-id", &cgroup];
        if !told.ask(daemon, format!("attach_container {zone}"), &words)? {
            break;
        }
        if number % 2 == 0 {
            told.attached = Some(zone);
            continue;
        }
        let words = ["containers", "detach", &zone];
        if !told.ask(daemon, format!("detach_container {zone}"), &words)? {
            break;
        }
    }
    Ok(told)
}

/// Loads a daemon until it has died: at a step, or killed once enough was acknowledged.
fn die(daemon: Daemon, cycle: usize) -> Result<Vec<Told>, Failure> {
    let setup: Setup = daemon.setup().clone();
    let mut daemon = Some(daemon);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (setup, prefix) = (&setup, format!("z{cycle}-{client}"));
                // The error is told as text: it cannot leave the thread otherwise.
                scope.spawn(move || load(setup, &prefix).map_err(|error| error.to_string()))
            })
            .collect();
        match daemon.take() {
            Some(daemon) if cycle.is_multiple_of(2) => {
                // At another moment of the load in each cycle; the clients take turns by themselves.
                let moment = Duration::from_millis(1000 + 1311 * (cycle as u64 + 1) % 4000);
                thread::sleep(moment);
                daemon.kill()?;
            }
            Some(mut daemon) => drop(daemon.ended()?),
            None => {}
        }
        let told = clients.into_iter().map(|client| match client.join() {
            Ok(told) => told.map_err(Failure::from),
            Err(_) => Err("a client panicked".into()),
        });
        told.collect()
    })
}

/// What clients asked for in entries behind `seq`.
fn journaled(daemon: &Setup, seq: u64) -> Result<BTreeSet<String>, Failure> {
    let from = (seq + 1).to_string();
    let entries = daemon.done(&["journal", "inspect", "--from", &from])?.lines;
    let of_clients = |entry: &&Value| entry["peer"]["adapter"] == "syva-cli";
    let said = entries.iter().filter(of_clients).map(|entry| {
        let kind = entry["kind"].as_str().unwrap_or_default();
        let command = &entry["command"][kind];
        let subject = ["container", "zone"].map(|field| command[field].as_str());
        format!("{kind} {}", subject[0].or(subject[1]).unwrap_or_default())
    });
    Ok(said.collect())
}

/// The maps hold what the journal says, with nothing to repair, and nothing else is wrong.
fn settled(
    checks: &mut Checks,
    daemon: &Setup,
    healthy: &Value,
    cycle: usize,
) -> Result<(), Failure> {
    let mut status = Value::Null;
    eventually("the journal is in force", || {
        status = daemon.done(&["status"])?.json().clone();
        Ok(status["applied_seq"] == status["journal_seq"])
    })?;
    let repaired = &status["drift_repaired"];
    checks.equal(
        format!("cycle {cycle}: no map is half written"),
        repaired,
        &0.into(),
    );
    let reasons = &status["degraded_reasons"];
    checks.equal(
        format!("cycle {cycle}: it is as healthy as ever"),
        reasons,
        healthy,
    );
    Ok(())
}

fn run(checks: &mut Checks, cycles: usize) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?;
    let failing = setup.clone().program(binary("syva-core-failpoints")?);
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    let healthy = daemon.done(&["status"])?.json()["degraded_reasons"].clone();
    let (mut seq, _) = daemon.digest()?;
    daemon.kill()?;
    let (mut acknowledged, mut in_doubt) = (0, 0);
    for cycle in 0..cycles {
        let armed = match cycle % 2 {
            0 => setup.clone(),
            _ => {
                // The first passes are the start's own.
                let step = STEPS[cycle / 2 % STEPS.len()];
                let action = format!("{}*off->return", 3 + cycle % 9);
                failing
                    .clone()
                    .variable("FAILPOINTS", &format!("{step}={action}"))
            }
        };
        // At a step that the start passes often it may die before anybody asks.
        let told = match armed.start() {
            Ok(daemon) => die(daemon, cycle)?,
            Err(_) if cycle % 2 == 1 => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let daemon = setup.start()?;
        let journaled = journaled(&daemon, seq)?;
        let said = told.iter().flat_map(|told| &told.acknowledged);
        let missing: Vec<_> = said
            .clone()
            .filter(|said| !journaled.contains(*said))
            .collect();
        checks.equal(
            format!("cycle {cycle}: nothing acknowledged is lost"),
            &missing,
            &vec![],
        );
        acknowledged += said.count();
        in_doubt += told.iter().filter(|told| told.in_doubt.is_some()).count();
        // The replay of the journal is the daemon's state.
        seq = daemon.digest()?.0;
        settled(checks, &daemon, &healthy, cycle)?;
        stage.kept_apart(checks, &format!("cycle {cycle}"));
        if let Some(attached) = told.iter().find_map(|told| told.attached.as_ref()) {
            let cgroup = make_cgroup(&format!("pods/{attached}"))?;
            let own = format!("/tmp/{attached}");
            checks.denied(
                format!("cycle {cycle}: {attached} is in its zone"),
                &stage.tries(&cgroup),
            );
            checks.allowed(
                format!("cycle {cycle}: and opens its own"),
                &act(&cgroup, "open", &[own.as_ref()]),
            );
        }
        daemon.kill()?;
    }
    checks.note(format!(
        "crash cycles: {cycles} (half by SIGKILL, half at named steps), {acknowledged} commands \
         acknowledged, {in_doubt} in doubt"
    ));
    checks.that("there was load", acknowledged >= cycles, acknowledged);
    Ok(())
}
