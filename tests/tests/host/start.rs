//! When the daemon refuses to start: it says why, ends with a failure, and harms nothing. And when it
//! starts on a journal that it refuses: it takes no command.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use syva_e2e::daemon::{Daemon, Setup, put};
use syva_model::entry::Hash;

use crate::home::Home;

/// Starts what must not start, and returns what it said.
pub fn refusal(setup: &Setup) -> String {
    let ended = setup.end().expect("it ends");
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    ended.log
}

/// Starts on a journal that must not be folded: the daemon answers, takes no command, says why. Returns
/// what it said.
fn stands_by(home: &Home) -> String {
    let daemon = home.start();
    let status = daemon.done(&["status"]).expect("answers");
    let told = status.json()["degraded_reasons"].to_string();
    let refused = daemon
        .cli(&["zones", "register", "more"])
        .expect("answers too");
    assert_eq!(refused.exit, 4, "{refused:?}");
    assert!(refused.reason().contains("not journaled"), "{refused:?}");
    let read = daemon.cli(&["journal", "inspect"]).expect("answers too");
    assert_eq!(read.exit, 4, "{read:?}");
    daemon.terminate().expect("ended");
    told
}

/// Whether a log says all that it should.
pub fn contains_all(log: &str, parts: &[&str]) {
    for part in parts {
        assert!(log.contains(part), "{part:?} is not in {log}");
    }
}

fn with_a_zone(home: &Home) -> Daemon {
    let daemon = home.start();
    daemon.done(&["zones", "register", "web"]).expect("done");
    daemon
}

/// A state with something in it, and its digest.
fn a_state(home: &Home) -> (u64, String) {
    let daemon = with_a_zone(home);
    let digest = daemon.digest().expect("replayed");
    daemon.terminate().expect("ended");
    digest
}

#[test]
fn the_socket_of_a_live_daemon_is_not_taken() {
    let home = Home::new();
    let daemon = with_a_zone(&home);
    let before = daemon.digest().expect("replayed");
    let log = refusal(&home.setup().with_state(home.path("other-state")));
    contains_all(
        &log,
        &["in use by a live daemon", "stop it first", "--socket-path"],
    );
    assert_eq!(daemon.digest().expect("still there"), before);
    assert!(!home.path("other-state").exists(), "nothing was made");
}

#[test]
fn the_journal_of_a_live_daemon_is_not_opened() {
    let home = Home::new();
    let daemon = with_a_zone(&home);
    let before = daemon.digest().expect("replayed");
    let other = home.path("other.sock");
    let log = refusal(&home.setup().at_socket(other.clone()));
    let holder = format!("process {} has it open", daemon.pid());
    contains_all(&log, &[&holder, "stop that one first"]);
    assert!(!other.exists(), "its socket is not left behind");
    assert_eq!(daemon.digest().expect("still there"), before);
    let beside = home
        .setup()
        .at_socket(other)
        .with_state(home.path("other-state"));
    beside.start().expect("with a state of its own it may run");
}

#[test]
fn the_socket_of_a_daemon_that_was_killed_is_taken_over() {
    let home = Home::new();
    let daemon = with_a_zone(&home);
    let before = daemon.digest().expect("replayed");
    daemon.kill().expect("killed");
    assert!(
        home.setup().socket().exists(),
        "a killed daemon leaves its socket"
    );
    let asked = home.setup().cli(&["status"]).expect("run");
    assert_eq!(asked.exit, 3, "nobody answers: {asked:?}");
    assert!(asked.reason().contains("is syva-core running"), "{asked:?}");
    assert_eq!(home.start().digest().expect("replayed"), before);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let home = Home::new();
    let precious = PathBuf::from(home.file("precious"));
    fs::create_dir(home.path("dir")).expect("made");
    for place in [precious.clone(), home.path("dir")] {
        let log = refusal(&home.setup().at_socket(place.clone()));
        contains_all(&log, &["is no socket", "remove it, or choose another"]);
        assert!(place.exists());
    }
    assert_eq!(fs::read_to_string(precious).expect("there"), "precious");
    home.setup()
        .at_socket(home.path("new/run/core.sock"))
        .start()
        .expect("a directory is made");
}

#[test]
fn a_state_directory_that_cannot_be_written_is_an_error_that_names_it() {
    let home = Home::new();
    let file = PathBuf::from(home.file("file"));
    // Nobody may make anything in sysfs, root neither.
    for place in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/sys/kernel/syva"),
    ] {
        let log = refusal(&home.setup().with_state(place.clone()));
        contains_all(
            &log,
            &[
                &place.display().to_string(),
                "not writable",
                "a directory of its own",
            ],
        );
        assert!(
            !home.setup().socket().exists(),
            "its socket is not left behind"
        );
    }
    home.setup()
        .with_state(home.path("new/state"))
        .start()
        .expect("a directory is made");
}

#[test]
fn a_journal_of_a_newer_version_is_refused_and_left_as_it_is() {
    let home = Home::new();
    let before = a_state(&home);
    let anchor = home.path("state/anchor");
    let saved = fs::read(&anchor).expect("an anchor");
    let mut newer = saved.clone();
    for slot in [0, 4096] {
        newer[slot + 15] = 2;
        let sum = Hash::of(&newer[slot..slot + 64]);
        newer[slot + 64..slot + 96].copy_from_slice(&sum.0);
    }
    fs::write(&anchor, &newer).expect("written");
    let told = stands_by(&home);
    contains_all(
        &told,
        &[
            "has format 2",
            "reads up to 1",
            "use the version that wrote it",
        ],
    );
    assert_eq!(
        fs::read(&anchor).expect("there"),
        newer,
        "the anchor is left as it was"
    );
    assert!(
        !home.setup().socket().exists(),
        "its socket is not left behind"
    );
    fs::write(&anchor, saved).expect("written");
    assert_eq!(
        home.start().digest().expect("replayed"),
        before,
        "the store is unharmed"
    );
}

#[test]
fn a_damaged_anchor_or_store_is_refused_and_a_restored_one_is_taken() {
    let home = Home::new();
    let before = a_state(&home);
    let copy = copied(&home.path("state"));
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 4] = [
        (
            |state| zero(&state.join("anchor"), 0, 8192),
            "both slots of its head anchor are damaged",
        ),
        (
            |state| fs::remove_file(state.join("anchor")).expect("removed"),
            "no head anchor",
        ),
        (
            |state| zero(&state.join("db"), 0, u64::MAX),
            "in the journal|journal in|journal's store",
        ),
        (
            |state| fs::write(state.join("db"), "").expect("written"),
            "in the journal|journal in|journal's store",
        ),
    ];
    for (harm, said) in harms {
        harm(&home.path("state"));
        // Without its anchor nothing says that the directory is Syvä's: it is not even looked at.
        let log = match said {
            "no head anchor" => refusal(&home.setup()),
            _ => stands_by(&home),
        };
        assert!(
            said.split('|').any(|said| log.contains(said)),
            "{said:?} is not in {log}"
        );
        assert!(
            log.contains("restore") || log.contains("accept the loss"),
            "nothing says what to do: {log}"
        );
        restore(&home.path("state"), &copy);
        assert_eq!(
            home.start().digest().expect("replayed"),
            before,
            "after {said:?}"
        );
    }
}

fn zero(path: &Path, from: u64, to: u64) {
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .expect("opened");
    let end = file.metadata().expect("there").len().min(to);
    let zeros = vec![0; usize::try_from(end - from).expect("small")];
    file.write_all_at(&zeros, from).expect("written");
}

/// The files of a directory and what is in them.
fn copied(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir)
        .expect("listed")
        .map(|entry| entry.expect("read").path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect()
}

fn restore(dir: &Path, files: &[(PathBuf, Vec<u8>)]) {
    fs::remove_dir_all(dir).expect("removed");
    for (path, bytes) in files {
        put(path, "").expect("made");
        fs::write(path, bytes).expect("written");
    }
}
