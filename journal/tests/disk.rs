//! Claims about a journal on a real disk: creation, the lock, other people's directories, sizes.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{append, payload, payloads, read_all};
use proptest::prelude::*;
use syva_journal::{Head, Journal, JournalError};

/// Opens with sled itself, once the threads of an earlier one have let go of its lock.
fn sled_in(dir: &Path) -> sled::Db {
    for _ in 0..200 {
        match sled::open(dir) {
            Err(sled::Error::Io(_)) => std::thread::sleep(Duration::from_millis(10)),
            other => return other.expect("opens"),
        }
    }
    panic!("{} stays locked", dir.display());
}

#[test]
fn a_new_journal_is_empty_and_what_is_appended_is_there_after_reopening() {
    let base = tempfile::tempdir().expect("a directory");
    let dir = base.path().join("var/journal");
    let (mut journal, recovery) = Journal::open(&dir).expect("creates");
    assert!(recovery.created);
    assert_eq!(journal.head(), Head::EMPTY);
    append(&mut journal, &[10, 20, 30]).expect("appends");
    let head = append(&mut journal, &[40]).expect("appends");
    assert_eq!(journal.reopen().expect("reopens").head, head);
    drop(journal);
    let (journal, recovery) = Journal::open(&dir).expect("opens");
    assert!(!recovery.created);
    assert_eq!((recovery.head, recovery.anchored), (head, head));
    assert_eq!(
        read_all(&journal).expect("reads"),
        payloads(Head::EMPTY, [10, 20, 30, 40])
    );
    assert_eq!(journal.verify().expect("verifies"), head);
}

#[test]
fn a_snapshot_that_sled_did_not_finish_is_no_reason_to_refuse_the_journal() {
    for (draft, content) in [
        // As a full disk leaves it, and as a death does; both come behind every finished one.
        ("snap.FFFFFFFFFFFFFFFF.generating", &b""[..]),
        ("snap.FFFFFFFFFFFFFFFE.generating", &[7; 100]),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, _) = Journal::open(dir.path()).expect("creates");
        let head = append(&mut journal, &[10, 20, 30]).expect("appends");
        drop(journal);
        fs::write(dir.path().join(draft), content).expect("written");
        let (mut journal, recovery) = Journal::open(dir.path()).expect("opens");
        assert_eq!(recovery.head, head, "{draft}");
        fs::write(dir.path().join(draft), content).expect("written");
        assert_eq!(journal.reopen().expect("reopens").head, head, "{draft}");
        assert_eq!(journal.verify().expect("verifies"), head);
    }
}

#[test]
fn room_is_what_the_file_system_has() {
    let dir = tempfile::tempdir().expect("a directory");
    let (journal, _) = Journal::open(dir.path()).expect("creates");
    journal.room_for(1).expect("there is room for a byte");
    let told = journal.room_for(usize::MAX).expect_err("not for so many");
    assert!(told.is_full());
    assert!(told.to_string().contains("make room"), "{told}");
}

#[test]
fn a_journal_that_is_closed_right_after_it_was_made_opens_again_at_once() {
    for _ in 0..50 {
        let dir = tempfile::tempdir().expect("a directory");
        drop(Journal::open(dir.path()).expect("creates"));
        Journal::open(dir.path()).expect("sled's lock does not linger");
    }
}

#[test]
fn a_second_opener_learns_who_has_the_journal_and_the_first_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    for opened in [
        Journal::open(dir.path()).map(|_| ()),
        Journal::open_accepting_loss(dir.path()).map(|_| ()),
    ] {
        let error = opened.expect_err("refuses");
        let text = error.to_string();
        match error {
            JournalError::Locked { holder, .. } => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other}"),
        }
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
    }
    append(&mut journal, &[1]).expect("appends");
    drop(journal);
    Journal::open(dir.path()).expect("is free again");
}

#[test]
fn a_store_that_something_else_has_open_is_locked_too() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Journal::open(dir.path()).expect("creates"));
    let held = fs::File::open(dir.path().join("db")).expect("opens");
    held.lock().expect("locks");
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::Locked { holder: None, .. })
    ));
    drop(held);
    Journal::open(dir.path()).expect("opens");
}

#[test]
fn a_lock_of_sled_s_that_is_let_go_of_late_is_waited_for() {
    // As threads of sled's do after the store is closed, under load. Our own lock is free by then.
    let dir = tempfile::tempdir().expect("a directory");
    drop(Journal::open(dir.path()).expect("creates"));
    let held = fs::File::open(dir.path().join("db")).expect("opens");
    held.lock().expect("locks");
    let begun = Instant::now();
    let late = Duration::from_millis(500);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(late);
        drop(held);
    });
    Journal::open(dir.path()).expect("waits");
    assert!(begun.elapsed() >= late, "it was locked");
    thread.join().expect("lets go");
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_named() {
    let base = tempfile::tempdir().expect("a directory");
    let file = base.path().join("file");
    fs::write(&file, "").expect("writes");
    // /proc refuses also root, for whom no mode is too strict.
    for dir in [
        file.join("journal"),
        file.clone(),
        "/proc/journal".into(),
        "/proc/1".into(),
    ] {
        match Journal::open(&dir).err().expect("refuses") {
            JournalError::NotWritable { dir: named, .. } => assert_eq!(named, dir),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn another_programs_sled_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let foreign = sled_in(dir.path());
    foreign.insert("a key", "a value").expect("inserts");
    foreign.flush().expect("flushes");
    drop(foreign);
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::Foreign { .. })
    ));
    // Neither is it taken by force, nor set aside.
    assert!(Journal::open_accepting_loss(dir.path()).is_err());
    let foreign = sled_in(dir.path());
    assert_eq!(
        foreign.get("a key").expect("reads").expect("is there"),
        "a value"
    );
}

#[test]
fn a_foreign_key_in_the_store_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    append(&mut journal, &[1]).expect("appends");
    drop(journal);
    let store = sled_in(dir.path());
    store.insert("zzz", "not ours").expect("inserts");
    store.flush().expect("flushes");
    drop(store);
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::StoreUnreadable { .. })
    ));
}

#[test]
fn a_journal_that_lost_its_anchor_is_refused_until_the_loss_is_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    append(&mut journal, &[1, 2]).expect("appends");
    drop(journal);
    fs::remove_file(dir.path().join("anchor")).expect("removes");
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::Foreign { .. })
    ));
    let (mut journal, loss) = Journal::open_accepting_loss(dir.path()).expect("opens");
    assert_eq!((loss.anchored, loss.head.seq), (None, 2));
    append(&mut journal, &[3]).expect("appends");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).expect("opens").1.head.seq, 3);
}

#[test]
fn large_entries_and_batches_stay_in_the_synced_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    // Around the pieces' size, sled's limit for a value in the log, and a whole segment.
    let sizes = [
        0, 3900, 4000, 4096, 8192, 130_000, 132_000, 600_000, 5_000_000,
    ];
    for size in sizes {
        append(&mut journal, &[size]).expect("appends");
    }
    append(&mut journal, &sizes).expect("appends");
    append(&mut journal, &[4064; 300]).expect("appends");
    let expected = payloads(
        Head::EMPTY,
        sizes.into_iter().chain(sizes).chain([4064; 300]),
    );
    assert_eq!(read_all(&journal).expect("reads"), expected);
    drop(journal);
    let (journal, _) = Journal::open(dir.path()).expect("opens");
    assert_eq!(read_all(&journal).expect("reads"), expected);
    let blobs = fs::read_dir(dir.path().join("blobs"))
        .expect("lists")
        .count();
    assert_eq!(blobs, 0, "sled keeps these apart and never syncs them");
}

#[test]
fn readers_run_beside_the_writer() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut journal, _) = Journal::open(dir.path()).expect("creates");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let reader = journal.reader();
            std::thread::spawn(move || {
                let mut read = 0;
                while read < 200 {
                    for record in reader.read(read + 1, 16).expect("reads") {
                        assert_eq!(record.seq, read + 1);
                        read += 1;
                    }
                }
                reader.verify().expect("verifies");
            })
        })
        .collect();
    for _ in 0..50 {
        append(&mut journal, &[3, 1, 4000, 100]).expect("appends");
    }
    for reader in readers {
        reader.join().expect("no reader failed");
    }
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let base = tempfile::tempdir().expect("a directory");
    let dir = base.path().join("journal");
    drop(Journal::open(&dir).expect("creates"));
    assert_eq!(
        fs::metadata(&dir).expect("is there").permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn a_full_disk_is_an_error_and_the_journal_goes_on_once_there_is_space() {
    let mount = tempfile::tempdir().expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
        .arg(mount.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no tmpfs can be mounted here");
        return;
    }
    let run = || {
        let dir = mount.path().join("journal");
        let (mut journal, _) = Journal::open(&dir).expect("creates");
        let mut acknowledged = append(&mut journal, &[10]).expect("appends");
        let filler = mount.path().join("filler");
        fs::write(&filler, vec![0; 1 << 20]).expect("fills");
        let error = loop {
            match append(&mut journal, &[50_000]) {
                Ok(head) => acknowledged = head,
                Err(error) => break error,
            }
        };
        assert!(error.is_full(), "{error}");
        assert!(matches!(
            append(&mut journal, &[1]),
            Err(JournalError::Poisoned { .. })
        ));
        assert_eq!(journal.reader().head(), acknowledged);
        fs::remove_file(&filler).expect("makes space");
        let recovery = journal.reopen().expect("reopens");
        assert_eq!(recovery.head, acknowledged);
        append(&mut journal, &[1]).expect("appends");
        journal.verify().expect("verifies");
        drop(journal);
        let (journal, _) = Journal::open(&dir).expect("opens");
        assert_eq!(journal.head().seq, acknowledged.seq + 1);
    };
    let result = std::panic::catch_unwind(run);
    let _ = Command::new("umount").arg("-l").arg(mount.path()).status();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_batches_read_back_as_they_were_appended(
        batches in prop::collection::vec(prop::collection::vec(0..9000_usize, 1..12), 1..12)
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut journal, _) = Journal::open(dir.path()).expect("creates");
        let mut expected = Vec::new();
        for batch in &batches {
            let mut head = journal.head();
            for len in batch {
                let next = payload(head, *len);
                head = head.after(&next);
                expected.push(next);
            }
            prop_assert_eq!(append(&mut journal, batch).expect("appends"), head);
        }
        prop_assert_eq!(&read_all(&journal).expect("reads"), &expected);
        drop(journal);
        let (journal, recovery) = Journal::open(dir.path()).expect("opens");
        prop_assert_eq!(recovery.head, journal.verify().expect("verifies"));
        prop_assert_eq!(&read_all(&journal).expect("reads"), &expected);
    }
}
