//! What is left of a journal whose oldest entries were pruned.

use syva_model::name::ZoneName;
use syva_model::state::State;

use super::prune::{Before, PruneError};
use super::*;

/// A journal that folds: a boot, then zones, an entry an hour.
fn zones(count: u64) -> (Memory, State) {
    let disk = Memory::new();
    let (mut journal, _) = disk.open().expect("opens");
    let state = go_on(&mut journal, State::default(), count);
    (disk, state)
}

pub fn go_on(journal: &mut Journal, mut state: State, count: u64) -> State {
    for _ in 0..count {
        let head = journal.head();
        let command = match head.seq {
            0 => Command::Boot {
                claims: vec![],
                host_sockets: vec![],
            },
            n => Command::RegisterZone {
                zone: ZoneName::new(format!("zone{n}")).expect("valid"),
                policy: None,
                claims: vec![],
                host_sockets: vec![],
            },
        };
        let time = (head.seq + 1) * 3_600;
        let entry = head.next(time, BootId([1; 16]), Peer::default(), command);
        let payload = entry.encode().expect("encodes");
        let hash = head.after(&payload).hash;
        state.fold(&entry, hash).expect("folds");
        journal.append(&[payload]).expect("appends");
    }
    state
}

fn prune(journal: &mut Journal, before: Before) -> Result<(), PruneError> {
    let plan = journal.plan_pruning(before, &mut |_| ())?;
    journal.prune(plan, Peer::default(), 1, &mut |_| ())?;
    Ok(())
}

/// The state by folding what there is.
pub fn folded(journal: &Journal) -> State {
    let reader = journal.reader();
    let mut state = reader.beginning().expect("is understood");
    for record in reader.read(state.seq() + 1, usize::MAX).expect("reads") {
        state.fold(&record.entry, record.hash).expect("folds");
    }
    state
}

#[test]
fn the_state_is_the_same_and_the_chain_whole_behind_the_state_that_stands_for_the_rest() {
    for (before, first) in [
        (Before::Seq(5), 5),
        (Before::Time(5 * 3_600), 5),
        (Before::Time(5 * 3_600 + 1), 6),
        (Before::Seq(11), 11),
    ] {
        let (disk, state) = zones(10);
        let (mut journal, _) = disk.open().expect("opens");
        prune(&mut journal, before).expect("prunes");
        let now = folded(&journal);
        assert_eq!(now.zones, state.zones);
        assert_eq!(now.seq(), 11, "pruning is an entry");
        drop(journal);
        let (mut journal, _) = disk.open().expect("opens again");
        assert_eq!(folded(&journal), now);
        assert_eq!(journal.verify().expect("is whole").seq, 11);
        let reader = journal.reader();
        assert_eq!(reader.base().seq + 1, first);
        assert!(matches!(
            reader.read(first - 1, 1),
            Err(JournalError::Pruned { seq, first: told }) if seq == first - 1 && told == first
        ));
        assert_eq!(reader.read(first, 1).expect("reads")[0].seq, first);
        // And it goes on, and can be pruned again.
        let state = go_on(&mut journal, now, 5);
        prune(&mut journal, Before::Seq(14)).expect("prunes");
        drop(journal);
        let (journal, _) = disk.open().expect("opens");
        assert_eq!(folded(&journal).zones, state.zones);
        assert_eq!(journal.reader().base().seq, 13);
    }
}

#[test]
fn what_cannot_be_pruned_is_said_and_nothing_changes() {
    let (disk, state) = zones(4);
    let (mut journal, _) = disk.open().expect("opens");
    let nothing = |told| matches!(told, Err(PruneError::Nothing { .. }));
    assert!(nothing(prune(&mut journal, Before::Seq(1))));
    assert!(nothing(prune(&mut journal, Before::Time(3_600))));
    assert!(matches!(
        prune(&mut journal, Before::Seq(6)),
        Err(PruneError::Beyond { asked: 6, last: 4 })
    ));
    prune(&mut journal, Before::Seq(3)).expect("prunes");
    assert!(nothing(prune(&mut journal, Before::Seq(3))));
    disk.fail_next_append();
    assert!(prune(&mut journal, Before::Seq(4)).is_err());
    drop(journal);
    // The horizon that was written for it is nobody's.
    let (journal, _) = disk.open().expect("opens");
    assert_eq!(journal.reader().base().seq, 2);
    assert_eq!(folded(&journal).zones, state.zones);
}

#[test]
fn a_loss_that_reaches_the_entry_that_pruned_is_not_accepted() {
    let (disk, _) = zones(6);
    let (mut journal, _) = disk.open().expect("opens");
    prune(&mut journal, Before::Seq(3)).expect("prunes");
    let bad = journal.reader().read_raw(4, 1).expect("reads").remove(0);
    drop(journal);
    disk.put(RawRecord {
        payload: b"damaged".to_vec(),
        ..bad
    });
    assert!(disk.open().is_err());
    assert!(matches!(
        disk.open_accepting_loss(),
        Err(JournalError::BadHorizon { first: 3, .. })
    ));
}

#[test]
fn a_snapshot_of_the_horizon_itself_is_folded_on_from() {
    let (disk, _) = zones(4);
    let (mut journal, _) = disk.open().expect("opens");
    prune(&mut journal, Before::Seq(5)).expect("prunes");
    let reader = journal.reader();
    let beginning = reader.beginning().expect("is understood");
    disk.snapshots().save(&beginning).expect("saves");
    let found = crate::snapshot::trusted(&disk.snapshots(), &reader).expect("is whole");
    assert_eq!(found, Some(beginning));
}

#[test]
fn a_clock_that_was_set_back_prunes_nothing_behind_the_first_entry_to_keep() {
    let disk = Memory::new();
    let (mut journal, _) = disk.open().expect("opens");
    // The third entry says that it is older than the first.
    for time in [10, 20, 5, 30] {
        let boot = Command::Boot {
            claims: vec![],
            host_sockets: vec![],
        };
        let head = journal.head();
        let boot_id = BootId([head.seq as u8; 16]);
        let entry = head.next(time, boot_id, Peer::default(), boot);
        journal
            .append(&[entry.encode().expect("encodes")])
            .expect("appends");
    }
    prune(&mut journal, Before::Time(15)).expect("prunes");
    assert_eq!(journal.reader().base().seq, 1);
    assert_eq!(journal.verify().expect("is whole").seq, 5);
}
