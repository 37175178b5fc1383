//! The horizon: what stands for entries that were pruned, which is the state they led to (D10).
//!
//! A file `horizon.N`, N the last entry pruned, integers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `SYVAHRZN` |
//! | 8..12 | the format, [`FORMAT`] |
//! | 12..20 | the last entry pruned |
//! | 20..52 | its hash, which the first entry that was kept follows |
//! | 52..60 | its time, in nanoseconds since the Unix epoch |
//! | 60..68 | the entry that pruned it |
//! | 68..100 | that entry's hash |
//! | 100..132 | SHA-256 of bytes 0..100 |
//! | then | the state after it: MessagePack with named fields, the very bytes its digest is over |
//!
//! Unlike a snapshot it is no cache. So it is in an encoding that later versions read, and it counts
//! only if the entry that pruned is in the journal and names this digest: the chain vouches for it.
//! Until that entry is there nothing was removed; from then on what it names may be.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use syva_model::command::Command;
use syva_model::entry::{Entry, Hash};
use syva_model::state::State;

use crate::error::JournalError;
use crate::record::{Head, RawRecord};
use crate::store::{Store, StoreError};

/// The format this version writes, and the highest it reads.
pub const FORMAT: u32 = 1;
/// How its files' names begin.
pub(crate) const PREFIX: &str = "horizon.";

const MAGIC: &[u8; 8] = b"SYVAHRZN";
const HEADER: usize = 100;

/// What stands for the entries up to some number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The last entry pruned.
    pub head: Head,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_ns: u64,
    /// The entry that pruned.
    pub by: Head,
    /// The state after the last entry pruned, as its digest is over it.
    pub state: Vec<u8>,
}

/// Why a horizon is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its bytes are not those that were written.
    #[error("it is damaged: its bytes are not those that were written")]
    Damaged,
    /// A newer version wrote it.
    #[error("it has format {0}, this version reads up to {FORMAT}: use the version that wrote it")]
    Newer(u32),
    /// Its state is another than the one the journal names.
    #[error("its state has digest {found}, entry {by} of the journal names {said}")]
    OtherState {
        /// The entry that pruned.
        by: u64,
        /// What it says.
        said: Hash,
        /// What was found.
        found: Hash,
    },
    /// The entry that pruned is not what it says.
    #[error("entry {0}, which should have pruned, is not there or is another")]
    Unbound(u64),
    /// The state in it cannot be read.
    #[error("its state is not understood: {0}; use the version that wrote it")]
    NotUnderstood(String),
}

impl Horizon {
    /// The state's digest.
    pub fn digest(&self) -> Hash {
        Hash::of(&self.state)
    }

    /// The state after the last entry pruned.
    ///
    /// # Errors
    /// [`Fault::NotUnderstood`].
    pub fn restored(&self) -> Result<State, Fault> {
        let state: State = rmp_serde::from_slice(&self.state)
            .map_err(|error| Fault::NotUnderstood(error.to_string()))?;
        Ok(state.restored())
    }

    /// Whether the journal vouches for it: `raw` is the record of the entry that pruned.
    ///
    /// # Errors
    /// [`Fault::Unbound`] and [`Fault::OtherState`].
    pub fn is_bound_by(&self, raw: &RawRecord) -> Result<(), Fault> {
        let by = self.by.seq;
        let unbound = || Fault::Unbound(by);
        if raw.key != by || raw.hash != self.by.hash || Hash::of(&raw.payload) != raw.hash {
            return Err(unbound());
        }
        let entry = Entry::decode(&raw.payload).map_err(|_| unbound())?;
        self.is_named_by(&entry)
    }

    /// Whether `entry` is the one that pruned and names this state.
    ///
    /// # Errors
    /// [`Fault::Unbound`] and [`Fault::OtherState`].
    pub fn is_named_by(&self, entry: &Entry) -> Result<(), Fault> {
        let by = self.by.seq;
        match entry.command {
            Command::Prune {
                up_to,
                hash,
                digest: said,
            } if entry.seq == by && (Head { seq: up_to, hash }) == self.head => {
                let found = self.digest();
                match found == said {
                    true => Ok(()),
                    false => Err(Fault::OtherState { by, said, found }),
                }
            }
            _ => Err(Fault::Unbound(by)),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + 32 + self.state.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&self.head.seq.to_be_bytes());
        bytes.extend_from_slice(&self.head.hash.0);
        bytes.extend_from_slice(&self.time_unix_ns.to_be_bytes());
        bytes.extend_from_slice(&self.by.seq.to_be_bytes());
        bytes.extend_from_slice(&self.by.hash.0);
        let sum = Hash::of(&bytes);
        bytes.extend_from_slice(&sum.0);
        bytes.extend_from_slice(&self.state);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Horizon, Fault> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != *MAGIC {
            return Err(Fault::Damaged);
        }
        let format = u32::from_be_bytes(take(&mut rest)?);
        if format > FORMAT {
            return Err(Fault::Newer(format));
        }
        let seq = u64::from_be_bytes(take(&mut rest)?);
        let hash = Hash(take(&mut rest)?);
        let time_unix_ns = u64::from_be_bytes(take(&mut rest)?);
        let by = u64::from_be_bytes(take(&mut rest)?);
        let by_hash = Hash(take(&mut rest)?);
        let sum = Hash(take(&mut rest)?);
        if format != FORMAT || Hash::of(&bytes[..HEADER]) != sum {
            return Err(Fault::Damaged);
        }
        Ok(Horizon {
            head: Head { seq, hash },
            time_unix_ns,
            by: Head {
                seq: by,
                hash: by_hash,
            },
            state: rest.to_vec(),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (bytes, after) = rest.split_first_chunk().ok_or(Fault::Damaged)?;
    *rest = after;
    Ok(*bytes)
}

/// The horizons' files in a directory, each with the last entry pruned by its name.
///
/// # Errors
/// The operating system's, on reading the directory.
pub(crate) fn files(dir: &Path) -> std::io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for item in fs::read_dir(dir)? {
        let item = item?;
        let name = item.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(seq) = number.and_then(|number| number.parse().ok()) {
            files.push((seq, item.path()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Writes one, whole or not at all, durably.
///
/// # Errors
/// The operating system's.
pub(crate) fn write(dir: &Path, horizon: &Horizon) -> std::io::Result<()> {
    let draft = dir.join("horizon-new");
    let mut file = File::create(&draft)?;
    file.write_all(&horizon.encode())?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(format!("{PREFIX}{}", horizon.head.seq)))?;
    File::open(dir)?.sync_all()
}

/// Removes all but the one of `kept`. One that stays does no harm.
pub(crate) fn remove_others(dir: &Path, kept: u64) {
    let others = files(dir).unwrap_or_default();
    for (_, path) in others.iter().filter(|(seq, _)| *seq != kept) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "an older horizon stays");
        }
    }
}

/// The latest horizon that the store vouches for; nothing if the journal begins with entry 1.
///
/// # Errors
/// [`JournalError::BadHorizon`] if the store begins later, and what stands for the entries before it
/// is not what was written; [`StoreError`] inside [`JournalError::StoreUnreadable`].
pub(crate) fn of_store(dir: &Path, store: &dyn Store) -> Result<Option<Horizon>, JournalError> {
    let unreadable = |source: StoreError| JournalError::StoreUnreadable {
        dir: dir.to_owned(),
        source,
    };
    let io = |source| JournalError::io("reading what stands for pruned entries", dir, source);
    let mut refused = None;
    for (_, path) in files(dir).map_err(io)?.into_iter().rev() {
        let bytes = fs::read(&path).map_err(|source| {
            JournalError::io("reading what stands for pruned entries", &path, source)
        })?;
        let fault = match Horizon::decode(&bytes) {
            Ok(horizon) => {
                let by = store.read(horizon.by.seq, 1).map_err(unreadable)?;
                match by.first().map(|raw| horizon.is_bound_by(raw)) {
                    Some(Ok(())) => return Ok(Some(horizon)),
                    Some(Err(fault)) => fault,
                    None => Fault::Unbound(horizon.by.seq),
                }
            }
            Err(fault) => fault,
        };
        refused.get_or_insert((path, fault));
    }
    let Some((path, fault)) = refused else {
        return Ok(None);
    };
    // One that a crash left behind before anything was pruned is nothing to anybody.
    let first = store.read(1, 1).map_err(unreadable)?;
    match first.first() {
        Some(first) if first.key > 1 => Err(JournalError::BadHorizon {
            path,
            first: first.key,
            fault,
        }),
        _ => Ok(None),
    }
}

#[cfg(test)]
#[allow(
    clippy::field_reassign_with_default,
    reason = "not all its fields are public"
)]
mod tests {
    use super::*;

    fn horizon() -> Horizon {
        let mut state = State::default();
        state.seq = 7;
        state.head = Hash::of(b"7");
        Horizon {
            head: Head {
                seq: 7,
                hash: state.head,
            },
            time_unix_ns: 1,
            by: Head {
                seq: 9,
                hash: Hash::of(b"9"),
            },
            state: rmp_serde::to_vec_named(&state).expect("encodes"),
        }
    }

    #[test]
    fn what_was_written_is_read_and_its_digest_is_the_states() {
        let horizon = horizon();
        assert_eq!(Horizon::decode(&horizon.encode()).expect("reads"), horizon);
        let state = horizon.restored().expect("is one");
        assert_eq!(state.digest().expect("has one"), horizon.digest());
    }

    #[test]
    fn a_changed_byte_of_the_header_or_a_cut_in_it_is_refused() {
        let whole = horizon().encode();
        for at in 0..HEADER + 32 {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(Horizon::decode(&damaged).is_err(), "byte {at}");
            assert!(Horizon::decode(&whole[..at]).is_err(), "cut {at}");
        }
        // The state behind it is held against the digest that the journal names.
        let mut damaged = whole.clone();
        damaged[HEADER + 40] ^= 1;
        let damaged = Horizon::decode(&damaged).expect("the header is whole");
        assert_ne!(damaged.digest(), horizon().digest());
    }
}
