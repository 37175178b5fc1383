//! Claims about the journal, on a disk in memory that fails on request. A file a subject; here is what
//! they share.

mod appending;
mod bounded;
mod loss;
mod pruning;
mod reading;
mod recovery;

use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;

use super::*;
use crate::store::memory::Memory;

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
