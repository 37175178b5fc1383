//! What is found at opening: torn tails, breaks, shorter or other journals, damaged anchors.

use syva_model::entry::Hash;

use super::*;
use crate::record::Fault;
use crate::store::memory::Call;

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
