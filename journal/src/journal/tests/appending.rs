//! In which order things become durable, and what a failure on the way leaves.

use proptest::prelude::*;
use syva_model::entry::{Entry, Hash};

use super::*;
use crate::store::memory::Call;

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
