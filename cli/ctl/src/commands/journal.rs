//! `journal inspect|replay`.

use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syva_model::entry::{DecodeError, Entry, Hash};
use syva_rpc::v1::{JournalEntry, ReadJournalRequest};

use super::summary::{Whereabouts, summary};
use super::{Session, replay};
use crate::exit::Failure;
use crate::output::{Operation, or_dash};

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print entries, one a line
    Inspect(Inspect),
    /// Fold the journal again and compare with the running state
    Replay,
}

/// `journal inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The first entry
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
    /// The last entry [default: the last there is]
    #[arg(
        long,
        value_name = "SEQ",
        default_value_t = 0,
        hide_default_value = true
    )]
    to: u64,
    /// Only entries of this kind (`register_zone`, `attach_container`, `boot`, ...)
    #[arg(long)]
    kind: Option<String>,
    /// Only entries that name this zone, or a container that was in it
    #[arg(long)]
    zone: Option<String>,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Inspect(_) => Operation::read("journal.inspect"),
            Verb::Replay => Operation::read("journal.replay"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::Inspect(inspect) => inspect.run(session).await,
            Verb::Replay => replay::run(session).await,
        }
    }
}

impl Inspect {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = ReadJournalRequest {
            // Where a container is at the first entry wanted, only earlier ones say.
            from_seq: if self.zone.is_some() { 1 } else { self.from },
            to_seq: self.to,
        };
        let reply = session.client().await?.read_journal(request).await?;
        let mut entries = reply.into_inner();
        let mut whereabouts = Whereabouts::default();
        let (mut shown, mut unreadable) = (0_u64, 0_u64);
        while let Some(raw) = entries.message().await? {
            match read(&raw) {
                Ok(entry) => {
                    if self.wants(&entry, &mut whereabouts) {
                        session
                            .out
                            .item(|| entry_json(&entry, &raw), || entry_line(&entry))?;
                        shown += 1;
                    }
                }
                // Whatever it is about: what cannot be read is not left out silently.
                Err(error) => {
                    unreadable += 1;
                    session.out.item(
                        || json!({ "seq": raw.seq, "hash": hex(&raw.hash), "error": error.to_string() }),
                        || format!("{:>6}  {error}", raw.seq),
                    )?;
                }
            }
        }
        if unreadable > 0 {
            return Err(Failure::Unreadable(unreadable));
        }
        if shown == 0 {
            session.out.note("no entry matches");
        }
        Ok(())
    }

    fn wants(&self, entry: &Entry, whereabouts: &mut Whereabouts) -> bool {
        let concerned = self
            .zone
            .as_ref()
            .is_none_or(|zone| whereabouts.concerns(&entry.command, zone));
        let kind = self.kind.as_deref();
        concerned && entry.seq >= self.from && kind.is_none_or(|kind| kind == entry.command.kind())
    }
}

/// Why bytes of the journal are not the entry they stand for.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// They do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Their SHA-256 is another than the one kept with them.
    #[error("the payload hashes to {found}, not to {kept} as kept with it")]
    Hash {
        /// What they hash to.
        found: Hash,
        /// What was kept.
        kept: String,
    },
    /// They hold another entry.
    #[error("the payload is that of entry {0}")]
    Number(u64),
}

/// The entry in a message, checked against the number and the hash that came with it.
pub fn read(raw: &JournalEntry) -> Result<Entry, BadEntry> {
    let found = Hash::of(&raw.payload);
    if found.0.as_slice() != raw.hash {
        let kept = hex(&raw.hash);
        return Err(BadEntry::Hash { found, kept });
    }
    let entry = Entry::decode(&raw.payload)?;
    if entry.seq == raw.seq {
        Ok(entry)
    } else {
        Err(BadEntry::Number(entry.seq))
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn time(entry: &Entry) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_nanos(entry.time_unix_ns)
}

fn entry_line(entry: &Entry) -> String {
    let peer = &entry.peer;
    let who = format!(
        "{} uid {} pid {}",
        or_dash(&peer.adapter),
        peer.uid,
        peer.pid
    );
    format!(
        "{:>6}  {}  {who:<26}  {:<18}  {}",
        entry.seq,
        humantime::format_rfc3339_millis(time(entry)),
        entry.command.kind(),
        summary(&entry.command),
    )
}

fn entry_json(entry: &Entry, raw: &JournalEntry) -> Value {
    json!({
        "seq": entry.seq,
        "time": humantime::format_rfc3339_nanos(time(entry)).to_string(),
        "time_unix_ns": entry.time_unix_ns,
        "boot": entry.boot.to_string(),
        "peer": entry.peer,
        "kind": entry.command.kind(),
        "summary": summary(&entry.command),
        "command": entry.command,
        "prev": entry.prev.to_string(),
        "hash": hex(&raw.hash),
    })
}
