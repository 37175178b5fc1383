//! Claims about order, failure and recovery, on a disk in memory that fails on request.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use syva_model::command::{BootId, Command};
use syva_model::entry::{Entry, Hash, Peer};

use super::*;
use crate::record::Fault;
use crate::store::memory::{Call, Memory};

fn payload(head: Head, text: &str) -> Vec<u8> {
    let command = Command::DetachContainer {
        container: text.to_owned(),
        source: "test".to_owned(),
        generation: 1,
    };
    head.next(7, BootId([1; 16]), Peer::default(), command)
        .encode()
        .expect("encodes")
}

fn batch(mut head: Head, texts: &[&str]) -> Vec<Vec<u8>> {
    texts
        .iter()
        .map(|text| {
            let payload = payload(head, text);
            head = head.after(&payload);
            payload
        })
        .collect()
}

fn append(journal: &mut Journal, texts: &[&str]) -> Result<Head, JournalError> {
    journal.append(&batch(journal.head(), texts))
}

fn texts(journal: &Journal) -> Vec<String> {
    let records = journal.reader().read(1, usize::MAX).expect("reads");
    records
        .into_iter()
        .map(|record| match record.entry.command {
            Command::DetachContainer { container, .. } => container,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// A disk with a journal of these entries, closed.
fn disk_with(entries: &[&str]) -> Memory {
    let disk = Memory::new();
    let (mut journal, _) = disk.open().expect("opens");
    for entry in entries {
        append(&mut journal, &[entry]).expect("appends");
    }
    disk.take_calls();
    disk
}

fn anchored(disk: &Memory) -> Head {
    Anchor::read(&mut disk.clone())
        .expect("reads")
        .head
        .expect("is whole")
}

#[test]
fn the_data_is_durable_before_the_anchor_follows() {
    let disk = disk_with(&[]);
    let (mut journal, _) = disk.open().expect("opens");
    append(&mut journal, &["a", "b"]).expect("appends");
    assert_eq!(
        disk.take_calls(),
        [Call::Append(2), Call::MakeDurable, Call::Anchor(2)]
    );
}

#[test]
fn a_failed_flush_never_reaches_the_anchor_and_drops_the_batch() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    disk.fail_next_flush();
    let error = append(&mut journal, &["b", "c"]).expect_err("no space");
    assert!(error.is_full(), "{error}");
    assert!(matches!(
        error,
        JournalError::NotDurable {
            first: 2,
            last: 3,
            ..
        }
    ));
    assert_eq!(disk.take_calls(), [Call::Append(2), Call::MakeDurable]);
    assert_eq!(journal.head().seq, 1);
    assert_eq!(texts(&journal), ["a"], "readers see no batch that failed");
    assert!(matches!(
        append(&mut journal, &["d"]),
        Err(JournalError::Poisoned { .. })
    ));
    let recovery = journal.reopen().expect("reopens");
    assert_eq!((recovery.head.seq, recovery.tail.kept), (1, 0));
    append(&mut journal, &["d"]).expect("appends again");
    assert_eq!(texts(&journal), ["a", "d"]);
    assert_eq!(journal.verify().expect("verifies").seq, 2);
}

#[test]
fn a_batch_reported_as_failed_is_cut_at_reopening_even_if_the_disk_has_it() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    disk.fail_next_flush_but_keep();
    append(&mut journal, &["b"]).expect_err("no space");
    let recovery = journal.reopen().expect("reopens");
    assert_eq!(recovery.head.seq, 1);
    assert_eq!(recovery.tail.cut.expect("is cut").records, 1);
    drop(journal);
    let (journal, _) = disk.open().expect("opens");
    assert_eq!(texts(&journal), ["a"], "the cut is durable");
}

#[test]
fn a_failed_append_leaves_no_part_of_the_batch() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    disk.fail_next_append();
    append(&mut journal, &["b", "c"]).expect_err("no space");
    journal.reopen().expect("reopens");
    assert_eq!(texts(&journal), ["a"]);
}

#[test]
fn a_failed_anchor_write_acknowledges_nothing() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    disk.fail_next_anchor();
    append(&mut journal, &["b"]).expect_err("no space");
    assert_eq!(journal.head().seq, 1);
    assert_eq!(journal.reopen().expect("reopens").head.seq, 1);
    assert_eq!(texts(&journal), ["a"]);
}

#[test]
fn entries_beyond_the_anchor_that_chain_are_kept_and_anchored_after_a_sync() {
    let disk = disk_with(&["a", "b", "c"]);
    let whole = anchored(&disk);
    let (journal, _) = disk.open().expect("opens");
    let first = journal.reader().read(1, 1).expect("reads")[0].head();
    drop(journal);
    disk.set_anchor(Reading {
        head: Some(first),
        damaged: 0,
    });
    disk.take_calls();
    let (journal, recovery) = disk.open().expect("opens");
    assert_eq!(recovery.tail, Tail { kept: 2, cut: None });
    assert_eq!((recovery.anchored, recovery.head), (first, whole));
    assert_eq!(texts(&journal), ["a", "b", "c"]);
    assert_eq!(disk.take_calls(), [Call::MakeDurable, Call::Anchor(3)]);
}

#[test]
fn a_torn_tail_is_cut_and_reported_and_what_is_whole_before_it_is_kept() {
    let disk = disk_with(&["a", "b", "c", "d"]);
    let (journal, _) = disk.open().expect("opens");
    let records = journal.reader().read(1, 4).expect("reads");
    drop(journal);
    disk.set_anchor(Reading {
        head: Some(records[0].head()),
        damaged: 0,
    });
    disk.put(RawRecord {
        key: 3,
        hash: records[2].hash,
        payload: records[2].payload[..5].to_vec(),
    });
    let (journal, recovery) = disk.open().expect("opens");
    assert_eq!(recovery.tail.kept, 1);
    let cut = recovery.tail.cut.expect("is cut");
    assert_eq!((cut.from, cut.records), (3, 2));
    assert!(cut.because.contains("damaged"), "{}", cut.because);
    assert_eq!(texts(&journal), ["a", "b"]);
    drop(journal);
    let (_, again) = disk.open().expect("opens");
    assert_eq!(again.tail, Tail::default(), "once is enough");
}

#[test]
fn a_break_at_or_before_the_anchor_refuses_and_names_the_entry() {
    for bad in 1..=3 {
        let disk = disk_with(&["a", "b", "c"]);
        let mut raw = Store::read(&disk, bad, 1).expect("reads").remove(0);
        raw.payload[9] ^= 1;
        disk.put(raw);
        match disk.open().err().expect("refuses") {
            JournalError::BadEntry {
                seq,
                fault: Fault::Damaged { .. },
                ..
            } => assert_eq!(seq, bad),
            other => panic!("{other}"),
        }
        assert_eq!(disk.take_calls(), [], "a refusal writes nothing");
    }
}

#[test]
fn a_journal_shorter_than_acknowledged_is_refused() {
    for last in 0..3 {
        let disk = disk_with(&["a", "b", "c"]);
        disk.shorten(last);
        match disk.open().err().expect("refuses") {
            JournalError::Short {
                anchored, found, ..
            } => {
                assert_eq!((anchored.seq, found.seq), (3, last));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn another_journal_of_the_same_length_is_refused() {
    let (disk, other) = (disk_with(&["a", "b"]), disk_with(&["a", "x"]));
    disk.set_anchor(Reading {
        head: Some(anchored(&other)),
        damaged: 0,
    });
    assert!(matches!(disk.open(), Err(JournalError::Different { .. })));
}

#[test]
fn an_intact_entry_of_a_newer_version_is_refused_and_never_cut() {
    for beyond_the_anchor in [false, true] {
        let disk = disk_with(&["a"]);
        let mut newer = payload(anchored(&disk), "b");
        newer[0] += 1;
        let raw = RawRecord::new(anchored(&disk), newer);
        if !beyond_the_anchor {
            disk.set_anchor(Reading {
                head: Some(Head {
                    seq: 2,
                    hash: raw.hash,
                }),
                damaged: 0,
            });
        }
        disk.put(raw);
        for refused in [
            disk.open().map(|_| ()),
            disk.open_accepting_loss().map(|_| ()),
        ] {
            match refused.expect_err("refuses") {
                JournalError::BadEntry {
                    seq: 2,
                    fault: Fault::Newer(2),
                    ..
                } => {}
                other => panic!("{other}"),
            }
        }
        assert_eq!(
            Store::last_key(&disk).expect("reads"),
            Some(2),
            "it is still there"
        );
    }
}

#[test]
fn a_broken_chain_a_misplaced_entry_and_a_gap_are_told_apart() {
    let fault = |raw: RawRecord| {
        let disk = disk_with(&["a", "b"]);
        disk.set_anchor(Reading {
            head: Some(Head {
                seq: 3,
                hash: raw.hash,
            }),
            damaged: 0,
        });
        disk.put(raw);
        match disk.open().err().expect("refuses") {
            JournalError::BadEntry { fault, seq: 3, .. } => fault,
            other => panic!("{other}"),
        }
    };
    let head = |seq| Head {
        seq,
        hash: Hash::ZERO,
    };
    let under = |key, payload: Vec<u8>| RawRecord {
        key,
        hash: Hash::of(&payload),
        payload,
    };
    let fine = payload(head(2), "c");
    assert!(matches!(
        fault(under(3, fine.clone())),
        Fault::Unchained { .. }
    ));
    assert!(matches!(
        fault(under(3, payload(head(7), "c"))),
        Fault::Misplaced { inside: 8 }
    ));
    assert!(matches!(
        fault(under(9, fine)),
        Fault::Missing { next: Some(9) }
    ));
    assert!(matches!(
        fault(under(3, vec![1, 0xc1])),
        Fault::NotUnderstood(_)
    ));
}

#[test]
fn a_record_before_the_first_is_a_fault_too() {
    let disk = disk_with(&["a"]);
    disk.put(RawRecord {
        key: 0,
        hash: Hash::ZERO,
        payload: Vec::new(),
    });
    assert!(matches!(
        disk.open(),
        Err(JournalError::BadEntry {
            seq: 1,
            fault: Fault::Missing { next: Some(0) },
            ..
        })
    ));
}

#[test]
fn an_anchor_with_one_damaged_slot_is_used_reported_and_repaired() {
    let disk = disk_with(&["a", "b"]);
    let head = anchored(&disk);
    disk.set_anchor(Reading {
        head: Some(head),
        damaged: 1,
    });
    let (_, recovery) = disk.open().expect("opens");
    assert!(recovery.anchor_damaged);
    let (_, again) = disk.open().expect("opens");
    assert!(!again.anchor_damaged);
}

#[test]
fn without_an_anchor_that_can_be_read_the_journal_is_refused() {
    let disk = disk_with(&["a"]);
    disk.set_anchor(Reading {
        head: None,
        damaged: 2,
    });
    assert!(matches!(
        disk.open(),
        Err(JournalError::AnchorDamaged { .. })
    ));
}

#[test]
fn only_what_continues_the_head_is_appended_and_a_refusal_changes_nothing() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    let head = journal.head();
    let good = payload(head, "b");
    let elsewhere = Head {
        hash: Hash::ZERO,
        ..head
    };
    let bad = [
        payload(elsewhere, "b"),
        payload(Head { seq: 5, ..head }, "b"),
        good[..9].to_vec(),
        Vec::new(),
    ];
    for bad in bad {
        // The same twice does not chain either.
        for batch in [vec![bad.clone()], vec![good.clone(), good.clone()]] {
            assert!(matches!(
                journal.append(&batch),
                Err(JournalError::NotNext { .. })
            ));
        }
    }
    assert_eq!(disk.take_calls(), []);
    assert_eq!(journal.append(&[]).expect("nothing to do"), head);
    assert_eq!(journal.append(&[good]).expect("appends").seq, 2);
}

#[test]
fn accepted_loss_is_refused_again_until_an_entry_about_it_is_durable() {
    let disk = disk_with(&["a", "b", "c"]);
    let acknowledged = anchored(&disk);
    disk.shorten(1);
    for _ in 0..2 {
        let (journal, loss) = disk.open_accepting_loss().expect("opens");
        assert_eq!((loss.anchored, loss.head.seq), (Some(acknowledged), 1));
        assert!(!loss.is_nothing());
        assert_eq!(texts(&journal), ["a"]);
        drop(journal);
        assert!(matches!(disk.open(), Err(JournalError::Short { .. })));
    }
    let (mut journal, _) = disk.open_accepting_loss().expect("opens");
    append(&mut journal, &["b and c were lost"]).expect("appends");
    drop(journal);
    let (journal, recovery) = disk.open().expect("opens");
    assert_eq!(recovery.head.seq, 2);
    assert_eq!(texts(&journal), ["a", "b and c were lost"]);
}

#[test]
fn accepting_loss_where_nothing_is_lost_says_so() {
    let disk = disk_with(&["a"]);
    let (_, loss) = disk.open_accepting_loss().expect("opens");
    assert!(loss.is_nothing(), "{loss:?}");
}

#[test]
fn accepting_loss_cuts_a_damaged_entry_and_all_behind_it() {
    let disk = disk_with(&["a", "b", "c"]);
    let mut raw = Store::read(&disk, 2, 1).expect("reads").remove(0);
    raw.payload.truncate(3);
    disk.put(raw);
    let (journal, loss) = disk.open_accepting_loss().expect("opens");
    let cut = loss.cut.expect("is cut");
    assert_eq!((cut.from, cut.records), (2, 2));
    assert_eq!(texts(&journal), ["a"]);
}

#[test]
fn a_reader_names_the_first_bad_entry_and_reads_what_is_good() {
    let disk = disk_with(&["a", "b", "c", "d"]);
    let (journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    let mut raw = Store::read(&disk, 3, 1).expect("reads").remove(0);
    raw.payload[30] ^= 1;
    disk.put(raw);
    assert_eq!(reader.read(1, 2).expect("reads").len(), 2);
    for from in [1, 3, 4] {
        assert!(
            matches!(
                reader.read(from, 9),
                Err(JournalError::BadEntry { seq: 3, .. })
            ),
            "from {from}"
        );
    }
    assert!(matches!(
        journal.verify(),
        Err(JournalError::BadEntry { seq: 3, .. })
    ));
    assert_eq!(
        reader.read_raw(0, 9).expect("reads").len(),
        4,
        "export takes all"
    );
    disk.shorten(2);
    assert!(matches!(
        journal.verify(),
        Err(JournalError::BadEntry {
            seq: 3,
            fault: Fault::Missing { next: None },
            ..
        })
    ));
    assert!(reader.read(5, 9).expect("past the end").is_empty());
}

#[test]
fn a_slow_flush_stops_no_reader_and_shows_it_nothing_early() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    disk.slow_flush(Duration::from_millis(400));
    let writer = std::thread::spawn(move || {
        append(&mut journal, &["b"]).expect("appends");
        journal
    });
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(reader.read(1, 9).expect("reads").len(), 1);
    assert!(begun.elapsed() < Duration::from_millis(200));
    let _journal = writer.join().expect("ends");
    assert_eq!(reader.read(1, 9).expect("reads").len(), 2);
}

#[test]
fn a_reader_outlives_a_reopening_and_not_the_journal() {
    fn shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    shareable(&reader);
    journal.reopen().expect("reopens");
    assert_eq!(reader.read(1, 9).expect("reads").len(), 1);
    drop(journal);
    assert!(matches!(reader.read(1, 9), Err(JournalError::Closed)));
}

proptest! {
    /// Whatever is appended, and whichever steps fail, what was acknowledged and nothing else is
    /// there after every reopening, and it chains.
    #[test]
    fn acknowledged_batches_and_no_others_are_in_the_journal(
        steps in prop::collection::vec((0..5_u8, prop::collection::vec("[a-z]{0,40}", 1..5)), 1..40)
    ) {
        let disk = Memory::new();
        let (mut journal, _) = disk.open().expect("opens");
        let mut acknowledged: Vec<String> = Vec::new();
        for (step, batch) in &steps {
            match step {
                1 => disk.fail_next_append(),
                2 => disk.fail_next_flush(),
                3 => disk.fail_next_flush_but_keep(),
                4 => disk.fail_next_anchor(),
                _ => {}
            }
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            match append(&mut journal, &batch) {
                Ok(_) => acknowledged.extend(batch.iter().map(|text| (*text).to_owned())),
                Err(_) => drop(journal.reopen().expect("reopens")),
            }
            prop_assert_eq!(&texts(&journal), &acknowledged);
        }
        prop_assert_eq!(journal.verify().expect("verifies").seq as usize, acknowledged.len());
        drop(journal);
        let (journal, recovery) = disk.open().expect("opens");
        prop_assert_eq!(recovery.tail, Tail::default());
        prop_assert_eq!(texts(&journal), acknowledged);
    }
}

#[test]
fn an_entry_is_built_from_the_head_and_its_payload_moves_it() {
    let first = payload(Head::EMPTY, "a");
    let entry = Entry::decode(&first).expect("decodes");
    assert_eq!((entry.seq, entry.prev), (1, Hash::ZERO));
    assert_eq!(Head::EMPTY.after(&first).hash, Hash::of(&first));
}
