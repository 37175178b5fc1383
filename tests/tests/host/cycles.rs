//! Crash cycles: the daemon dies under load again and again, and started again it has lost nothing that
//! it acknowledged. `SYVA_CRASH_CYCLES` says how often, `SYVA_CRASH_SEED` repeats a run's choices.

use std::collections::BTreeSet;
use std::env;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;
use syva_e2e::daemon::{Daemon, Setup};
use syva_model::command::Command;
use syva_model::entry::Entry;
use syva_rpc::client::{Client, connect};
use syva_rpc::v1;
use tonic::{Code, Status};

use crate::crash::{POINTS, failing};
use crate::home::Home;

const CYCLES: usize = 20;
const CLIENTS: usize = 4;
/// What the clients call themselves; the daemon's own entries are nobody's command.
const ADAPTER: &str = "load";

/// How a daemon dies.
enum Death {
    /// The shipped program, by SIGKILL so long after the clients are connected.
    Killed(Duration),
    /// The same while it starts, before anybody can ask it anything.
    Starting(Duration),
    /// By itself at a named step, once it has passed it so often.
    Step(&'static str, u64),
}

/// A number generator (splitmix64) that the seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Half the deaths are SIGKILL under load, a tenth SIGKILL while starting; the rest are at the named
/// steps in turn.
fn death(cycle: usize, steps: usize, random: &mut Random) -> Death {
    match cycle % 20 {
        even if even % 2 == 0 => Death::Killed(Duration::from_micros(random.below(200_000))),
        7 | 15 => Death::Starting(Duration::from_micros(random.below(40_000))),
        _ => Death::Step(POINTS[steps % POINTS.len()].0, random.below(60)),
    }
}

/// What one client was told.
#[derive(Default)]
struct Told {
    acknowledged: Vec<String>,
    /// What it was waiting for when the daemon was lost.
    in_doubt: Vec<String>,
}

impl Told {
    /// Notes an answer; false once the daemon is lost. It never refuses what these clients ask.
    fn hears(&mut self, said: String, answer: Result<bool, Status>) -> bool {
        match answer {
            Ok(done) => {
                assert!(done, "{said}: refused");
                self.acknowledged.push(said);
                true
            }
            Err(status) => {
                let lost = [
                    Code::Unavailable,
                    Code::Unknown,
                    Code::Cancelled,
                    Code::Internal,
                ];
                assert!(lost.contains(&status.code()), "{said}: {status:?}");
                self.in_doubt.push(said);
                false
            }
        }
    }
}

/// Changes zones, claims, pairs and memberships until the daemon is lost.
#[tokio::main(flavor = "current_thread")]
async fn load(home: &Home, socket: &Path, prefix: &str, connected: &Barrier) -> Told {
    let mut told = Told::default();
    // A daemon that dies at an early step may be gone already.
    let client = connect(socket, ADAPTER).await;
    connected.wait();
    let Ok(mut client) = client else { return told };
    let hub = format!("{prefix}-hub");
    let mut running = register(&mut client, &hub, &mut told).await;
    let mut number = 0;
    while running {
        running = one_zone(home, &mut client, prefix, number, &mut told).await;
        number += 1;
    }
    told
}

async fn register(client: &mut Client, zone: &str, told: &mut Told) -> bool {
    let request = v1::RegisterZoneRequest {
        zone_name: zone.to_owned(),
        policy: None,
    };
    let answer = client.register_zone(request).await;
    told.hears(format!("register_zone {zone}"), answer.map(|_| true))
}

/// A zone's life. Two of three zones stay.
async fn one_zone(
    home: &Home,
    client: &mut Client,
    prefix: &str,
    number: usize,
    told: &mut Told,
) -> bool {
    let zone = format!("{prefix}-{number}");
    let path = home.file(&zone);
    let cgroup_id = home.cgroup(&zone).parse().expect("a number");
    if !register(client, &zone, told).await {
        return false;
    }
    let claim = v1::RegisterHostPathRequest {
        zone_name: zone.clone(),
        path: path.clone(),
        recursive: true,
    };
    let answer = client.register_host_path(claim).await;
    if !told.hears(format!("register_host_path {path}"), answer.map(|_| true)) {
        return false;
    }
    let attach = v1::AttachContainerRequest {
        container_id: zone.clone(),
        zone_name: zone.clone(),
        cgroup_id,
        ..v1::AttachContainerRequest::default()
    };
    let answer = client.attach_container(attach).await;
    let done = answer.map(|answer| answer.into_inner().ok);
    if !told.hears(format!("attach_container {zone}"), done) {
        return false;
    }
    let allow = v1::AllowCommRequest {
        zone_a: zone.clone(),
        zone_b: format!("{prefix}-hub"),
    };
    let answer = client.allow_comm(allow).await;
    let done = answer.map(|answer| answer.into_inner().ok);
    if !told.hears(format!("allow_comm {zone}"), done) || !number.is_multiple_of(3) {
        return told.in_doubt.is_empty();
    }
    leave(client, &zone, told).await
}

/// The container goes, then the zone.
async fn leave(client: &mut Client, zone: &str, told: &mut Told) -> bool {
    let detach = v1::DetachContainerRequest {
        container_id: zone.to_owned(),
        ..v1::DetachContainerRequest::default()
    };
    let answer = client.detach_container(detach).await;
    let done = answer.map(|answer| answer.into_inner().ok);
    if !told.hears(format!("detach_container {zone}"), done) {
        return false;
    }
    let remove = v1::RemoveZoneRequest {
        zone_name: zone.to_owned(),
        drain: false,
    };
    let answer = client.remove_zone(remove).await;
    let done = answer.map(|answer| answer.into_inner().ok);
    told.hears(format!("remove_zone {zone}"), done)
}

/// What a client would have said of an entry.
fn said(entry: &Entry) -> String {
    let subject = match &entry.command {
        Command::RegisterZone { zone, .. } | Command::RemoveZone { zone, .. } => zone.to_string(),
        Command::AttachContainer(attach) => attach.container.clone(),
        Command::DetachContainer { container, .. } => container.clone(),
        Command::RegisterHostPath { claim, .. } => claim.asked.clone(),
        Command::AllowComm { a, .. } => a.to_string(),
        other => panic!("no client asks for {other:?}"),
    };
    format!("{} {subject}", entry.command.kind())
}

/// How far the journal has been checked: an entry and its hash.
#[derive(Default)]
struct Checked {
    seq: u64,
    hash: Vec<u8>,
}

impl Checked {
    /// Reads on from there; what was there is there still. Returns what clients asked for since.
    #[tokio::main(flavor = "current_thread")]
    async fn read_on(&mut self, socket: &Path) -> Vec<String> {
        let mut client = connect(socket, "check").await.expect("connected");
        let request = v1::ReadJournalRequest {
            from_seq: self.seq,
            to_seq: 0,
        };
        let entries = client.read_journal(request).await.expect("answers");
        let mut entries = entries.into_inner();
        let mut asked = Vec::new();
        while let Some(found) = entries.message().await.expect("is whole") {
            if found.seq == self.seq {
                assert!(found.hash == self.hash, "entry {} has changed", self.seq);
                continue;
            }
            assert_eq!(found.seq, self.seq + 1, "no entry is missing");
            (self.seq, self.hash) = (found.seq, found.hash);
            let entry = Entry::decode(&found.payload).expect("decodes");
            if entry.peer.adapter == ADAPTER {
                asked.push(said(&entry));
            }
        }
        asked
    }
}

/// What all cycles came to.
#[derive(Default)]
struct Sums {
    killed: usize,
    starting: usize,
    steps: usize,
    acknowledged: usize,
    in_doubt: usize,
    in_doubt_and_journaled: usize,
}

/// The health of a daemon that nothing is wrong with but its backend.
fn complaints(daemon: &Daemon) -> Value {
    let status = daemon.done(&["status"]).expect("done").json().clone();
    assert_eq!(status["applied_seq"], status["journal_seq"], "{status}");
    assert_eq!(status["drift_repaired"], 0, "{status}");
    status["degraded_reasons"].clone()
}

/// Clients load the daemon until it dies of `death`.
fn die(home: &Home, setup: &Setup, cycle: usize, death: Death, sums: &mut Sums) -> Vec<Told> {
    let daemon = match death {
        Death::Starting(after) => {
            sums.starting += 1;
            let daemon = setup.spawn().expect("spawned");
            thread::sleep(after);
            daemon.kill().expect("killed");
            return Vec::new();
        }
        Death::Killed(_) => setup.clone(),
        Death::Step(point, passed) => {
            failing(setup.clone(), point, &format!("{passed}*off->return"))
        }
    };
    let Ok(mut daemon) = daemon.start() else {
        // Only a step that its own first entry passes is taken while it starts.
        assert!(matches!(death, Death::Step(..)), "cycle {cycle}: it starts");
        sums.steps += 1;
        return Vec::new();
    };
    let connected = Barrier::new(CLIENTS + 1);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (connected, prefix) = (&connected, format!("z{cycle}-{client}"));
                scope.spawn(move || load(home, setup.socket(), &prefix, connected))
            })
            .collect();
        connected.wait();
        if let Death::Killed(after) = death {
            sums.killed += 1;
            thread::sleep(after);
            daemon.kill().expect("killed");
        } else {
            sums.steps += 1;
            let signal = daemon.ended().expect("it dies").signal();
            assert_eq!(signal, Some(Signal::ABORT.as_raw()), "{}", daemon.log());
        }
        let told = clients.into_iter();
        told.map(|client| client.join().expect("no panic"))
            .collect()
    })
}

/// What was acknowledged is in the journal, and nothing that nobody asked for.
fn nothing_is_lost(cycle: usize, told: Vec<Told>, journaled: &[String], sums: &mut Sums) {
    let mut entries: BTreeSet<&String> = journaled.iter().collect();
    assert_eq!(
        entries.len(),
        journaled.len(),
        "cycle {cycle}: nothing is there twice"
    );
    for client in &told {
        for said in &client.acknowledged {
            assert!(entries.remove(said), "cycle {cycle}: lost {said}");
        }
        for said in &client.in_doubt {
            sums.in_doubt_and_journaled += usize::from(entries.remove(said));
        }
        sums.acknowledged += client.acknowledged.len();
        sums.in_doubt += client.in_doubt.len();
    }
    assert!(
        entries.is_empty(),
        "cycle {cycle}: nobody asked for {entries:?}"
    );
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text:?}: {error}")),
    )
}

/// On the disk below the build directory: a sync there takes its time, and a death may come within.
fn on_disk(home: &Home) -> (tempfile::TempDir, Setup) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let state: PathBuf = dir.path().join("state");
    let args = ["--max-zones", "1000000", "--reconcile-interval", "1"];
    (dir, home.setup().with_state(state).args(&args))
}

#[test]
fn crash_cycles_lose_nothing_that_was_acknowledged() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let seed = number("SYVA_CRASH_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    let cycles = number("SYVA_CRASH_CYCLES").map_or(CYCLES, |n| usize::try_from(n).expect("small"));
    // Kept with what a failure prints.
    println!("SYVA_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let home = Home::new();
    let (_dir, setup) = on_disk(&home);
    let daemon = setup.start().expect("started");
    let healthy = complaints(&daemon);
    daemon.terminate().expect("ended");
    let (mut checked, mut sums) = (Checked::default(), Sums::default());
    for cycle in 0..cycles {
        let death = death(cycle, sums.steps, &mut random);
        let told = die(&home, &setup, cycle, death, &mut sums);
        let daemon = setup.start().expect("it starts again");
        let journaled = checked.read_on(setup.socket());
        nothing_is_lost(cycle, told, &journaled, &mut sums);
        let (seq, _) = daemon.digest().expect("the journal's replay is the state");
        assert_eq!(seq, checked.seq, "cycle {cycle}");
        assert_eq!(complaints(&daemon), healthy, "cycle {cycle}");
        // Every other life ends well, with a snapshot that the next folds on from.
        match cycle % 2 {
            0 => drop(daemon.terminate().expect("ended")),
            _ => daemon.kill().expect("killed"),
        }
    }
    assert!(sums.acknowledged >= cycles, "there was load");
    println!(
        "crash cycles: {cycles} ({} by SIGKILL under load, {} by SIGKILL while starting, {} at {} named \
         steps), {} commands acknowledged, 0 lost; {} in doubt, {} of them journaled, each whole",
        sums.killed,
        sums.starting,
        sums.steps,
        sums.steps.min(POINTS.len()),
        sums.acknowledged,
        sums.in_doubt,
        sums.in_doubt_and_journaled,
    );
}
