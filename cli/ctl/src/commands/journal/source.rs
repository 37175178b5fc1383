//! Where entries come from: the running daemon, or a copy of the journal in a directory.

use std::path::Path;

use syva_journal::offline::Verified;
use syva_journal::record::RawRecord;
use syva_journal::{Head, Horizon, JournalReader, Offline};
use syva_model::entry::Hash;
use syva_rpc::client::Client;
use syva_rpc::v1::{
    JournalEntry, ReadHorizonRequest, ReadJournalRequest, StateDigestRequest, StateDigestResponse,
};
use tonic::{Code, Streaming};

use super::progress::Progress;
use crate::commands::Session;
use crate::exit::Failure;

/// How many entries of a directory are read at once.
const STEP: usize = 1024;

/// A journal to read.
pub enum Source {
    /// The running daemon's.
    Live(Box<Client>),
    /// A directory's.
    Dir(Box<Offline>),
}

impl Source {
    /// Connects, or copies and opens the journal in `path`.
    ///
    /// # Errors
    /// [`Failure::Connect`]; [`Failure::Journal`].
    pub async fn open(session: &Session<'_>, path: Option<&Path>) -> Result<Source, Failure> {
        Ok(match path {
            None => Source::Live(Box::new(session.client().await?)),
            Some(dir) => Source::Dir(Box::new(Offline::open(dir)?)),
        })
    }

    /// What stands for pruned entries; nothing if the journal begins with entry 1.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn horizon(&mut self) -> Result<Option<Horizon>, Failure> {
        let client = match self {
            Source::Dir(offline) => {
                return Ok(offline.reader().horizon().map(|horizon| (*horizon).clone()));
            }
            Source::Live(client) => client,
        };
        let mut parts = match client.read_horizon(ReadHorizonRequest {}).await {
            Ok(parts) => parts.into_inner(),
            // A daemon that does not know of pruning has not pruned.
            Err(status) if status.code() == Code::Unimplemented => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let Some(first) = parts.message().await? else {
            return Ok(None);
        };
        let mut horizon = Horizon {
            head: Head {
                seq: first.seq,
                hash: hash(&first.hash),
            },
            time_unix_ns: first.time_unix_ns,
            by: Head {
                seq: first.pruned_by,
                hash: hash(&first.pruned_by_hash),
            },
            state: first.state,
        };
        while let Some(part) = parts.message().await? {
            horizon.state.extend(part.state);
        }
        Ok(Some(horizon))
    }

    /// Entries `from` to `to`, the latter at most what there is now; 0: all there are.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn read(&mut self, from: u64, to: u64) -> Result<Entries, Failure> {
        Ok(match self {
            Source::Live(client) => {
                let request = ReadJournalRequest {
                    from_seq: from,
                    to_seq: to,
                };
                Entries::Live(Box::new(client.read_journal(request).await?.into_inner()))
            }
            Source::Dir(offline) => Entries::Dir {
                reader: offline.reader(),
                // Key 0, which no entry has, is not left out: what stands there is a fault.
                next: if from <= 1 { 0 } else { from },
                to: if to == 0 { u64::MAX } else { to },
                step: Vec::new().into_iter(),
            },
        })
    }

    /// The last entry: the one the running state was folded up to, or that of a directory whose
    /// journal is whole.
    ///
    /// # Errors
    /// Those of the call; [`Failure::Journal`] if the directory's journal is not whole.
    pub async fn end(&mut self, progress: &mut Progress) -> Result<End, Failure> {
        Ok(match self {
            Source::Live(client) => End::Running(
                client
                    .state_digest(StateDigestRequest {})
                    .await?
                    .into_inner(),
            ),
            Source::Dir(offline) => {
                progress.expect(offline.last_key());
                End::Verified(offline.verify(&mut |seq| progress.at(seq))?)
            }
        })
    }
}

/// Where a journal ends, and who says so.
pub enum End {
    /// The daemon.
    Running(StateDigestResponse),
    /// A check of every entry.
    Verified(Verified),
}

impl End {
    /// The last entry.
    pub fn head(&self) -> Head {
        match self {
            End::Running(running) => Head {
                seq: running.seq,
                hash: hash(&running.head),
            },
            End::Verified(verified) => verified.head,
        }
    }
}

/// Entries on their way; unchecked.
pub enum Entries {
    /// From the daemon.
    Live(Box<Streaming<JournalEntry>>),
    /// From a directory.
    Dir {
        /// Reads it.
        reader: JournalReader,
        /// The next key to be read.
        next: u64,
        /// The last to be read.
        to: u64,
        /// What was read.
        step: std::vec::IntoIter<RawRecord>,
    },
}

impl Entries {
    /// The next; nothing after the last.
    ///
    /// # Errors
    /// Those of the call, or of reading the store.
    pub async fn next(&mut self) -> Result<Option<RawRecord>, Failure> {
        match self {
            Entries::Live(stream) => Ok(stream.message().await?.map(record)),
            Entries::Dir {
                reader,
                next,
                to,
                step,
            } => {
                if step.len() == 0 {
                    *step = reader.read_raw(*next, STEP)?.into_iter();
                }
                let Some(raw) = step.next().filter(|raw| raw.key <= *to) else {
                    return Ok(None);
                };
                *next = raw.key.saturating_add(1);
                Ok(Some(raw))
            }
        }
    }
}

fn record(entry: JournalEntry) -> RawRecord {
    RawRecord {
        key: entry.seq,
        hash: hash(&entry.hash),
        payload: entry.payload,
    }
}

/// A hash that came as bytes. What is none is the hash of nothing.
fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().map_or(Hash::ZERO, Hash)
}
