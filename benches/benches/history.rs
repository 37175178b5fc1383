//! What a long history costs: a start with and without a snapshot, and `syva-cli journal` on it.
//! `SYVA_BENCH_ENTRIES` says how long (a million). Build the programs first (`make release`).
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark's liberty")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use syva_bench::programs::{client, daemon, peak_kib, program, spawn};
use syva_bench::{history, replay};
use syva_journal::Journal;

fn main() {
    let wanted = std::env::var("SYVA_BENCH_ENTRIES").ok();
    let entries = wanted.map_or(1_000_000, |text| text.parse().expect("a number"));
    let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let dir = base.path().join("state");
    let payloads = history(entries);
    let (mut journal, _) = timed("make the journal", || Journal::open(&dir).expect("creates"));
    timed("append all, 256 at once", || {
        for step in payloads.chunks(256) {
            journal.append(step).expect("appends");
        }
    });
    let state = timed("fold all, from memory", || {
        replay(&payloads[..payloads.len() - 100])
    });
    let tail = journal.snapshots();
    drop(journal);
    open("open without a snapshot: every entry is checked", &dir);
    answers("start without a snapshot", base.path());
    timed("write a snapshot", || tail.save(&state).expect("saves"));
    open("open with a snapshot 100 entries back", &dir);
    answers("start with a snapshot 100 entries back", base.path());
    let log = std::fs::metadata(dir.join("db")).expect("there").len();
    println!("{} entries, {} MiB of store", payloads.len(), log >> 20);
    for words in [
        &["inspect"][..],
        &["inspect", "--from", "900000", "--kind", "register_zone"],
        &["inspect", "--zone", "tenant-7"],
        &["verify"],
        &["replay"],
        &["replay", "--to", "500000"],
    ] {
        asked(&dir, words);
    }
    let file = base.path().join("export");
    asked(&dir, &["export", &file.to_string_lossy()]);
}

fn open(what: &str, dir: &Path) {
    let (_, recovery) = timed(what, || Journal::open(dir).expect("opens"));
    println!("    checked after entry {}", recovery.checked_after);
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{:>8.3} s  {what}", begun.elapsed().as_secs_f64());
    result
}

/// How long until the first line, and until the last, and how much memory it took.
fn asked(dir: &Path, words: &[&str]) {
    let begun = Instant::now();
    let mut command = Command::new(program("syva-cli"));
    command.arg("journal").args(words).arg("--path").arg(dir);
    let mut child = spawn(command.stdout(Stdio::piped()));
    let pid = child.id();
    let watched = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(kib) = peak_kib(pid) {
            peak = kib;
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first = lines.next().map(|_| begun.elapsed());
    let count = lines.count() + usize::from(first.is_some());
    let status = child.wait().expect("ends");
    println!(
        "{:>8.3} s  journal {}: first line after {:.3} s, {count} lines, {} MiB at most, {status}",
        begun.elapsed().as_secs_f64(),
        words.join(" "),
        first.unwrap_or_default().as_secs_f64(),
        watched.join().expect("no panic") >> 10,
    );
}

/// How long until a daemon on this journal answers, and how much memory that took.
fn answers(what: &str, base: &Path) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let begun = Instant::now();
    let mut child = daemon(base);
    runtime.block_on(client(base));
    let took = begun.elapsed();
    let peak = peak_kib(child.id()).unwrap_or_default();
    child.kill().expect("kills");
    child.wait().expect("ends");
    println!(
        "{:>8.3} s  {what}: the daemon answers, {} MiB at most",
        took.as_secs_f64(),
        peak >> 10
    );
}
