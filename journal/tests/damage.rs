//! Claims about damage on disk: a flipped byte or a zeroed region anywhere is refused or changes
//! nothing; no journal ever opens with other content than what was acknowledged.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{append, copy, payloads, read_all};
use syva_journal::store::StoreError;
use syva_journal::{Head, Journal, JournalError};

const ENTRIES: usize = 120;

/// A journal of small entries and a few in pieces, written one by one and in batches.
fn journal_in(dir: &Path, entries: usize) -> Vec<Vec<u8>> {
    let (mut journal, _) = Journal::open(dir).expect("creates");
    let sizes: Vec<usize> = (0..entries)
        .map(|n| if n % 17 == 0 { 9000 } else { n % 300 })
        .collect();
    for batch in sizes.chunks(5) {
        append(&mut journal, batch).expect("appends");
    }
    payloads(Head::EMPTY, sizes)
}

/// Opens a damaged copy: it is refused, or it holds exactly what was acknowledged.
fn is_refused(dir: &Path, acknowledged: &[Vec<u8>], what: &str) -> bool {
    match Journal::open(dir) {
        Err(_) => true,
        Ok((journal, recovery)) => {
            let read = read_all(&journal).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(
                read == acknowledged,
                "{what}: a wrong journal opened: {recovery:?}"
            );
            false
        }
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("lists")
        .map(|item| item.expect("lists"))
        .filter(|item| item.file_type().expect("has one").is_file())
        .map(|item| item.file_name().into_string().expect("is text"))
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

/// Flips bytes all over the files of `whole` and returns how many flips were refused.
fn flip_everywhere(base: &Path, whole: &Path, acknowledged: &[Vec<u8>], samples: usize) -> u32 {
    let (mut refused, mut harmless) = (0, 0);
    for name in files(whole) {
        let bytes = fs::read(whole.join(&name)).expect("reads");
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let step = (used / samples).max(1);
        for at in (0..used).step_by(step).chain([used.saturating_sub(1)]) {
            let dir = base.join("copy");
            copy(whole, &dir);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(dir.join(&name), &damaged).expect("writes");
            if is_refused(&dir, acknowledged, &format!("{name} at {at}")) {
                refused += 1;
            } else {
                harmless += 1;
            }
            fs::remove_dir_all(&dir).expect("removes");
        }
    }
    println!("{refused} flips refused, {harmless} harmless");
    refused
}

#[test]
fn a_flipped_byte_anywhere_never_opens_as_a_wrong_journal() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let acknowledged = journal_in(&whole, ENTRIES);
    // As a killed daemon leaves it, where sled reads its log.
    assert!(flip_everywhere(base.path(), &whole, &acknowledged, 150) > 100);
    // As it is once sled has written a snapshot of its page table, which it then reads instead.
    drop(Journal::open(&whole).expect("opens"));
    assert!(flip_everywhere(base.path(), &whole, &acknowledged, 150) > 100);
}

#[test]
fn zeroed_regions_and_lost_files_are_refused() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let acknowledged = journal_in(&whole, ENTRIES);
    let log = fs::read(whole.join("db")).expect("reads");
    let used = log
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("is not empty");
    type Damage<'a> = Box<dyn Fn(&Path) + 'a>;
    let zeroed = |from: usize, to: usize| -> Damage<'_> {
        let mut damaged = log.clone();
        damaged[from..to].fill(0);
        Box::new(move |dir| fs::write(dir.join("db"), &damaged).expect("writes"))
    };
    let cut = |to: usize| -> Damage<'_> {
        let damaged = log[..to].to_vec();
        Box::new(move |dir| fs::write(dir.join("db"), &damaged).expect("writes"))
    };
    let snapshots = |dir: &Path| {
        for name in files(dir).iter().filter(|name| name.starts_with("snap.")) {
            fs::remove_file(dir.join(name)).expect("removes");
        }
    };
    let damages: Vec<(&str, Damage<'_>)> = vec![
        ("all zero", zeroed(0, log.len())),
        ("the first page zero", zeroed(0, 4096)),
        ("the second half zero", zeroed(used / 2, log.len())),
        ("the last page zero", zeroed(used - 4000, used + 1)),
        ("a page amid zero", zeroed(used / 2, used / 2 + 4096)),
        ("emptied", cut(0)),
        ("cut in half", cut(used / 2)),
        (
            "gone",
            Box::new(|dir| fs::remove_file(dir.join("db")).expect("removes")),
        ),
        (
            "every file of sled's gone",
            Box::new(|dir| {
                fs::remove_file(dir.join("db")).expect("removes");
                fs::remove_file(dir.join("conf")).expect("removes");
                fs::remove_dir_all(dir.join("blobs")).expect("removes");
            }),
        ),
    ];
    for (what, damage) in &damages {
        for without_snapshots in [false, true] {
            let dir = base.path().join("copy");
            copy(&whole, &dir);
            damage(&dir);
            if without_snapshots {
                snapshots(&dir);
            }
            assert!(is_refused(&dir, &acknowledged, what), "{what} opened");
            // Sled's repairs do not make it acceptable the second time either.
            assert!(
                is_refused(&dir, &acknowledged, what),
                "{what} opened at the second try"
            );
            fs::remove_dir_all(&dir).expect("removes");
        }
    }
}

#[test]
fn a_store_that_panics_sled_is_an_error_and_frees_the_directory() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let acknowledged = journal_in(&whole, 1000);
    let log = fs::read(whole.join("db")).expect("reads");
    let mut panicked = 0;
    for at in (0..log.len()).step_by(log.len() / 40) {
        let dir = base.path().join("copy");
        copy(&whole, &dir);
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        fs::write(dir.join("db"), &damaged).expect("writes");
        if let Err(JournalError::StoreUnreadable { source, .. }) = Journal::open(&dir) {
            panicked += u32::from(matches!(source, StoreError::Panicked { .. }));
            // The same process opens the directory again once it is whole.
            fs::remove_dir_all(&dir).expect("removes");
            copy(&whole, &dir);
            assert!(!is_refused(&dir, &acknowledged, "restored"));
        }
        fs::remove_dir_all(&dir).expect("removes");
    }
    println!("{panicked} panics of sled's caught");
    assert!(
        panicked > 0,
        "sled took every flip: this test has lost its object"
    );
}

#[test]
fn what_can_be_read_of_a_damaged_store_is_kept_when_its_loss_is_accepted() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let acknowledged = journal_in(&whole, 1000);
    // With a snapshot sled opens without reading all of its log, and meets the damage later.
    drop(Journal::open(&whole).expect("opens"));
    let log = fs::read(whole.join("db")).expect("reads");
    let mut kept = 0;
    for at in (0..log.len()).step_by(log.len() / 20) {
        let dir = base.path().join("copy");
        copy(&whole, &dir);
        let mut damaged = log.clone();
        damaged[at] ^= 0x10;
        fs::write(dir.join("db"), &damaged).expect("writes");
        if let Err(JournalError::StoreUnreadable { .. }) = Journal::open(&dir) {
            let (mut journal, loss) = Journal::open_accepting_loss(&dir).expect("opens");
            let read = read_all(&journal).expect("reads");
            assert!(read == acknowledged[..read.len()], "byte {at}");
            assert!(loss.set_aside.expect("was moved").join("db").is_file());
            kept = kept.max(read.len());
            append(&mut journal, &[1]).expect("appends");
            drop(journal);
            let head = Journal::open(&dir).expect("opens").1.head;
            assert_eq!(head.seq, read.len() as u64 + 1);
        }
        fs::remove_dir_all(&dir).expect("removes");
    }
    assert!(kept > 0, "nothing was kept of any store");
}

#[test]
fn a_journal_past_reading_is_set_aside_when_its_loss_is_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    journal_in(dir.path(), ENTRIES);
    // Sled cannot open a log that is a directory.
    fs::remove_file(dir.path().join("db")).expect("removes");
    fs::create_dir(dir.path().join("db")).expect("makes");
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::StoreUnreadable { .. })
    ));
    let (mut journal, loss) = Journal::open_accepting_loss(dir.path()).expect("opens");
    assert_eq!(loss.anchored.expect("is whole").seq, ENTRIES as u64);
    assert_eq!(loss.head, Head::EMPTY);
    assert!(loss.set_aside.expect("was moved").join("db").is_dir());
    append(&mut journal, &[1]).expect("appends");
    drop(journal);
    assert_eq!(Journal::open(dir.path()).expect("opens").1.head.seq, 1);
}

#[test]
fn one_damaged_slot_of_the_anchor_opens_and_two_refuse() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = base.path().join("whole");
    let acknowledged = journal_in(&whole, ENTRIES);
    let anchor = fs::read(whole.join("anchor")).expect("reads");
    let flipped = |places: &[usize]| {
        let dir = base.path().join("copy");
        let _ = fs::remove_dir_all(&dir);
        copy(&whole, &dir);
        let mut bytes = anchor.clone();
        for place in places {
            bytes[*place] ^= 4;
        }
        fs::write(dir.join("anchor"), bytes).expect("writes");
        dir
    };
    for place in [0, 12, 30, 60, 95, 4096, 4096 + 30, 4096 + 95] {
        let dir = flipped(&[place]);
        let (journal, recovery) = Journal::open(&dir).expect("opens with the other slot");
        assert!(recovery.anchor_damaged);
        assert!(read_all(&journal).expect("reads") == acknowledged);
        drop(journal);
        assert!(
            !Journal::open(&dir).expect("opens").1.anchor_damaged,
            "it was repaired"
        );
    }
    assert!(matches!(
        Journal::open(&flipped(&[30, 4096 + 30])),
        Err(JournalError::AnchorDamaged { .. })
    ));
}
