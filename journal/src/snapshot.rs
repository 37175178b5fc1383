//! Snapshots: the state after some entry, kept beside the journal so that a start need not fold all of
//! it (D10). A cache: deleting it costs time, and one that is not what it should be is ignored.
//!
//! The file, integers big-endian: `SYVASNAP`; 4 bytes, the format [`FORMAT`]; the state's digest and the
//! state in bincode; the SHA-256 of everything before. The state says itself after which entry it is,
//! and what that entry hashes to.
//!
//! | found | detected by |
//! |---|---|
//! | a damaged byte, a file cut short | the file's hash |
//! | another version's layout of the state | the digest, which is over named fields |
//! | the snapshot of another journal, of one that lost entries, of one restored from a copy | the entry's hash in the journal |
//!
//! A file that was made to deceive is not detected here: only a replay from the first entry tells
//! (`syva-cli journal replay`).

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use syva_model::entry::Hash;
use syva_model::state::State;

use crate::error::JournalError;
use crate::reader::JournalReader;
use crate::record::Head;

/// The snapshot's file, below the journal's directory.
pub const FILE: &str = "snapshot";
/// The format this version writes, and the only one it reads.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"SYVASNAP";

/// Why a snapshot is not folded on from.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be read.
    #[error("the snapshot cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It is not what was written.
    #[error("the snapshot is damaged: its bytes are not those that were written")]
    Damaged,
    /// Another version wrote it.
    #[error("the snapshot has format {0}, this version reads {FORMAT}")]
    OtherFormat(u32),
    /// The bytes are what was written, and no state.
    #[error("the snapshot does not decode: {0}")]
    NotUnderstood(String),
    /// The state in it is another.
    #[error("the snapshot says that its state has digest {said}, it has {found}")]
    OtherState {
        /// The digest beside the state.
        said: Hash,
        /// The state's.
        found: Hash,
    },
    /// The journal does not have the entry it was taken after.
    #[error(
        "the snapshot was taken after an entry {seq} that hashes to {head}, which the journal does not have"
    )]
    OtherJournal {
        /// The entry's number.
        seq: u64,
        /// Its hash.
        head: Hash,
    },
}

/// Where snapshots are kept: there is one, the latest. Clones are the same place.
#[derive(Clone)]
pub struct Snapshots(Place);

#[derive(Clone)]
enum Place {
    Dir(PathBuf),
    Memory(Arc<Mutex<Option<Vec<u8>>>>),
}

impl Default for Snapshots {
    fn default() -> Snapshots {
        Snapshots(Place::Memory(Arc::default()))
    }
}

impl Snapshots {
    /// Below a journal's directory.
    pub(crate) fn in_dir(dir: &Path) -> Snapshots {
        Snapshots(Place::Dir(dir.to_owned()))
    }

    /// Replaces the snapshot, whole or not at all.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the one before is still there.
    pub fn save(&self, state: &State) -> Result<(), JournalError> {
        let path = self.path();
        let bytes = encode(state).map_err(|error| {
            let error = std::io::Error::new(ErrorKind::InvalidData, error);
            JournalError::io("encoding the snapshot", &path, error)
        })?;
        match &self.0 {
            Place::Memory(kept) => {
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
                Ok(())
            }
            Place::Dir(dir) => write(dir, &bytes)
                .map_err(|source| JournalError::io("writing the snapshot", &path, source)),
        }
    }

    /// The snapshot's state, if it is what was written; nothing if there is none.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn load(&self) -> Result<Option<State>, Fault> {
        let bytes = match &self.0 {
            Place::Memory(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Place::Dir(_) => match fs::read(self.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                other => Some(other?),
            },
        };
        bytes.map(|bytes| decode(&bytes)).transpose()
    }

    /// The entry the snapshot was taken after, if it is what was written.
    pub(crate) fn head(&self) -> Option<Head> {
        let state = self.load().ok().flatten()?;
        Some(Head {
            seq: state.seq,
            hash: state.head,
        })
    }

    /// Removes the snapshot, if it is of an entry before `seq`.
    pub(crate) fn forget_before(&self, seq: u64) {
        let older = |state: &State| state.seq < seq;
        if !matches!(self.load(), Ok(Some(state)) if older(&state)) {
            return;
        }
        match &self.0 {
            Place::Memory(kept) => *kept.lock().unwrap_or_else(PoisonError::into_inner) = None,
            // One that stays is of an entry that is not there, and so ignored.
            Place::Dir(_) => drop(fs::remove_file(self.path())),
        }
    }

    fn path(&self) -> PathBuf {
        match &self.0 {
            Place::Dir(dir) => dir.join(FILE),
            Place::Memory(_) => PathBuf::from("(memory)"),
        }
    }
}

/// The snapshot's state, if it is one of this journal's; nothing if there is none.
///
/// # Errors
/// [`Fault`]: the journal must be folded from its first entry.
pub fn trusted(snapshots: &Snapshots, reader: &JournalReader) -> Result<Option<State>, Fault> {
    let Some(state) = snapshots.load()? else {
        return Ok(None);
    };
    let (seq, head) = (state.seq, state.head);
    // The entry of a state that stands for pruned ones is gone itself.
    if reader
        .horizon()
        .is_some_and(|horizon| horizon.head == (Head { seq, hash: head }))
    {
        return Ok(Some(state));
    }
    let record = reader
        .read(seq, 1)
        .ok()
        .and_then(|mut records| records.pop());
    match record {
        Some(record) if record.seq == seq && record.hash == head => Ok(Some(state)),
        _ => Err(Fault::OtherJournal { seq, head }),
    }
}

fn write(dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = dir.join("snapshot.new");
    let mut file = File::create(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

#[derive(Serialize)]
struct Written<'a> {
    digest: Hash,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read {
    digest: Hash,
    state: State,
}

fn encode(state: &State) -> Result<Vec<u8>, String> {
    let digest = state.digest().map_err(|error| error.to_string())?;
    let body =
        bincode::serde::encode_to_vec(Written { digest, state }, bincode::config::standard())
            .map_err(|error| error.to_string())?;
    let mut bytes = Vec::with_capacity(body.len() + 44);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&body);
    let sum = Hash::of(&bytes);
    bytes.extend_from_slice(&sum.0);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<State, Fault> {
    let (rest, sum) = bytes.split_last_chunk::<32>().ok_or(Fault::Damaged)?;
    if Hash::of(rest).0 != *sum {
        return Err(Fault::Damaged);
    }
    let body = rest.strip_prefix(MAGIC).ok_or(Fault::Damaged)?;
    let (format, body) = body.split_first_chunk::<4>().ok_or(Fault::Damaged)?;
    let format = u32::from_be_bytes(*format);
    if format != FORMAT {
        return Err(Fault::OtherFormat(format));
    }
    let understood: Result<(Read, usize), _> =
        bincode::serde::decode_from_slice(body, bincode::config::standard());
    let (read, len) = understood.map_err(|error| Fault::NotUnderstood(error.to_string()))?;
    if len != body.len() {
        let words = format!("{} bytes follow the state", body.len() - len);
        return Err(Fault::NotUnderstood(words));
    }
    let said = read.digest;
    let found = read
        .state
        .digest()
        .map_err(|error| Fault::NotUnderstood(error.to_string()))?;
    if found != said {
        return Err(Fault::OtherState { said, found });
    }
    Ok(read.state.restored())
}

#[cfg(test)]
#[allow(
    clippy::field_reassign_with_default,
    reason = "not all its fields are public"
)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_a_changed_byte_or_a_cut_anywhere_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let snapshots = Snapshots::in_dir(dir.path());
        assert_eq!(snapshots.load().expect("reads"), None);
        let mut state = State::default();
        state.seq = 7;
        state.head = Hash::of(b"7");
        snapshots.save(&state).expect("saves");
        assert_eq!(snapshots.load().expect("reads"), Some(state));
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).expect("reads");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("writes");
            assert!(matches!(snapshots.load(), Err(Fault::Damaged)), "byte {at}");
            fs::write(&path, &whole[..at]).expect("writes");
            assert!(matches!(snapshots.load(), Err(Fault::Damaged)), "cut {at}");
        }
    }

    #[test]
    fn a_state_under_another_digest_and_another_format_are_told_apart() {
        let state = State::default();
        let sealed = |mut bytes: Vec<u8>| {
            let sum = Hash::of(&bytes);
            bytes.extend_from_slice(&sum.0);
            decode(&bytes)
        };
        let whole = encode(&state).expect("encodes");
        let rest = whole[..whole.len() - 32].to_vec();
        assert_eq!(sealed(rest.clone()).expect("reads"), state);
        let mut newer = rest.clone();
        newer[11] = 2;
        assert!(matches!(sealed(newer), Err(Fault::OtherFormat(2))));
        let mut lies = rest.clone();
        lies[20] ^= 1;
        assert!(matches!(sealed(lies), Err(Fault::OtherState { .. })));
        let longer = [rest, vec![0]].concat();
        assert!(matches!(sealed(longer), Err(Fault::NotUnderstood(_))));
    }
}
