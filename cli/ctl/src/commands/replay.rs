//! `journal replay`: folds the journal again, here, and compares with what the daemon holds.
//!
//! This is a second computation of the same state, by another process: the daemon's word is taken
//! for nothing but the digest it is compared with and the bytes of the entries.

use serde_json::{Value, json};
use syva_model::entry::Hash;
use syva_model::fold::FoldError;
use syva_model::state::State;
use syva_rpc::client::Client;
use syva_rpc::v1::{JournalEntry, ReadJournalRequest, StateDigestRequest, StateDigestResponse};

use super::journal::{BadEntry, hex, read};
use crate::commands::Session;
use crate::exit::Failure;

/// How the journal is not whole, or does not give the running state.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Entries do not follow one another.
    #[error("entry {expected} should come, entry {found} came: the journal is not whole")]
    Gap {
        /// The next number.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The journal ends before the state it should give.
    #[error("the journal ends at entry {last}, the running state is at entry {wanted}")]
    Short {
        /// The last entry read.
        last: u64,
        /// The running state's.
        wanted: u64,
    },
    /// An entry is not what it should be.
    #[error("entry {seq}: {error}")]
    Entry {
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        error: BadEntry,
    },
    /// The chain is broken.
    #[error(
        "entry {seq} says that the entry before it hashes to {said}, it hashes to {found}: one of the \
         two was altered"
    )]
    Chain {
        /// The entry.
        seq: u64,
        /// What it says.
        said: Hash,
        /// What is so.
        found: Hash,
    },
    /// The entry does not fold.
    #[error("the journal does not fold: {0}")]
    Fold(#[from] FoldError),
    /// The last entry is not the daemon's last entry.
    #[error(
        "entry {seq} hashes to {found}, the running state was folded up to one that hashes to {said}"
    )]
    Head {
        /// The last entry.
        seq: u64,
        /// Its hash.
        found: Hash,
        /// The daemon's word.
        said: String,
    },
    /// The state cannot be encoded.
    #[error("the state has no digest: {0}")]
    Digest(String),
    /// The states differ.
    #[error(
        "the replayed state differs from the running one at entry {seq}: digest {replayed} by replay, \
         {running} running"
    )]
    State {
        /// The last entry folded.
        seq: u64,
        /// The digest computed here.
        replayed: Hash,
        /// The daemon's.
        running: String,
    },
}

impl Mismatch {
    /// What JSON says of it beside the reason.
    pub fn data(&self) -> Option<Value> {
        match self {
            Mismatch::State {
                seq,
                replayed,
                running,
            } => Some(replayed_json(*seq, replayed, running, false)),
            _ => None,
        }
    }
}

fn replayed_json(seq: u64, replayed: &Hash, running: &str, equal: bool) -> Value {
    json!({
        "entries": seq,
        "seq": seq,
        "digest": replayed.to_string(),
        "running_digest": running,
        "equal": equal,
    })
}

/// Asks for the running state's digest and the entries up to it, folds them, prints the outcome.
///
/// # Errors
/// [`Failure::Replay`] if anything disagrees; else any.
pub async fn run(session: &Session<'_>) -> Result<(), Failure> {
    let mut client = session.client().await?;
    let running = client
        .state_digest(StateDigestRequest {})
        .await?
        .into_inner();
    let mut replay = Replay::default();
    // To read up to entry 0 would mean to read everything.
    if running.seq > 0 {
        fold_up_to(running.seq, &mut client, &mut replay).await?;
    }
    let digest = replay.compare(&running)?;
    let (seq, same) = (running.seq, hex(&running.digest));
    session
        .out
        .answer(replayed_json(seq, &digest, &same, true), || {
            vec![
                format!("{seq} entries folded, the hash chain is whole"),
                format!("digest {digest}"),
                format!("equal to the running state at entry {seq}"),
            ]
        })
}

async fn fold_up_to(last: u64, client: &mut Client, replay: &mut Replay) -> Result<(), Failure> {
    let request = ReadJournalRequest {
        from_seq: 1,
        to_seq: last,
    };
    let mut entries = client.read_journal(request).await?.into_inner();
    while replay.state.seq() < last
        && let Some(raw) = entries.message().await?
    {
        replay.fold(&raw)?;
    }
    Ok(())
}

/// The fold so far.
#[derive(Debug, Default)]
struct Replay {
    state: State,
    /// The last entry's hash.
    head: Hash,
}

impl Replay {
    /// Checks the next entry and folds it.
    fn fold(&mut self, raw: &JournalEntry) -> Result<(), Mismatch> {
        let expected = self.state.seq() + 1;
        if raw.seq != expected {
            let found = raw.seq;
            return Err(Mismatch::Gap { expected, found });
        }
        let seq = raw.seq;
        let entry = read(raw).map_err(|error| Mismatch::Entry { seq, error })?;
        if entry.prev != self.head {
            let (said, found) = (entry.prev, self.head);
            return Err(Mismatch::Chain { seq, said, found });
        }
        // Computed from the payload, not taken from the message.
        self.head = Hash::of(&raw.payload);
        self.state.fold(&entry, self.head)?;
        Ok(())
    }

    /// The state's digest, if it and the last entry are those of the running state.
    fn compare(&self, running: &StateDigestResponse) -> Result<Hash, Mismatch> {
        let seq = self.state.seq();
        if seq != running.seq {
            let (last, wanted) = (seq, running.seq);
            return Err(Mismatch::Short { last, wanted });
        }
        if self.head.0.as_slice() != running.head {
            let (found, said) = (self.head, hex(&running.head));
            return Err(Mismatch::Head { seq, found, said });
        }
        let digest = self
            .state
            .digest()
            .map_err(|error| Mismatch::Digest(error.to_string()))?;
        if digest.0.as_slice() != running.digest {
            return Err(Mismatch::State {
                seq,
                replayed: digest,
                running: hex(&running.digest),
            });
        }
        Ok(digest)
    }
}
