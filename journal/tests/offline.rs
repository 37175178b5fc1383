//! Claims about reading a journal while no daemon runs: nothing is changed, damage is named, and a
//! daemon's journal is left to the daemon.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use common::{append, copy, payloads};
use syva_journal::offline::Verified;
use syva_journal::{Head, Journal, JournalError, Offline};

const SIZES: [usize; 5] = [10, 9000, 0, 300, 40];

/// A journal of `batches` batches, closed.
fn journal_in(dir: &Path, batches: usize) -> (Head, Vec<Vec<u8>>) {
    let (mut journal, _) = Journal::open(dir).expect("creates");
    for _ in 0..batches {
        append(&mut journal, &SIZES).expect("appends");
    }
    let sizes = SIZES.iter().copied().cycle().take(5 * batches);
    (journal.head(), payloads(Head::EMPTY, sizes))
}

fn verify(dir: &Path) -> Result<Verified, JournalError> {
    Offline::open(dir)?.verify(&mut |_| ())
}

/// Every file below a directory: its bytes, size and time of change.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let mut all = BTreeMap::new();
    for item in fs::read_dir(dir).expect("lists") {
        let path = item.expect("lists").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let meta = fs::metadata(&path).expect("there");
            let bytes = fs::read(&path).expect("reads");
            all.insert(path, (bytes, meta.ctime(), meta.ctime_nsec()));
        }
    }
    all
}

#[test]
fn a_whole_journal_is_read_and_verified_and_not_a_byte_of_it_changes() {
    let dir = tempfile::tempdir().expect("a directory");
    let (head, all) = journal_in(dir.path(), 40);
    let before = contents(dir.path());
    let offline = Offline::open(dir.path()).expect("opens");
    let read = offline.reader().read(1, 1000).expect("reads");
    let read: Vec<_> = read.into_iter().map(|record| record.payload).collect();
    assert_eq!(read, all);
    let mut told = Vec::new();
    let verified = offline.verify(&mut |seq| told.push(seq)).expect("is whole");
    assert_eq!(
        verified,
        Verified {
            head,
            unacknowledged: 0,
            torn: None,
            anchor_damaged: false,
            of_sled: None
        }
    );
    assert_eq!(told.last(), Some(&200));
    drop(offline);
    assert!(contents(dir.path()) == before, "the directory changed");
    assert_eq!(Journal::open(dir.path()).expect("opens").1.head, head);
}

#[test]
fn a_damaged_journal_is_refused_and_left_as_damaged_as_it_was() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let (mut journal, _) = Journal::open(&whole).expect("creates");
    for batch in 0..60 {
        append(&mut journal, &[10, 120, batch, 300]).expect("appends");
    }
    let head = append(&mut journal, &[9000]).expect("appends");
    drop(journal);
    // With sled's own snapshot, and without.
    for round in 0..2 {
        let log = fs::read(whole.join("db")).expect("reads");
        let used = log.iter().rposition(|b| *b != 0).expect("not empty");
        let (mut named, mut carved, mut of_sled, mut harmless) = (0, 0, 0, 0);
        for at in (0..used).step_by(used / 60) {
            let dir = base.path().join("copy");
            copy(&whole, &dir);
            let mut damaged = log.clone();
            damaged[at] ^= 0x20;
            fs::write(dir.join("db"), &damaged).expect("writes");
            let before = contents(&dir);
            match verify(&dir) {
                Ok(verified) => {
                    assert_eq!(verified.head, head, "byte {at}");
                    harmless += 1;
                }
                Err(JournalError::BadEntry { .. } | JournalError::Short { .. }) => named += 1,
                Err(JournalError::StoreBroken { found, .. }) => match found.first_bad {
                    Some(seq) => {
                        assert!((1..=head.seq).contains(&seq), "byte {at}: {found}");
                        carved += 1;
                    }
                    None => of_sled += 1,
                },
                Err(other) => panic!("byte {at}: {other}"),
            }
            assert!(contents(&dir) == before, "byte {at}: repaired");
            fs::remove_dir_all(&dir).expect("removes");
        }
        println!(
            "round {round}: {named} named, {carved} carved, {of_sled} sled's, {harmless} harmless"
        );
        assert!(named + carved > 10);
        drop(Journal::open(&whole).expect("opens"));
    }
}

#[test]
fn a_byte_changed_inside_an_entry_names_that_entry() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let (mut journal, _) = Journal::open(&whole).expect("creates");
    // One by one, so that the log has a frame an entry.
    for _ in 0..40 {
        append(&mut journal, &[80]).expect("appends");
    }
    drop(journal);
    let log = fs::read(whole.join("db")).expect("reads");
    for seq in [1, 7, 23, 40] {
        let text = format!("container {seq} xxx").into_bytes();
        let places: Vec<usize> = (0..log.len() - text.len())
            .filter(|at| log[*at..].starts_with(&text))
            .collect();
        assert!(!places.is_empty());
        let dir = base.path().join("copy");
        copy(&whole, &dir);
        let mut damaged = log.clone();
        for at in &places {
            // Everywhere it stands: sled keeps what it has copied elsewhere.
            damaged[at + 20] ^= 1;
        }
        fs::write(dir.join("db"), &damaged).expect("writes");
        let named = match verify(&dir).expect_err("is damaged") {
            JournalError::BadEntry { seq, .. } => seq,
            JournalError::Short { found, .. } => found.seq + 1,
            JournalError::StoreBroken { found, .. } => found.first_bad.expect("is seen"),
            other => panic!("{other}"),
        };
        assert_eq!(named, seq);
        fs::remove_dir_all(&dir).expect("removes");
    }
}

#[test]
fn a_journal_that_a_daemon_has_open_is_left_to_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    append(&mut journal, &[1]).expect("appends");
    match Offline::open(dir.path()).map(drop).expect_err("is locked") {
        JournalError::Locked { holder, .. } => assert_eq!(holder, Some(std::process::id())),
        other => panic!("{other}"),
    }
    append(&mut journal, &[1]).expect("goes on");
    drop(journal);
    assert_eq!(verify(dir.path()).expect("is free").head.seq, 2);
    // Who reads has the lock for no longer than the copy takes.
    let offline = Offline::open(dir.path()).expect("opens");
    let (mut journal, _) = Journal::open(dir.path()).expect("a daemon may start meanwhile");
    append(&mut journal, &[1]).expect("appends");
    assert_eq!(offline.verify(&mut |_| ()).expect("whole").head.seq, 2);
}

#[test]
fn what_is_no_journal_is_said_and_nothing_is_made_there() {
    let base = tempfile::tempdir().expect("a directory");
    let missing = base.path().join("missing");
    let file = base.path().join("file");
    fs::write(&file, "").expect("writes");
    let empty = base.path().join("empty");
    fs::create_dir(&empty).expect("makes");
    for (dir, said) in [
        (&missing, "no such directory"),
        (&file, "not a directory"),
        (&empty, "no head anchor and no store"),
    ] {
        let error = Offline::open(dir).map(drop).expect_err("refuses");
        assert!(matches!(error, JournalError::NoJournal { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(!missing.exists());
    assert_eq!(fs::read_dir(&empty).expect("lists").count(), 0);
    // Another program's sled.
    let foreign = base.path().join("foreign");
    drop(sled::open(&foreign).expect("creates"));
    let before = contents(&foreign);
    assert!(matches!(
        Offline::open(&foreign).map(drop),
        Err(JournalError::Foreign { .. })
    ));
    assert!(contents(&foreign) == before);
}

#[test]
fn a_truncated_directory_is_shorter_than_what_was_acknowledged() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let (head, _) = journal_in(&whole, 4);
    let only_the_anchor = base.path().join("only");
    fs::create_dir(&only_the_anchor).expect("makes");
    fs::copy(whole.join("anchor"), only_the_anchor.join("anchor")).expect("copies");
    match verify(&only_the_anchor).expect_err("is short") {
        JournalError::Short {
            anchored, found, ..
        } => assert_eq!((anchored, found), (head, Head::EMPTY)),
        other => panic!("{other}"),
    }
    let without = base.path().join("without");
    copy(&whole, &without);
    fs::remove_file(without.join("anchor")).expect("removes");
    assert!(matches!(
        verify(&without),
        Err(JournalError::Foreign { .. })
    ));
}

#[test]
fn damage_to_the_anchor_and_to_sleds_own_files_is_found_too() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let (head, _) = journal_in(&whole, 20);
    drop(Journal::open(&whole).expect("opens"));
    let flipped = |name: &str, places: &[usize]| {
        let dir = base.path().join("copy");
        let _ = fs::remove_dir_all(&dir);
        copy(&whole, &dir);
        let mut bytes = fs::read(dir.join(name)).expect("reads");
        for place in places {
            bytes[*place] ^= 4;
        }
        fs::write(dir.join(name), bytes).expect("writes");
        dir
    };
    let one = verify(&flipped("anchor", &[4096 + 30])).expect("the other slot is there");
    assert!(one.anchor_damaged);
    assert!(matches!(
        verify(&flipped("anchor", &[30, 4096 + 30])),
        Err(JournalError::AnchorDamaged { .. })
    ));
    let table = fs::read_dir(&whole)
        .expect("lists")
        .map(|item| {
            item.expect("lists")
                .file_name()
                .into_string()
                .expect("text")
        })
        .find(|name| name.starts_with("snap."))
        .expect("sled made one");
    for name in ["conf", &table] {
        let dir = flipped(name, &[2]);
        let found = verify(&dir).expect("the entries are whole");
        assert_eq!(found.head, head);
        assert!(found.of_sled.is_some(), "{name}");
        assert!(
            matches!(
                Journal::open(&dir),
                Err(JournalError::StoreUnreadable { .. })
            ),
            "a daemon refuses it"
        );
    }
}

#[test]
fn an_anchor_of_a_newer_version_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    journal_in(dir.path(), 1);
    let path = dir.path().join("anchor");
    let mut bytes = fs::read(&path).expect("reads");
    for slot in [0, 4096] {
        bytes[slot + 15] = 2;
        let sum = syva_model::entry::Hash::of(&bytes[slot..slot + 64]);
        bytes[slot + 64..slot + 96].copy_from_slice(&sum.0);
    }
    fs::write(&path, bytes).expect("writes");
    assert!(matches!(
        verify(dir.path()),
        Err(JournalError::AnchorNewer { format: 2, .. })
    ));
}
