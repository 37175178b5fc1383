//! Claims about exports: what was exported is what is imported, and nothing else is.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{append, payload, payloads, read_all};
use proptest::prelude::*;
use syva_journal::export::{ExportError, Extent, Reader, Writer};
use syva_journal::import::{ImportError, import};
use syva_journal::record::RawRecord;
use syva_journal::{Head, Journal};
use syva_model::entry::Hash;

fn records(payloads: &[Vec<u8>]) -> Vec<RawRecord> {
    let mut head = Head::EMPTY;
    payloads
        .iter()
        .map(|payload| {
            let record = RawRecord::new(head, payload.clone());
            head = head.after(payload);
            record
        })
        .collect()
}

fn export(payloads: &[Vec<u8>]) -> Vec<u8> {
    let records = records(payloads);
    let head = records.last().map_or(Head::EMPTY, |last| Head {
        seq: last.key,
        hash: last.hash,
    });
    let extent = Extent {
        base: Head::EMPTY,
        head,
    };
    let mut writer = Writer::new(Vec::new(), extent).expect("writes");
    for record in &records {
        writer.push(record).expect("follows");
    }
    writer.finish().expect("is whole")
}

fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, ExportError> {
    let mut reader = Reader::new(bytes)?;
    let mut all = Vec::new();
    while let Some(payload) = reader.pull()? {
        all.push(payload);
    }
    Ok(all)
}

fn imported(dir: &Path, bytes: &[u8]) -> Result<Head, ImportError> {
    import(dir, vec![Reader::new(bytes)?], None, &mut |_| ())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_was_exported_is_what_is_imported(
        sizes in prop::collection::vec(prop_oneof![0..400usize, Just(9000), Just(150_000)], 0..40)
    ) {
        let all = payloads(Head::EMPTY, sizes);
        let bytes = export(&all);
        prop_assert_eq!(&read(&bytes).expect("reads"), &all);
        let base = tempfile::tempdir().expect("a directory");
        let dir = base.path().join("new");
        let head = imported(&dir, &bytes).expect("imports");
        let (journal, recovery) = Journal::open(&dir).expect("opens");
        prop_assert_eq!((recovery.head, recovery.anchored), (head, head));
        prop_assert_eq!(read_all(&journal).expect("reads"), all);
    }

    #[test]
    fn a_changed_byte_or_a_changed_length_anywhere_is_refused(
        sizes in prop::collection::vec(0..60usize, 1..6), at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let whole = export(&payloads(Head::EMPTY, sizes));
        let mut flipped = whole.clone();
        flipped[at.index(whole.len())] ^= 1 << bit;
        prop_assert!(read(&flipped).is_err(), "flipped");
        prop_assert!(read(&whole[..at.index(whole.len())]).is_err(), "cut");
        let mut longer = whole.clone();
        longer.push(0);
        prop_assert!(matches!(read(&longer), Err(ExportError::Trailing(_))));
    }
}

#[test]
fn what_is_wrong_with_an_export_is_said_by_name() {
    let all = payloads(Head::EMPTY, [5, 6, 7]);
    let whole = export(&all);
    let said = |bytes: &[u8]| read(bytes).expect_err("refuses").to_string();
    assert!(said(b"").contains("not the export"));
    assert!(said(b"PK\x03\x04").contains("not the export"));
    assert!(said(&whole[..50]).contains("header is damaged"));
    let mut newer = whole.clone();
    newer[11] = 2;
    assert!(said(&newer).contains("format 2"));
    let end = whole.len();
    assert!(said(&whole[..end - 1]).contains("before entry 3 does"));
    let mut damaged = whole.clone();
    damaged[end - 3] ^= 1;
    assert!(said(&damaged).contains("entry 3 of the export cannot be taken: it is damaged"));
    // A consistent liar: the header's hash is of another last entry.
    let extent = Extent {
        base: Head::EMPTY,
        head: Head {
            seq: 3,
            hash: Hash::of(b"another"),
        },
    };
    let mut writer = Writer::new(Vec::new(), extent).expect("writes");
    for record in &records(&all) {
        writer.push(record).expect("follows");
    }
    assert!(matches!(
        writer.finish(),
        Err(ExportError::Different { .. })
    ));
}

#[test]
fn a_writer_takes_only_what_follows() {
    let all = records(&payloads(Head::EMPTY, [5, 6, 7]));
    let extent = Extent {
        base: Head::EMPTY,
        head: Head {
            seq: 3,
            hash: all[2].hash,
        },
    };
    let mut writer = Writer::new(Vec::new(), extent).expect("writes");
    writer.push(&all[0]).expect("follows");
    assert!(matches!(
        writer.push(&all[2]),
        Err(ExportError::BadEntry { seq: 2, .. })
    ));
    assert!(matches!(
        writer.finish(),
        Err(ExportError::Truncated { seq: 2, last: 3 })
    ));
}

#[test]
fn an_import_is_whole_or_not_at_all() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = export(&payloads(Head::EMPTY, [10; 2000]));
    let dir = base.path().join("new");
    let mut damaged = whole.clone();
    let end = whole.len();
    damaged[end - 3] ^= 1;
    imported(&dir, &damaged).expect_err("the last entry is damaged");
    imported(&dir, &whole[..end / 2]).expect_err("is cut");
    assert_eq!(
        fs::read_dir(base.path()).expect("lists").count(),
        0,
        "nothing is left of what was tried"
    );
    imported(&dir, &whole).expect("imports");
    assert_eq!(Journal::open(&dir).expect("opens").1.head.seq, 2000);
    assert_eq!(fs::read_dir(base.path()).expect("lists").count(), 1);
}

#[test]
fn an_import_goes_into_an_empty_directory_and_into_no_other() {
    let base = tempfile::tempdir().expect("a directory");
    let whole = export(&payloads(Head::EMPTY, [10, 20]));
    let empty = base.path().join("empty");
    fs::create_dir(&empty).expect("makes");
    imported(&empty, &whole).expect("is free");
    // Now it holds a journal.
    let (mut journal, _) = Journal::open(&empty).expect("opens");
    let head = append(&mut journal, &[1]).expect("appends");
    drop(journal);
    let file = base.path().join("file");
    fs::write(&file, "mine").expect("writes");
    for (dir, said) in [(&empty, "not empty"), (&file, "not a directory")] {
        let error = imported(dir, &whole).expect_err("refuses");
        assert!(matches!(error, ImportError::NotEmpty { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(Journal::open(&empty).expect("opens").1.head, head);
    assert_eq!(fs::read(&file).expect("reads"), b"mine");
}

#[test]
fn an_export_that_begins_later_makes_no_journal() {
    let first = payload(Head::EMPTY, 4);
    let base = Head::EMPTY.after(&first);
    let second = payload(base, 4);
    let extent = Extent {
        base,
        head: base.after(&second),
    };
    let mut writer = Writer::new(Vec::new(), extent).expect("writes");
    writer.push(&RawRecord::new(base, second)).expect("follows");
    let bytes = writer.finish().expect("is whole");
    assert_eq!(read(&bytes).expect("reads").len(), 1);
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(
        imported(&dir.path().join("new"), &bytes),
        Err(ImportError::NotWhole(2))
    ));
}
