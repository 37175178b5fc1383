//! Records: entries as the store holds them, and the check that one continues the chain.

use std::fmt;

use syva_model::command::{BootId, Command};
use syva_model::entry::{DecodeError, Entry, FORMAT, Hash, Peer};

/// Where a journal ends: its last entry's number and the hash of that entry's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The last entry's number; 0 in an empty journal.
    pub seq: u64,
    /// The hash of the last entry's payload; [`Hash::ZERO`] in an empty journal.
    pub hash: Hash,
}

impl Head {
    /// The head of an empty journal.
    pub const EMPTY: Head = Head {
        seq: 0,
        hash: Hash::ZERO,
    };

    /// The entry that continues this head.
    pub fn next(self, time_unix_ns: u64, boot: BootId, peer: Peer, command: Command) -> Entry {
        Entry {
            seq: self.seq + 1,
            time_unix_ns,
            boot,
            peer,
            command,
            prev: self.hash,
        }
    }

    /// The head once an entry with this payload follows.
    pub fn after(self, payload: &[u8]) -> Head {
        Head {
            seq: self.seq + 1,
            hash: Hash::of(payload),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {} ({})", self.seq, self.hash)
    }
}

/// A record as the store returns it: nothing about it has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// The key it stands under.
    pub key: u64,
    /// The payload's hash as it was stored with it.
    pub hash: Hash,
    /// The payload; what of it is there, if the store lost a part.
    pub payload: Vec<u8>,
}

impl RawRecord {
    /// The record of the payload that continues `head`.
    pub fn new(head: Head, payload: Vec<u8>) -> RawRecord {
        let Head { seq, hash } = head.after(&payload);
        RawRecord {
            key: seq,
            hash,
            payload,
        }
    }
}

/// A record that was checked: intact, understood, and the one that follows the record before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// The hash of its payload.
    pub hash: Hash,
    /// The payload as it was written.
    pub payload: Vec<u8>,
    /// The payload decoded.
    pub entry: Entry,
}

impl Record {
    /// The journal's head with this record as its last.
    pub const fn head(&self) -> Head {
        Head {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

/// What is wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The number is missing: the next one there is another.
    #[error("it is missing, {}", next.map_or_else(
        || "and the store ends before it".to_owned(),
        |next| format!("the next in the store is {next}"),
    ))]
    Missing {
        /// The next key; nothing where the store ends.
        next: Option<u64>,
    },
    /// The payload is not what was written.
    #[error("it is damaged: its {len} bytes hash to {found}, {stored} was stored with them")]
    Damaged {
        /// The payload's length in bytes.
        len: usize,
        /// The hash stored beside the payload.
        stored: Hash,
        /// The hash of the payload.
        found: Hash,
    },
    /// It is intact and says that it is another entry.
    #[error("the entry under this key says that it is entry {inside}")]
    Misplaced {
        /// The number inside.
        inside: u64,
    },
    /// It is intact and follows something else.
    #[error("the chain is broken: it follows {found}, the entry before it is {expected}")]
    Unchained {
        /// The hash of the entry before it.
        expected: Hash,
        /// The hash it names.
        found: Hash,
    },
    /// It is intact and a newer version wrote it.
    #[error(
        "it was written in format {0}, this version reads up to {FORMAT}: use the version that wrote it"
    )]
    Newer(u8),
    /// It is intact and cannot be decoded.
    #[error("it is intact and not understood: {0}")]
    NotUnderstood(DecodeError),
}

impl Fault {
    /// Whether a crash in the middle of an append can leave this behind. What is intact and not
    /// understood was written by somebody who meant it, and is never cut.
    pub const fn is_torn(&self) -> bool {
        !matches!(self, Fault::Newer(_) | Fault::NotUnderstood(_))
    }
}

/// Checks that `raw` is intact, understood and follows `head`, and decodes it.
///
/// # Errors
/// The first [`Fault`] found, in the order of the variants.
pub fn inspect(head: Head, raw: &RawRecord) -> Result<Entry, Fault> {
    let seq = head.seq + 1;
    if raw.key != seq {
        return Err(Fault::Missing {
            next: Some(raw.key),
        });
    }
    let entry = intact(raw)?;
    if entry.prev != head.hash {
        return Err(Fault::Unchained {
            expected: head.hash,
            found: entry.prev,
        });
    }
    Ok(entry)
}

/// Checks that `raw` is intact, understood and the entry of its number, whatever stands before it.
///
/// # Errors
/// As [`inspect`].
pub fn intact(raw: &RawRecord) -> Result<Entry, Fault> {
    let found = Hash::of(&raw.payload);
    if found != raw.hash {
        return Err(Fault::Damaged {
            len: raw.payload.len(),
            stored: raw.hash,
            found,
        });
    }
    let entry = Entry::decode(&raw.payload).map_err(|error| match error {
        DecodeError::Version(format) => Fault::Newer(format),
        other => Fault::NotUnderstood(other),
    })?;
    if entry.seq == raw.key {
        Ok(entry)
    } else {
        Err(Fault::Misplaced { inside: entry.seq })
    }
}

/// [`inspect`], with the whole record returned.
///
/// # Errors
/// As [`inspect`].
pub fn check(head: Head, raw: RawRecord) -> Result<Record, Fault> {
    let entry = inspect(head, &raw)?;
    Ok(Record {
        seq: raw.key,
        hash: raw.hash,
        payload: raw.payload,
        entry,
    })
}
