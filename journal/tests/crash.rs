//! Claims about a daemon that dies in the middle of an append: nothing acknowledged is missing, and
//! what is there is a prefix of what was asked. Needs the feature `failpoints`.
//!
//! The test starts itself again as the child that dies.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{self, Stdio};
use std::time::Duration;

use common::{append, payloads, read_all};
use syva_journal::journal::prune::Before;
use syva_journal::{Head, Journal};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;

const DIR: &str = "SYVA_CRASH_TEST_DIR";
const BATCH: [usize; 3] = [10, 9000, 100];
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// The child: appends until something kills it, and notes what was acknowledged.
#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let Some(base) = std::env::var_os(DIR) else {
        return;
    };
    let base = Path::new(&base);
    let scenario = fail::FailScenario::setup();
    let mut note = OpenOptions::new()
        .create(true)
        .append(true)
        .open(base.join("acknowledged"))
        .expect("opens");
    let (mut journal, _) = Journal::open(&base.join("journal")).expect("opens");
    loop {
        let head = append(&mut journal, &BATCH).expect("appends");
        writeln!(note, "{}", head.seq).expect("notes");
        if head.seq > 3_000_000 {
            break;
        }
    }
    scenario.teardown();
}

fn start(base: &Path, failpoints: &str) -> std::process::Child {
    process::Command::new(std::env::current_exe().expect("is known"))
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIR, base)
        .env("FAILPOINTS", failpoints)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

/// What the child noted last.
fn acknowledged(base: &Path) -> u64 {
    fs::read_to_string(base.join("acknowledged"))
        .unwrap_or_default()
        .lines()
        .last()
        .map_or(0, |line| line.parse().expect("is a number"))
}

/// Opens what the child left; returns how far it goes.
fn check(base: &Path) -> Head {
    let acknowledged = acknowledged(base);
    let (journal, recovery) = Journal::open(&base.join("journal")).expect("opens");
    let head = journal.head();
    assert!(
        head.seq >= acknowledged,
        "{recovery:?}, {acknowledged} acknowledged"
    );
    assert!(
        head.seq <= acknowledged + BATCH.len() as u64,
        "{recovery:?}, {acknowledged} acknowledged"
    );
    let sizes = BATCH.into_iter().cycle().take(head.seq as usize);
    assert!(read_all(&journal).expect("reads") == payloads(Head::EMPTY, sizes));
    head
}

#[test]
fn a_crash_at_any_step_of_an_append_loses_nothing_acknowledged() {
    for (point, batch_must_be_there) in [
        ("journal-after-append", false),
        ("journal-after-flush", true),
        ("journal-after-sync", true),
        ("journal-after-anchor", true),
    ] {
        for spared in [0, 1, 7] {
            let base = tempfile::tempdir().expect("a directory");
            let mut child = start(base.path(), &format!("{point}={spared}*off->return"));
            let status = child.wait().expect("ends");
            assert_eq!(
                status.signal(),
                Some(SIGABRT),
                "{point} was not reached: {status}"
            );
            let before = acknowledged(base.path());
            assert_eq!(before, spared * BATCH.len() as u64, "{point}");
            let head = check(base.path());
            if batch_must_be_there {
                assert_eq!(
                    head.seq,
                    before + BATCH.len() as u64,
                    "{point} after {spared}"
                );
            }
            // And it goes on from there.
            let (mut journal, again) = Journal::open(&base.path().join("journal")).expect("opens");
            assert_eq!(
                (again.head, again.tail.kept),
                (head, 0),
                "the first opening anchored it"
            );
            append(&mut journal, &[1]).expect("appends");
        }
    }
}

#[test]
fn a_daemon_killed_again_and_again_loses_nothing_acknowledged() {
    let base = tempfile::tempdir().expect("a directory");
    for round in 0..12_u64 {
        let mut child = start(base.path(), "");
        std::thread::sleep(Duration::from_millis(150 + 37 * round));
        child.kill().expect("kills");
        assert_eq!(child.wait().expect("ends").signal(), Some(SIGKILL));
        // The child begins each batch anew, so that a part of one must not be what is left.
        let head = check(base.path());
        assert_eq!(
            head.seq % BATCH.len() as u64,
            0,
            "a part of a batch was kept"
        );
    }
    assert!(acknowledged(base.path()) > 0);
}

/// A journal of entries that fold, more than are removed at once.
fn foldable(dir: &Path) -> Journal {
    let (mut journal, _) = Journal::open(dir).expect("creates");
    let (mut head, mut payloads) = (journal.head(), Vec::new());
    for _ in 0..10_000 {
        let command = Command::Boot {
            claims: vec![],
            host_sockets: vec![],
        };
        let entry = head.next(1, BootId([1; 16]), Peer::default(), command);
        let payload = entry.encode().expect("encodes");
        head = head.after(&payload);
        payloads.push(payload);
    }
    journal.append(&payloads).expect("appends");
    journal
}

#[test]
fn a_crash_at_any_step_of_a_pruning_leaves_it_undone_or_done() {
    for (point, done) in [
        ("prune-after-horizon", false),
        ("prune-after-entry", true),
        ("prune-amid-removal", true),
    ] {
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("journal");
        let mut journal = foldable(&dir);
        let last = journal.head().seq;
        let plan = journal
            .plan_pruning(Before::Seq(last - 1), &mut |_| ())
            .expect("plans");
        // Unwinding skips everything that comes after, as a death does.
        fail::cfg(point, "panic").expect("is known");
        let died = catch_unwind(AssertUnwindSafe(|| {
            journal.prune(plan, Peer::default(), 2, &mut |_| ())
        }));
        fail::remove(point);
        assert!(died.is_err(), "{point} was not reached");
        drop(journal);
        let (journal, _) = Journal::open(&dir).expect("opens");
        let base = journal.reader().base().seq;
        assert_eq!(base, if done { last - 2 } else { 0 }, "{point}");
        assert_eq!(journal.head().seq, last + u64::from(done), "{point}");
        let store = journal.reader().read_raw(0, 1).expect("reads");
        assert_eq!(
            store[0].key,
            base + 1,
            "{point}: nothing is left half removed"
        );
        journal.verify().expect("is whole");
    }
}
