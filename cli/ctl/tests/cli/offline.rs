//! `journal … --path`: the journal of a daemon that does not run.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use syva_journal::{Head, Journal};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;
use syva_model::name::ZoneName;
use syva_model::state::State;
use tempfile::TempDir;

use crate::{Run, command, finished};

/// A journal: a boot, and zones after it.
pub struct Offline {
    pub home: TempDir,
    head: Head,
    state: State,
}

pub fn made(zones: u32) -> Offline {
    let home = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(&home.path().join("state")).expect("creates");
    let (mut head, mut state, mut payloads) = (Head::EMPTY, State::default(), Vec::new());
    for n in 0..=zones {
        let command = match n {
            0 => Command::Boot {
                claims: vec![],
                host_sockets: vec![],
            },
            n => Command::RegisterZone {
                zone: ZoneName::new(format!("web{n}")).expect("valid"),
                policy: None,
                claims: vec![],
                host_sockets: vec![],
            },
        };
        let entry = head.next(u64::from(n), BootId([7; 16]), Peer::default(), command);
        let payload = entry.encode().expect("encodes");
        head = head.after(&payload);
        state.fold(&entry, head.hash).expect("folds");
        payloads.push(payload);
    }
    journal.append(&payloads).expect("appends");
    Offline { home, head, state }
}

impl Offline {
    pub fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// As a daemon does that is stopped.
    pub fn save_snapshot(&self) {
        let (journal, _) = Journal::open(&self.dir()).expect("opens");
        journal.snapshots().save(&self.state).expect("saves");
    }

    /// Runs `line` on the directory. Nobody serves the socket.
    pub fn run(&self, line: &str) -> Run {
        on(&self.dir(), line)
    }
}

fn on(dir: &Path, line: &str) -> Run {
    let mut command = command(Path::new("/none"), line);
    finished(command.arg("--path").arg(dir).output().expect("runs"))
}

#[test]
fn every_question_is_answered_without_a_daemon() {
    let journal = made(3);
    let digest = journal.state.digest().expect("encodes").to_string();
    let inspected = journal.run("journal inspect --kind register_zone --format json");
    assert_eq!((inspected.exit, inspected.json_lines().len()), (0, 3));
    let verified = journal.run("journal verify --format json").json();
    assert_eq!(
        (&verified["entries"], &verified["head"]),
        (&json!(4), &json!(journal.head.hash.to_string()))
    );
    let replayed = journal.run("journal replay --format json").json();
    assert_eq!(
        replayed,
        json!({"operation": "journal.replay", "ok": true, "entries": 4, "seq": 4, "digest": digest})
    );
    let text = journal.run("journal replay");
    assert!(
        text.out.ends_with("the head anchor agrees\n"),
        "{}",
        text.out
    );
    let then = journal
        .run("journal replay --to 2 --diff 4 --format json")
        .json();
    assert_eq!(then["diff"]["digest"], json!(digest));
    assert_eq!(then["diff"]["changes"].as_array().map(Vec::len), Some(2));
    let beyond = journal.run("journal replay --to 9");
    assert_eq!(beyond.exit, 1);
    assert!(beyond.err.contains("there is no entry 9"), "{}", beyond.err);
}

#[test]
fn the_journal_of_a_running_daemon_is_left_to_it() {
    let journal = made(1);
    let (held, _) = Journal::open(&journal.dir()).expect("opens");
    for line in [
        "journal inspect",
        "journal replay",
        "journal verify",
        "journal export -",
    ] {
        let refused = journal.run(line);
        assert_eq!((refused.exit, refused.out.as_str()), (1, ""), "{line}");
        let said = format!("process {} has the journal", std::process::id());
        assert!(
            refused.err.contains(&said) && refused.err.contains("leave out --path"),
            "{}",
            refused.err
        );
    }
    drop(held);
    assert_eq!(journal.run("journal verify").exit, 0);
}

#[test]
fn what_is_no_journal_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    for (dir, said) in [
        (home.path().join("none"), "there is no such directory"),
        (home.path().to_owned(), "no head anchor and no store"),
    ] {
        let refused = on(&dir, "journal verify");
        assert_eq!(refused.exit, 1);
        assert!(refused.err.contains(said), "{}", refused.err);
    }
}

#[test]
fn damage_fails_and_is_named() {
    let journal = made(200);
    let log = journal.dir().join("db");
    let bytes = fs::read(&log).expect("reads");
    let name = b"web150";
    let mut damaged = bytes.clone();
    for at in 0..bytes.len() - name.len() {
        if bytes[at..].starts_with(name) {
            damaged[at] ^= 1;
        }
    }
    assert!(damaged != bytes);
    fs::write(&log, &damaged).expect("writes");
    let failed = journal.run("journal verify --format json");
    assert_eq!((failed.exit, &failed.json()["ok"]), (4, &json!(false)));
    // The whole was one batch, which sled drops as a whole: or it names the entry itself.
    let first = failed.json()["first_bad"].as_u64().expect("is named");
    assert!(first <= 151, "{first}");
    assert!(fs::read(&log).expect("reads") == damaged, "it was repaired");
    let inspected = journal.run("journal inspect");
    assert_eq!(
        inspected.exit, 4,
        "what is missing is not left out silently"
    );
    // A slot of the anchor.
    fs::write(&log, &bytes).expect("writes");
    assert_eq!(journal.run("journal verify").exit, 0);
    let anchor = journal.dir().join("anchor");
    let mut slots = fs::read(&anchor).expect("reads");
    slots[30] ^= 1;
    fs::write(&anchor, slots).expect("writes");
    let failed = journal.run("journal verify");
    assert_eq!(failed.exit, 4);
    assert!(
        failed
            .err
            .contains("all 201 entries are whole, but one of the two slots"),
        "{}",
        failed.err
    );
}

#[test]
fn an_export_is_imported_into_a_new_directory_and_into_no_other() {
    let journal = made(5);
    let file = journal.file("export");
    let exported = journal.run(&format!("journal export {}", file.display()));
    assert_eq!(exported.exit, 0, "{}", exported.err);
    let import = format!("journal import {} --format json", file.display());
    let new = journal.file("new");
    let made = on(&new, &import);
    assert_eq!(made.exit, 0, "{}", made.out);
    assert_eq!(made.json()["result"]["entries"], 6);
    assert_eq!(
        on(&new, "journal replay").out,
        journal.run("journal replay").out
    );
    let refused = journal.run(&import);
    assert_eq!(refused.exit, 1);
    assert!(refused.out.contains("it is not empty"), "{}", refused.out);
    for (name, bytes, exit, said) in [
        ("text", b"hello".to_vec(), 1, "does not begin with SYVAJRNL"),
        (
            "cut",
            fs::read(&file).expect("reads")[..300].to_vec(),
            4,
            "cut short",
        ),
    ] {
        let bad = journal.file(name);
        fs::write(&bad, bytes).expect("writes");
        let refused = on(
            &journal.file("other"),
            &format!("journal import {}", bad.display()),
        );
        assert_eq!(refused.exit, exit, "{}", refused.err);
        assert!(refused.err.contains(said), "{}", refused.err);
        assert!(!journal.file("other").exists());
    }
    let none = on(&journal.file("other"), "journal import /nonexistent/file");
    assert_eq!(none.exit, 1, "{}", none.err);
}

#[test]
fn the_part_before_some_damage_can_be_exported() {
    let journal = made(5);
    let file = journal.file("export");
    let done = journal.run(&format!("journal export {} --to 3", file.display()));
    assert_eq!(done.exit, 0, "{}", done.err);
    let new = journal.file("new");
    assert_eq!(
        on(&new, &format!("journal import {}", file.display())).exit,
        0
    );
    assert!(on(&new, "journal verify").out.starts_with("3 entries"));
    let beyond = journal.run("journal export - --to 9");
    assert_eq!((beyond.exit, beyond.out.as_str()), (1, ""));
}
