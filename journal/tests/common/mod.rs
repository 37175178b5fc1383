//! What the tests on a real disk share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::Path;

use syva_journal::{Head, Journal, JournalError};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;

/// The payload that follows `head`: a function of its number and size alone.
pub fn payload(head: Head, len: usize) -> Vec<u8> {
    let command = Command::DetachContainer {
        container: format!("container {} {}", head.seq + 1, "x".repeat(len)),
        source: "test".to_owned(),
        generation: 1,
    };
    head.next(7, BootId([1; 16]), Peer::default(), command)
        .encode()
        .expect("encodes")
}

/// The payloads of a journal whose entries have these sizes.
pub fn payloads(mut head: Head, sizes: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    sizes
        .into_iter()
        .map(|len| {
            let payload = payload(head, len);
            head = head.after(&payload);
            payload
        })
        .collect()
}

pub fn append(journal: &mut Journal, sizes: &[usize]) -> Result<Head, JournalError> {
    journal.append(&payloads(journal.head(), sizes.iter().copied()))
}

/// Every payload of the journal, read in small steps.
pub fn read_all(journal: &Journal) -> Result<Vec<Vec<u8>>, JournalError> {
    let reader = journal.reader();
    let mut all = Vec::new();
    loop {
        let step = reader.read(all.len() as u64 + 1, 7)?;
        if step.is_empty() {
            return Ok(all);
        }
        all.extend(step.into_iter().map(|record| record.payload));
    }
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes");
    for item in fs::read_dir(from).expect("lists") {
        let item = item.expect("lists");
        let target = to.join(item.file_name());
        if item.file_type().expect("has one").is_dir() {
            copy(&item.path(), &target);
        } else {
            fs::copy(item.path(), target).expect("copies");
        }
    }
}
