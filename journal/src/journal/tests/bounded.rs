//! A start with a snapshot reads what came after it, and of the history before it a sample.

use syva_model::entry::Hash;
use syva_model::state::State;

use super::*;

const ENTRIES: usize = 20_000;

/// A long journal and a snapshot of its last but ten; the state in it is nobody's.
fn long() -> (Memory, Vec<RawRecord>) {
    let disk = Memory::new();
    let (mut journal, _) = disk.open().expect("opens");
    let mut payloads = Vec::with_capacity(ENTRIES);
    let mut head = Head::EMPTY;
    for _ in 0..ENTRIES {
        let payload = payload(head, "x");
        head = head.after(&payload);
        payloads.push(payload);
    }
    journal.append(&payloads).expect("appends");
    let mut before = Head::EMPTY;
    let records: Vec<RawRecord> = payloads
        .into_iter()
        .map(|payload| {
            let record = RawRecord::new(before, payload);
            before = before.after(&record.payload);
            record
        })
        .collect();
    snapshot(&disk, &records[ENTRIES - 11]);
    disk.take_records_read();
    (disk, records)
}

#[allow(
    clippy::field_reassign_with_default,
    reason = "not all its fields are public"
)]
fn snapshot(disk: &Memory, of: &RawRecord) {
    let mut state = State::default();
    state.seq = of.key;
    state.head = of.hash;
    disk.snapshots().save(&state).expect("saves");
}

#[test]
fn a_start_does_not_read_the_whole_history() {
    let (disk, records) = long();
    let (journal, recovery) = disk.open().expect("opens");
    assert_eq!(recovery.checked_after, records[ENTRIES - 11].key);
    let read = disk.take_records_read();
    assert!(read < 200, "{read} records read");
    assert_eq!(journal.verify().expect("is whole").seq, ENTRIES as u64);
    assert!(disk.take_records_read() >= ENTRIES, "verify reads all");
    drop(journal);
    // Without it there is nothing to go by.
    disk.snapshots().forget_before(u64::MAX);
    assert_eq!(disk.open().expect("opens").1.checked_after, 0);
    assert!(disk.take_records_read() >= ENTRIES);
}

#[test]
fn a_store_that_lost_a_part_of_its_history_is_refused_all_the_same() {
    let (disk, records) = long();
    // As when sled zeroes a region: a run of entries is gone, at the front, within, at the end.
    for (lost, first_bad) in [(0..1000, 1), (7000..8000, 7001), (19_995..20_000, 19_996)] {
        for record in &records[lost.clone()] {
            disk.lose(record.key);
        }
        let Err(error) = disk.open() else {
            panic!("{lost:?} is gone, and it opens");
        };
        let refused = error.to_string();
        assert!(
            refused.contains(&format!("entry {first_bad}")) || refused.contains("shorter"),
            "{refused}"
        );
        for record in &records[lost] {
            disk.put(record.clone());
        }
    }
    disk.shorten(0);
    assert!(matches!(disk.open(), Err(JournalError::Short { .. })));
}

#[test]
fn a_snapshot_that_lies_about_the_journal_bounds_nothing() {
    let (disk, records) = long();
    let lie = |seq: u64, hash: Hash| {
        let mut record = records[100].clone();
        (record.key, record.hash) = (seq, hash);
        record
    };
    for liar in [
        lie(101, Hash::of(b"another")),
        lie(ENTRIES as u64 + 1, records[100].hash),
        lie(0, Hash::ZERO),
    ] {
        snapshot(&disk, &liar);
        let (_, recovery) = disk.open().expect("opens");
        assert_eq!(recovery.checked_after, 0, "{}", liar.key);
    }
}
