//! Entries: commands as they stand in the journal, their encoding and their hash chain (D9).
//!
//! The payload is one version byte and a MessagePack map with named fields. A field may be added
//! with a default; an unknown field, a trailing byte or an unknown version refuses to decode, since
//! folding a command that is only half understood would be a guess (I10).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::command::{BootId, Command};

/// The payload format this code writes, and the highest it reads.
pub const FORMAT: u8 = 1;

/// A SHA-256: of an entry's payload, or of a state.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl Hash {
    /// What stands before the first entry.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash of some bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The peer's user id.
    pub uid: u32,
    /// The peer's group id.
    pub gid: u32,
    /// The peer's process id; the daemon's own for commands of its own.
    pub pid: u32,
    /// What the client calls itself (`syva-cli`, `syva-k8s`); `syva-core` for the daemon.
    #[serde(default)]
    pub adapter: String,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number; the first is 1.
    pub seq: u64,
    /// When it was admitted: nanoseconds since the Unix epoch by the wall clock.
    pub time_unix_ns: u64,
    /// The boot it was admitted in.
    pub boot: BootId,
    /// Who asked for it.
    pub peer: Peer,
    /// What was asked, with the facts looked up for it.
    pub command: Command,
    /// The hash of the payload before it; [`Hash::ZERO`] for the first.
    pub prev: Hash,
}

/// Why a payload is not an entry this code may fold.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is nothing.
    #[error("the payload is empty")]
    Empty,
    /// It was written by a newer version.
    #[error(
        "the payload has format {0}, this version reads up to {FORMAT}: use the version that wrote it"
    )]
    Version(u8),
    /// It is not such an entry.
    #[error("the payload does not decode: {0}")]
    Malformed(#[from] rmp_serde::decode::Error),
    /// Something follows the entry.
    #[error("{0} bytes follow the entry")]
    Trailing(usize),
}

impl DecodeError {
    /// Whether the payload is right as far as it goes, and ends too early.
    pub fn is_cut_short(&self) -> bool {
        use rmp_serde::decode::Error;
        match self {
            DecodeError::Malformed(Error::InvalidMarkerRead(error))
            | DecodeError::Malformed(Error::InvalidDataRead(error)) => {
                error.kind() == std::io::ErrorKind::UnexpectedEof
            }
            _ => false,
        }
    }
}

impl Entry {
    /// The payload.
    ///
    /// # Errors
    /// The encoder's own, which nothing in an entry can bring about today.
    pub fn encode(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        let mut payload = vec![FORMAT];
        self.serialize(&mut rmp_serde::Serializer::new(&mut payload).with_struct_map())?;
        Ok(payload)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`]: the entry must not be folded.
    pub fn decode(payload: &[u8]) -> Result<Entry, DecodeError> {
        match Entry::decode_first(payload)? {
            (entry, []) => Ok(entry),
            (_, rest) => Err(DecodeError::Trailing(rest.len())),
        }
    }

    /// Reads the payload at the beginning of some bytes, and returns what follows it.
    ///
    /// # Errors
    /// [`DecodeError`]: there is none.
    pub fn decode_first(bytes: &[u8]) -> Result<(Entry, &[u8]), DecodeError> {
        let (version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
        if *version != FORMAT {
            return Err(DecodeError::Version(*version));
        }
        let mut rest = body;
        let entry = Entry::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))?;
        Ok((entry, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Mode;

    fn entry() -> Entry {
        Entry {
            seq: 1,
            time_unix_ns: 1_764_000_000_000_000_000,
            boot: BootId([7; 16]),
            peer: Peer {
                uid: 0,
                gid: 0,
                pid: 42,
                adapter: "syva-cli".into(),
            },
            command: Command::SetMode { mode: Mode::Audit },
            prev: Hash::ZERO,
        }
    }

    #[test]
    fn an_entry_reads_back_as_it_was_written() {
        assert_eq!(
            Entry::decode(&entry().encode().expect("encodes")).expect("decodes"),
            entry()
        );
    }

    #[test]
    fn what_is_not_wholly_understood_is_refused() {
        let payload = entry().encode().expect("encodes");
        assert!(matches!(Entry::decode(&[]), Err(DecodeError::Empty)));
        let mut newer = payload.clone();
        newer[0] = FORMAT + 1;
        assert!(matches!(
            Entry::decode(&newer),
            Err(DecodeError::Version(2))
        ));
        let mut longer = payload.clone();
        longer.push(0);
        assert!(matches!(
            Entry::decode(&longer),
            Err(DecodeError::Trailing(1))
        ));
        for cut in 1..payload.len() {
            let error = Entry::decode(&payload[..cut]).expect_err("is cut");
            assert!(error.is_cut_short(), "cut at {cut}: {error}");
        }
    }
}
