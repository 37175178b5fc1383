//! Claims about pruning on a real disk: the file that stands for what is gone, its damage, the undoing.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::fs;
use std::path::Path;

use syva_journal::export::{Extent, Reader, Writer};
use syva_journal::import::{ImportError, import};
use syva_journal::journal::prune::Before;
use syva_journal::record::RawRecord;
use syva_journal::{Head, Journal, JournalError, Offline};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;
use syva_model::name::ZoneName;
use syva_model::state::State;

/// A journal that folds, of so many entries, some of them larger than a piece of the store's.
fn made(dir: &Path, entries: u64) -> Vec<Vec<u8>> {
    let (mut journal, _) = Journal::open(dir).expect("creates");
    let (mut head, mut payloads) = (Head::EMPTY, Vec::new());
    for n in 0..entries {
        let command = match n {
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
        let peer = Peer {
            adapter: "x".repeat(if n % 50 == 7 { 9000 } else { 10 }),
            ..Peer::default()
        };
        let entry = head.next(n, BootId([1; 16]), peer, command);
        let payload = entry.encode().expect("encodes");
        head = head.after(&payload);
        payloads.push(payload);
    }
    journal.append(&payloads).expect("appends");
    payloads
}

/// Prunes, and returns the export of what went.
fn prune(dir: &Path, before: u64) -> Vec<u8> {
    let (mut journal, _) = Journal::open_existing(dir).expect("opens");
    let plan = journal
        .plan_pruning(Before::Seq(before), &mut |_| ())
        .expect("plans");
    let extent = Extent {
        base: plan.base,
        head: plan.head,
    };
    let mut writer = Writer::new(Vec::new(), extent).expect("writes");
    let gone = usize::try_from(plan.head.seq - plan.base.seq).expect("small");
    let reader = journal.reader();
    for raw in reader.read_raw(plan.base.seq + 1, gone).expect("reads") {
        writer.push(&raw).expect("follows");
    }
    let export = writer.finish().expect("is whole");
    journal
        .prune(plan, Peer::default(), 1, &mut |_| ())
        .expect("prunes");
    export
}

fn folded(dir: &Path) -> State {
    let (journal, _) = Journal::open(dir).expect("opens");
    let reader = journal.reader();
    let mut state = reader.beginning().expect("is understood");
    for record in reader.read(state.seq() + 1, usize::MAX).expect("reads") {
        state.fold(&record.entry, record.hash).expect("folds");
    }
    state
}

#[test]
fn what_is_left_is_whole_offline_too_and_the_pruning_can_be_undone() {
    let base = tempfile::tempdir().expect("a directory");
    let dir = base.path().join("journal");
    let payloads = made(&dir, 400);
    let first = prune(&dir, 101);
    let second = prune(&dir, 301);
    let state = folded(&dir);
    assert_eq!((state.seq(), state.zones.len()), (402, 399));
    let offline = Offline::open(&dir).expect("opens");
    assert_eq!(offline.reader().base().seq, 300);
    assert_eq!(offline.verify(&mut |_| ()).expect("is whole").head.seq, 402);

    let exports = |exports: &[&'static [u8]]| -> Vec<Reader<&'static [u8]>> {
        let readers = exports
            .iter()
            .map(|bytes| Reader::new(*bytes).expect("one"));
        readers.collect()
    };
    let (first, second): (&[u8], &[u8]) = (first.leak(), second.leak());
    let new = base.path().join("new");
    let gap = import(&new, exports(&[first]), Some(&offline), &mut |_| ());
    assert!(
        matches!(
            gap,
            Err(ImportError::Gap {
                last: 100,
                first: 301
            })
        ),
        "{gap:?}"
    );
    let gap = import(&new, exports(&[second]), Some(&offline), &mut |_| ());
    assert!(matches!(gap, Err(ImportError::NotWhole(101))), "{gap:?}");
    assert!(!new.exists(), "nothing was made");
    let exports = exports(&[first, second]);
    let head = import(&new, exports, Some(&offline), &mut |_| ()).expect("imports");
    let (journal, _) = Journal::open(&new).expect("opens");
    assert_eq!(
        (journal.head(), journal.reader().base()),
        (head, Head::EMPTY)
    );
    let records = journal.reader().read(1, usize::MAX).expect("reads");
    assert!(
        records
            .iter()
            .map(|record| &record.payload)
            .take(400)
            .eq(&payloads)
    );
    drop(journal);
    assert_eq!(
        folded(&new).digest().expect("has one"),
        state.digest().expect("has one")
    );
}

#[test]
fn a_horizon_that_is_damaged_or_gone_or_of_another_state_is_refused() {
    let base = tempfile::tempdir().expect("a directory");
    let dir = base.path().join("journal");
    made(&dir, 60);
    prune(&dir, 41);
    let file = dir.join("horizon.40");
    let whole = fs::read(&file).expect("is there");
    let refused = |what: &str| {
        for refused in [
            Journal::open(&dir).map(|_| ()),
            Offline::open(&dir).and_then(|offline| offline.verify(&mut |_| ()).map(|_| ())),
        ] {
            let error = refused.expect_err(what);
            assert!(
                matches!(
                    error,
                    JournalError::BadHorizon { .. } | JournalError::BadEntry { seq: 1, .. }
                ),
                "{what}: {error}"
            );
        }
    };
    for at in (0..whole.len())
        .step_by(61)
        .chain([0, 8, 12, 60, 132, whole.len() - 1])
    {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&file, &damaged).expect("writes");
        refused(&format!("byte {at}"));
    }
    fs::write(&file, &whole[..whole.len() / 2]).expect("writes");
    refused("cut short");
    fs::remove_file(&file).expect("removes");
    refused("gone");
    fs::write(&file, &whole).expect("writes");
    assert_eq!(folded(&dir).zones.len(), 59);
}

#[test]
fn an_entry_that_names_another_state_is_refused() {
    let base = tempfile::tempdir().expect("a directory");
    let dir = base.path().join("journal");
    made(&dir, 10);
    prune(&dir, 6);
    let (journal, _) = Journal::open(&dir).expect("opens");
    let horizon = journal.reader().horizon().expect("is there");
    let raw: RawRecord = journal.reader().read_raw(11, 1).expect("reads").remove(0);
    horizon.is_bound_by(&raw).expect("the entry names it");
    let mut other = (*horizon).clone();
    other.state.push(0);
    assert!(other.is_bound_by(&raw).is_err());
}
