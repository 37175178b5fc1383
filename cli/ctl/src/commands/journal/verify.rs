//! `journal verify`: every entry's number, hash, encoding and place in the chain, and the journal's end.

use clap::Args;
use serde_json::{Value, json};
use syva_journal::offline::Verified;
use syva_journal::record::{Fault, RawRecord, inspect};
use syva_journal::{Head, Horizon, JournalError, horizon};
use syva_model::entry::{Entry, Hash};

use super::progress::Progress;
use super::source::{End, Source};
use super::{Where, rfc3339};
use crate::commands::Session;
use crate::exit::Failure;

/// `journal verify`.
#[derive(Debug, Args)]
pub struct Verify {
    #[command(flatten)]
    at: Where,
}

/// The journal is not what was acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum Unsound {
    /// An entry is bad: the first.
    #[error("entry {seq} is bad: {fault}; those before it are whole")]
    Entry {
        /// Its number.
        seq: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// It ends too early.
    #[error("the journal ends at entry {last}, and must go on to entry {wanted}")]
    Short {
        /// The last entry read.
        last: u64,
        /// The last acknowledged.
        wanted: u64,
    },
    /// The last entry is not the one that was acknowledged.
    #[error("entry {seq} hashes to {found}, one that hashes to {said} was acknowledged")]
    Head {
        /// The last entry.
        seq: u64,
        /// Its hash.
        found: Hash,
        /// The daemon's word.
        said: Hash,
    },
    /// What stands for pruned entries is not what the journal says.
    #[error(
        "what stands for the entries up to {last}, which were pruned, cannot be taken: {fault}"
    )]
    Horizon {
        /// The last entry pruned.
        last: u64,
        /// What is wrong with it.
        fault: horizon::Fault,
    },
    /// The entries are whole, what is kept beside them is not.
    #[error("all {entries} entries are whole, but {}", problems.join("; and "))]
    Beside {
        /// How many entries there are.
        entries: u64,
        /// What is damaged, and what to do.
        problems: Vec<String>,
    },
}

impl Unsound {
    /// What JSON says of it beside the reason.
    pub fn data(&self) -> Value {
        match self {
            Unsound::Entry { seq, .. } | Unsound::Head { seq, .. } => json!({ "first_bad": seq }),
            Unsound::Short { last, .. } => json!({ "first_bad": last + 1 }),
            Unsound::Horizon { last, .. } => json!({ "pruned_to": last }),
            Unsound::Beside { entries, problems } => {
                json!({ "entries": entries, "problems": problems })
            }
        }
    }
}

/// The first bad entry that an error of the journal's names.
pub fn first_bad(error: &JournalError) -> Option<u64> {
    match error {
        JournalError::BadEntry { seq, .. } => Some(*seq),
        JournalError::Short { found, .. } => Some(found.seq + 1),
        JournalError::Different { found, .. } => Some(found.seq),
        JournalError::StoreBroken { found, .. } => found.first_bad,
        _ => None,
    }
}

/// Entries that were checked, each against the one before it.
#[derive(Debug, Default)]
pub struct Chain {
    /// The last.
    pub head: Head,
    /// What stands for pruned entries, as long as the entry that names it has not come.
    unbound: Option<Horizon>,
}

impl Chain {
    /// A chain that begins with the first entry there is.
    pub fn after(horizon: Option<&Horizon>) -> Chain {
        Chain {
            head: horizon.map_or(Head::EMPTY, |horizon| horizon.head),
            unbound: horizon.cloned(),
        }
    }

    /// Checks that an entry follows, and decodes it.
    ///
    /// # Errors
    /// [`Unsound::Entry`].
    pub fn push(&mut self, raw: &RawRecord) -> Result<Entry, Unsound> {
        let seq = self.head.seq + 1;
        let entry = inspect(self.head, raw).map_err(|fault| Unsound::Entry { seq, fault })?;
        if let Some(horizon) = self.unbound.take_if(|horizon| horizon.by.seq == seq) {
            horizon
                .is_named_by(&entry)
                .map_err(|fault| Unsound::Horizon {
                    last: horizon.head.seq,
                    fault,
                })?;
        }
        self.head = Head {
            seq,
            hash: raw.hash,
        };
        Ok(entry)
    }

    /// Whether the entries go up to `wanted`.
    ///
    /// # Errors
    /// [`Unsound::Short`].
    pub fn reaches(&self, wanted: u64) -> Result<(), Unsound> {
        let last = self.head.seq;
        if last < wanted {
            return Err(Unsound::Short { last, wanted });
        }
        Ok(())
    }

    /// Whether the last entry is the one that it should be.
    ///
    /// # Errors
    /// [`Unsound::Short`] and [`Unsound::Head`].
    pub fn ends_with(&self, wanted: Head) -> Result<(), Unsound> {
        self.reaches(wanted.seq)?;
        let (last, found) = (self.head.seq, self.head.hash);
        if self.head != wanted {
            let (seq, said) = (last, wanted.hash);
            return Err(Unsound::Head { seq, found, said });
        }
        Ok(())
    }
}

impl Verify {
    /// Checks, and says what was found.
    ///
    /// # Errors
    /// [`Failure::Unsound`] and [`Failure::Journal`] name the first bad entry.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut source = Source::open(session, self.at.path.as_deref()).await?;
        let mut progress = Progress::new("verifying");
        let horizon = source.horizon().await?;
        match source.end(&mut progress).await? {
            End::Verified(verified) => {
                drop(progress);
                of_directory(session, &verified, horizon.as_ref())
            }
            end @ End::Running(_) => {
                let head = end.head();
                progress.expect(head.seq);
                let mut chain = Chain::after(horizon.as_ref());
                if head.seq > chain.head.seq {
                    let mut entries = source.read(chain.head.seq + 1, head.seq).await?;
                    while chain.head.seq < head.seq
                        && let Some(raw) = entries.next().await?
                    {
                        chain.push(&raw)?;
                        progress.at(chain.head.seq);
                    }
                }
                chain.ends_with(head)?;
                drop(progress);
                said(
                    session,
                    head,
                    horizon.as_ref(),
                    "the daemon's state was folded up to it",
                    json!({}),
                )
            }
        }
    }
}

fn of_directory(
    session: &Session<'_>,
    verified: &Verified,
    horizon: Option<&Horizon>,
) -> Result<(), Failure> {
    let mut problems = Vec::new();
    if verified.anchor_damaged {
        problems.push(
            "one of the two slots of the head anchor is damaged: if a crash did not tear it, the last \
             append acknowledged may be missing; the next start writes it anew"
                .to_owned(),
        );
    }
    if let Some(refusal) = &verified.of_sled {
        problems.push(format!(
            "the store opens only without its own files conf and snap.* ({refusal}): a daemon will \
             refuse it; export the journal and import it into a new directory"
        ));
    }
    if !problems.is_empty() {
        let entries = verified.head.seq;
        return Err(Unsound::Beside { entries, problems }.into());
    }
    let unacknowledged = verified.unacknowledged;
    if unacknowledged > 0 {
        session.out.note(&format!(
            "the last {unacknowledged} were written and not acknowledged when the daemon ended; the next \
             start keeps them"
        ));
    }
    if let Some(torn) = &verified.torn {
        session.out.note(&format!(
            "what lies behind them was never acknowledged ({torn}); the next start cuts it"
        ));
    }
    let data = json!({ "unacknowledged": unacknowledged, "torn": verified.torn });
    let end = "the head anchor agrees";
    said(session, verified.head, horizon, end, data)
}

fn said(
    session: &Session<'_>,
    head: Head,
    horizon: Option<&Horizon>,
    end: &str,
    mut data: Value,
) -> Result<(), Failure> {
    let pruned = horizon.map_or(0, |horizon| horizon.head.seq);
    data["entries"] = json!(head.seq - pruned);
    data["first_seq"] = json!(pruned + 1);
    if let Some(horizon) = horizon {
        data["pruned"] = pruned_json(horizon);
    }
    data["seq"] = json!(head.seq);
    data["head"] = json!(head.hash.to_string());
    session.out.answer(data, || {
        let mut lines = vec![
            format!("{} entries, the hash chain is whole", head.seq - pruned),
            format!("head {}", head.hash),
            end.to_owned(),
        ];
        lines.extend(horizon.map(pruned_line));
        lines
    })
}

/// What JSON says of pruned entries.
pub fn pruned_json(horizon: &Horizon) -> Value {
    json!({
        "to": horizon.head.seq, "by": horizon.by.seq, "digest": horizon.digest().to_string(),
        "time": rfc3339(horizon.time_unix_ns).to_string(),
    })
}

/// The same for people.
pub fn pruned_line(horizon: &Horizon) -> String {
    let (to, first) = (horizon.head.seq, horizon.head.seq + 1);
    format!(
        "the journal begins with entry {first}: those up to entry {to} (of {}) were pruned by entry {}, which \
         names the state that stands for them, digest {}",
        rfc3339(horizon.time_unix_ns),
        horizon.by.seq,
        horizon.digest(),
    )
}
