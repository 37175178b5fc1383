//! Accepting loss: the one way past a journal that is refused.

use syva_model::entry::Hash;
use syva_model::state::State;

use super::pruning::{folded, go_on};
use super::*;
use crate::journal::loss::Loss;
use crate::journal::prune::Before;

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

/// A journal that folds, stopped with a snapshot of entry `of`: a boot, and zones.
fn stopped(entries: u64, of: u64) -> (Memory, State) {
    let disk = Memory::new();
    let (mut journal, _) = disk.open().expect("opens");
    let (mut state, mut saved) = (State::default(), State::default());
    for seq in 1..=entries {
        state = go_on(&mut journal, state, 1);
        if seq == of {
            saved = state.clone();
        }
    }
    disk.snapshots().save(&saved).expect("saves");
    (disk, saved)
}

fn accept(disk: &Memory) -> Loss {
    let (mut journal, loss) = disk.open_accepting_loss().expect("opens");
    let accepted = journal.accept(loss.clone(), "a test", &Peer::default(), 9, &mut |_| ());
    accepted.expect("is accepted");
    loss
}

fn damage(disk: &Memory, seq: u64) {
    let mut raw = Store::read(disk, seq, 1).expect("reads").remove(0);
    raw.payload[20] ^= 1;
    disk.put(raw);
}

#[test]
fn history_that_a_snapshot_stands_for_is_let_go_and_the_state_and_what_follows_are_kept() {
    for (entries, of) in [(10, 6), (10, 9), (10, 10)] {
        let (disk, saved) = stopped(entries, of);
        let before = folded(&disk.open().expect("opens").0);
        damage(&disk, 3);
        let loss = accept(&disk);
        assert_eq!((loss.head.seq, &loss.cut), (entries, &None), "{of}");
        assert_eq!(loss.history.map(|plan| plan.head.seq), Some(of));
        let (journal, recovery) = disk.open().expect("opens");
        assert_eq!(recovery.head.seq, entries + 2, "the loss, and the pruning");
        assert_eq!(folded(&journal).zones, before.zones);
        assert_eq!(journal.reader().beginning().expect("is whole"), saved);
        assert_eq!(journal.verify().expect("is whole"), recovery.head);
        let told = journal.reader().read(entries + 1, 1).expect("reads");
        assert!(matches!(
            &told[0].entry.command,
            Command::AcceptLoss { acknowledged: Some(10), because } if because == "a test"
        ));
    }
}

#[test]
fn of_a_store_that_is_gone_the_state_is_kept_that_the_anchor_vouches_for() {
    let (disk, saved) = stopped(5, 5);
    disk.shorten(0);
    let loss = accept(&disk);
    assert_eq!(loss.history.map(|plan| plan.head.seq), Some(5));
    let (journal, _) = disk.open().expect("opens");
    assert_eq!(folded(&journal).zones, saved.zones);
    assert_eq!(journal.head().seq, 7);
}

#[test]
fn a_snapshot_that_nothing_ties_to_the_journal_stands_for_nothing() {
    let (other, _) = stopped(8, 8);
    let state = other.snapshots().load().expect("reads").expect("one");
    for (seq, head) in [(5, Hash::of(b"another")), (8, state.head)] {
        let mut liar = state.clone();
        (liar.seq, liar.head) = (seq, head);
        let (disk, _) = stopped(6, 6);
        disk.snapshots().save(&liar).expect("saves");
        damage(&disk, 3);
        let loss = accept(&disk);
        assert!(loss.history.is_none());
        assert_eq!(
            (loss.head.seq, loss.cut.map(|cut| cut.records)),
            (2, Some(4))
        );
    }
}

#[test]
fn an_empty_journal_says_what_it_lost() {
    let (disk, _) = stopped(3, 3);
    disk.forget_snapshot();
    disk.shorten(0);
    let loss = accept(&disk);
    assert_eq!((loss.head, loss.history.is_none()), (Head::EMPTY, true));
    let (journal, _) = disk.open().expect("opens");
    let state = folded(&journal);
    assert_eq!((state.seq(), state.boot), (1, None), "a boot comes next");
}

#[test]
fn what_is_left_after_everything_was_lost_can_be_pruned_before_a_daemon_starts() {
    let (disk, _) = stopped(3, 3);
    disk.shorten(0);
    disk.forget_snapshot();
    accept(&disk);
    let (mut journal, _) = disk.open().expect("opens");
    let plan = journal.plan_pruning(Before::Seq(2), &mut |_| ());
    let pruned = journal.prune(plan.expect("plans"), Peer::default(), 10, &mut |_| ());
    assert_eq!(pruned.expect("prunes").head.seq, 1);
    drop(journal);
    let (journal, _) = disk.open().expect("opens");
    let state = folded(&journal);
    assert_eq!((state.seq(), state.boot), (2, None), "no boot yet to be in");
}
