//! Claims about the ledger, on a journal in memory.

use syva_journal::{Memory, snapshot};
use syva_model::kernel::Capacity;
use syva_model::name::ZoneName;

use super::saving::SNAPSHOT_EVERY;
use super::*;
use crate::park::Park;

fn facts(boot: u8) -> Facts {
    Facts {
        node: Node {
            capacity: Capacity::default(),
            engine_paths: Vec::new(),
            own_cgroup: "/own".into(),
            init_cgroup: "/init".into(),
        },
        boot: BootId([boot; 16]),
        clock: || 0,
    }
}

fn ledger(disk: &Memory, boot: u8) -> Ledger<u8> {
    let (journal, _) = disk.open().expect("opens");
    let lent = Park::new(journal).lend().expect("parked");
    Ledger::open(lent, facts(boot)).expect("folds")
}

fn register(name: &str) -> Command {
    Command::RegisterZone {
        zone: ZoneName::new(name).expect("a name"),
        policy: None,
        claims: Vec::new(),
        host_sockets: Vec::new(),
    }
}

#[test]
fn a_command_that_is_admitted_and_does_not_fold_drops_the_batch_and_is_due_for_it() {
    let disk = Memory::new();
    let mut first = ledger(&disk, 1);
    let boot = Command::Boot {
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    first.admit(boot, Peer::default(), 0).expect("admitted");
    first.flush().expect("durable");
    drop(first);
    // Another boot without its entry: every command of it is refused by the fold.
    let mut ledger = ledger(&disk, 2);
    let told = ledger.admit(register("web"), Peer::default(), 1);
    assert!(matches!(told, Err((1, CommandError::NotJournaled(_)))));
    assert!(ledger.is_due(), "though nobody waits");
    let told = ledger.admit(register("db"), Peer::default(), 2);
    assert!(matches!(told, Err((2, CommandError::NotJournaled(_)))));
    let failed = ledger.flush().expect_err("dropped");
    assert_eq!(failed.answers, []);
    ledger.reload().expect("reads");
    assert!(!ledger.is_due());
    assert_eq!((ledger.state().seq(), ledger.state().zones.len()), (1, 0));
    let boot = Command::Boot {
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    ledger.admit(boot, Peer::default(), 3).expect("admitted");
    ledger
        .admit(register("web"), Peer::default(), 4)
        .expect("admitted");
    assert_eq!(ledger.flush().expect("durable").answers.len(), 2);
}

#[test]
fn a_batch_whose_flush_failed_is_in_if_the_store_ends_with_it() {
    for kept in [false, true] {
        let disk = Memory::new();
        let mut ledger = ledger(&disk, 1);
        let boot = Command::Boot {
            claims: Vec::new(),
            host_sockets: Vec::new(),
        };
        ledger.admit(boot, Peer::default(), 0).expect("admitted");
        ledger.flush().expect("durable");
        match kept {
            true => disk.fail_next_anchor_but_keep(),
            false => disk.fail_next_flush(),
        }
        ledger
            .admit(register("web"), Peer::default(), 1)
            .expect("admitted");
        let failed = ledger.flush().expect_err("not durable");
        ledger.reload().expect("reads");
        assert_eq!(ledger.head() == failed.head, kept);
        assert_eq!(ledger.state().zones.len(), usize::from(kept));
        assert_eq!(ledger.image().zones.len(), usize::from(kept));
    }
}

/// A closed ledger's disk: a boot entry and two zones, and a snapshot of them.
fn closed() -> (Memory, State) {
    let disk = Memory::new();
    let mut ledger = ledger(&disk, 1);
    let boot = Command::Boot {
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    for (ticket, command) in [boot, register("web"), register("db")]
        .into_iter()
        .enumerate()
    {
        let ticket = u8::try_from(ticket).expect("small");
        ledger
            .admit(command, Peer::default(), ticket)
            .expect("admitted");
    }
    ledger.flush().expect("durable");
    ledger.close();
    (disk, ledger.state().clone())
}

fn trusted(disk: &Memory) -> Result<Option<State>, snapshot::Fault> {
    let (journal, _) = disk.open().expect("opens");
    snapshot::trusted(&journal.snapshots(), &journal.reader())
}

#[test]
fn a_start_folds_on_from_the_snapshot_and_comes_to_the_same_state() {
    let (disk, state) = closed();
    assert_eq!(trusted(&disk).expect("is whole"), Some(state.clone()));
    let mut second = ledger(&disk, 1);
    assert_eq!(second.state(), &state);
    second
        .admit(register("cache"), Peer::default(), 1)
        .expect("admitted");
    second.flush().expect("durable");
    let state = second.state().clone();
    // It dies: the snapshot is behind.
    drop(second);
    assert_eq!(
        trusted(&disk).expect("is whole").map(|state| state.seq()),
        Some(3)
    );
    let third = ledger(&disk, 1);
    assert_eq!(third.state(), &state);
    assert_eq!(third.image(), &project::project(&state));
}

#[test]
fn a_snapshot_that_lies_or_is_of_another_journal_is_ignored() {
    let (disk, state) = closed();
    let lie = |change: fn(&mut State)| {
        let mut liar = state.clone();
        change(&mut liar);
        liar
    };
    let liars = [
        lie(|state| state.seq = 2),
        lie(|state| state.seq = 9),
        lie(|state| state.head = syva_model::entry::Hash::of(b"another")),
    ];
    for liar in liars {
        disk.snapshots().save(&liar).expect("saves");
        assert!(trusted(&disk).is_err(), "{} {}", liar.seq, liar.head);
        assert_eq!(ledger(&disk, 1).state(), &state);
    }
}

#[test]
fn a_batch_in_hand_is_in_no_snapshot() {
    let (disk, state) = closed();
    let mut second = ledger(&disk, 1);
    second
        .admit(register("cache"), Peer::default(), 1)
        .expect("admitted");
    second.close();
    assert_eq!(trusted(&disk).expect("is whole"), Some(state));
}

#[test]
fn a_snapshot_is_written_beside_the_commands_when_enough_came() {
    let (disk, _) = closed();
    let mut ledger = ledger(&disk, 1);
    for n in 0..SNAPSHOT_EVERY {
        let name = if n % 2 == 0 { "a" } else { "b" };
        let allow = [
            Command::RemoveZone {
                zone: ZoneName::new(name).expect("a name"),
                drain: false,
            },
            register(name),
        ];
        for command in allow {
            // The first removal is of nothing.
            let _ = ledger.admit(command, Peer::default(), 1);
        }
    }
    ledger.flush().expect("durable");
    let by = ledger.saved.by.take().expect("was begun");
    by.join().expect("ends");
    let seq = trusted(&disk).expect("is whole").map(|state| state.seq());
    assert_eq!(seq, Some(ledger.state().seq()));
}

#[test]
fn a_clock_that_goes_backwards_is_recorded_and_changes_nothing_else() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NOW: AtomicU64 = AtomicU64::new(u64::MAX);
    let disk = Memory::new();
    let (journal, _) = disk.open().expect("opens");
    let lent = Park::new(journal).lend().expect("parked");
    let facts = Facts {
        clock: || NOW.fetch_sub(1_000, Ordering::Relaxed),
        ..facts(1)
    };
    let mut first = Ledger::open(lent, facts).expect("folds");
    let boot = Command::Boot {
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    for command in [boot, register("web"), register("db")] {
        first.admit(command, Peer::default(), 0).expect("admitted");
        first.flush().expect("durable");
    }
    let state = first.state().clone();
    drop(first);
    let (journal, _) = disk.open().expect("opens");
    let records = journal.reader().read(1, 3).expect("reads");
    let times = records.iter().map(|record| record.entry.time_unix_ns);
    assert!(times.is_sorted_by(|before, after| before > after));
    drop(journal);
    assert_eq!(ledger(&disk, 1).state(), &state, "order is by number");
}
