//! `journal replay`: folds the journal again, here: to compare with what the daemon holds, and to show
//! what was in force at an earlier point.
//!
//! This is a second computation of the same state, by another process: the daemon's word is taken
//! for nothing but the digest it is compared with and the bytes of the entries.

use clap::Args;
use serde_json::{Value, json};
use syva_journal::Horizon;
use syva_journal::record::intact;
use syva_model::entry::{Entry, Hash};
use syva_model::fold::FoldError;
use syva_model::state::State;
use syva_rpc::v1::StateDigestResponse;

use super::point::{Other, Point, other, point};
use super::progress::Progress;
use super::rows::{diff, rows, state_json, state_text};
use super::source::{End, Source};
use super::verify::{Chain, Unsound, pruned_json, pruned_line};
use super::{Where, rfc3339};
use crate::commands::Session;
use crate::exit::Failure;

/// `journal replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Show the state after this entry, or at this time (RFC 3339)
    #[arg(long, value_name = "SEQ|TIME", value_parser = point)]
    to: Option<Point>,
    /// Show what is different at this other point, or in the running daemon
    #[arg(long, value_name = "SEQ|TIME|live", value_parser = other)]
    diff: Option<Other>,
    /// Show the state, also that of the whole journal
    #[arg(long)]
    state: bool,
    #[command(flatten)]
    at: Where,
}

/// How the journal does not give the running state.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// The entry does not fold.
    #[error("the journal does not fold: {0}")]
    Fold(#[from] FoldError),
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
            } => Some(compared(*seq, *replayed, running, false)),
            _ => None,
        }
    }
}

/// The state after some entry.
struct Folded {
    state: State,
    chain: Chain,
    digest: Hash,
    /// The last entry's time; nothing before the first.
    time: Option<u64>,
    /// What was pruned before the first entry folded.
    pruned: Option<Value>,
}

impl Folded {
    fn seq(&self) -> u64 {
        self.state.seq()
    }

    /// Where it is, in words.
    fn label(&self) -> String {
        match self.time {
            None => "before the first entry".to_owned(),
            Some(time) => format!("after entry {} of {}", self.seq(), rfc3339(time)),
        }
    }

    fn json(&self) -> Value {
        json!({
            "entries": self.seq(), "seq": self.seq(), "digest": self.digest.to_string(),
        })
    }
}

impl Replay {
    /// Reads and folds, prints the outcome.
    ///
    /// # Errors
    /// [`Failure::Unsound`] and [`Failure::Journal`] if the journal is not whole as far as it is
    /// read; [`Failure::Replay`] if it does not give the running state; else any.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut source = Source::open(session, self.at.path.as_deref()).await?;
        let mut progress = Progress::new("replaying");
        if let Some(horizon) = source.horizon().await? {
            session.out.note(&pruned_line(&horizon));
        }
        let (folded, running) = match self.to {
            None => whole(&mut source, &mut progress).await?,
            Some(to) => {
                let seq = seq_of(session, &mut source, to, &mut progress).await?;
                (fold(&mut source, seq, &mut progress).await?, None)
            }
        };
        let Some(other) = self.diff else {
            drop(progress);
            return self.show(session, &folded, running.as_ref());
        };
        let other = match (other, &source) {
            (Other::Live, Source::Dir(_)) => {
                let mut live = Source::open(session, None).await?;
                whole(&mut live, &mut progress).await?.0
            }
            (Other::Live, Source::Live(_)) => whole(&mut source, &mut progress).await?.0,
            (Other::Point(to), _) => {
                let seq = seq_of(session, &mut source, to, &mut progress).await?;
                fold(&mut source, seq, &mut progress).await?
            }
        };
        drop(progress);
        differences(session, &folded, &other)
    }

    fn show(
        &self,
        session: &Session<'_>,
        folded: &Folded,
        running: Option<&StateDigestResponse>,
    ) -> Result<(), Failure> {
        let (seq, digest) = (folded.seq(), folded.digest);
        let mut data = match running {
            Some(running) => compared(seq, digest, &hex(&running.digest), true),
            None => folded.json(),
        };
        if let Some(pruned) = &folded.pruned {
            data["pruned"] = pruned.clone();
        }
        let state = (self.state || self.to.is_some()).then(|| rows(&folded.state));
        if let Some(rows) = &state {
            data["state"] = state_json(rows);
        }
        if self.to.is_some() {
            data["time"] = json!(folded.time.map(|time| rfc3339(time).to_string()));
        }
        session.out.answer(data, || {
            let mut lines = vec![
                format!("{seq} entries folded, the hash chain is whole"),
                format!("digest {digest}"),
            ];
            if running.is_some() {
                lines.push(format!("equal to the running state at entry {seq}"));
            } else if self.to.is_none() {
                lines.push("the head anchor agrees".to_owned());
            }
            if let Some(rows) = &state {
                lines.push(format!("the state {}:", folded.label()));
                lines.extend(state_text(rows));
            }
            lines
        })
    }
}

fn differences(session: &Session<'_>, from: &Folded, to: &Folded) -> Result<(), Failure> {
    let changes = diff(&rows(&from.state), &rows(&to.state));
    let mut data = from.json();
    data["diff"] = json!({
        "seq": to.seq(), "digest": to.digest.to_string(),
        "changes": changes.iter().map(super::rows::Change::json).collect::<Vec<_>>(),
    });
    session.out.answer(data, || {
        let mut lines = vec![
            format!("from {}, digest {}", from.label(), from.digest),
            format!("to   {}, digest {}", to.label(), to.digest),
        ];
        if changes.is_empty() {
            lines.push("no difference".to_owned());
        }
        lines.extend(changes.iter().map(super::rows::Change::line));
        lines
    })
}

/// Folds the whole journal, and holds it against what the daemon says of its own state, or against the
/// head anchor of the directory.
async fn whole(
    source: &mut Source,
    progress: &mut Progress,
) -> Result<(Folded, Option<StateDigestResponse>), Failure> {
    let end = source.end(progress).await?;
    let head = end.head();
    let folded = fold(source, head.seq, progress).await?;
    folded.chain.ends_with(head)?;
    match end {
        End::Verified(_) => Ok((folded, None)),
        End::Running(running) => {
            if folded.digest.0.as_slice() == running.digest {
                return Ok((folded, Some(running)));
            }
            Err(Mismatch::State {
                seq: folded.seq(),
                replayed: folded.digest,
                running: hex(&running.digest),
            }
            .into())
        }
    }
}

/// Checks and folds the entries up to `last`.
async fn fold(source: &mut Source, last: u64, progress: &mut Progress) -> Result<Folded, Failure> {
    let horizon = source.horizon().await?;
    let (mut state, mut time) = match &horizon {
        None => (State::default(), None),
        Some(horizon) => (beginning(horizon)?, Some(horizon.time_unix_ns)),
    };
    let mut chain = Chain::after(horizon.as_ref());
    progress.expect(last);
    // To read up to entry 0 would mean to read everything.
    if last > state.seq() {
        let mut entries = source.read(state.seq() + 1, last).await?;
        while state.seq() < last
            && let Some(raw) = entries.next().await?
        {
            let entry: Entry = chain.push(&raw)?;
            state
                .fold(&entry, raw.hash)
                .map_err(|error| Failure::Replay(error.into()))?;
            time = Some(entry.time_unix_ns);
            progress.at(state.seq());
        }
        chain.reaches(last)?;
    }
    let digest = state
        .digest()
        .map_err(|error| Mismatch::Digest(error.to_string()))?;
    Ok(Folded {
        state,
        chain,
        digest,
        time,
        pruned: horizon.as_ref().map(pruned_json),
    })
}

/// The state that stands for pruned entries.
///
/// # Errors
/// [`Failure::Unsound`] if this version does not understand it.
pub fn beginning(horizon: &Horizon) -> Result<State, Failure> {
    let last = horizon.head.seq;
    let state = horizon
        .restored()
        .map_err(|fault| Unsound::Horizon { last, fault })?;
    Ok(state)
}

/// That nothing can be shown before the horizon.
fn too_early(horizon: &Horizon) -> Failure {
    let (last, by) = (horizon.head.seq, horizon.by.seq);
    Failure::Refused(format!(
        "entries before entry {} were pruned by entry {by}: the earliest state that can be shown is that after \
         entry {last}, of {}; import the export that was written then to go back further",
        last + 1,
        rfc3339(horizon.time_unix_ns),
    ))
}

/// The number of the last entry that is not later than a point. A time says nothing of the order of
/// entries: the wall clock may have been set back.
async fn seq_of(
    session: &Session<'_>,
    source: &mut Source,
    to: Point,
    progress: &mut Progress,
) -> Result<u64, Failure> {
    let horizon = source.horizon().await?;
    let base = horizon.as_ref().map_or(0, |horizon| horizon.head.seq);
    let wanted = match to {
        Point::Seq(seq) if seq <= base => {
            return match &horizon {
                Some(horizon) if seq < base => Err(too_early(horizon)),
                _ => Ok(seq),
            };
        }
        Point::Seq(seq) => {
            let there = source.read(seq, seq).await?.next().await?;
            return match there {
                Some(raw) if raw.key == seq => Ok(seq),
                _ => Err(Failure::Refused(format!("there is no entry {seq}"))),
            };
        }
        Point::Time(wanted) => wanted,
    };
    let (mut found, mut latest, mut set_back) = match &horizon {
        None => (0, 0, None),
        Some(horizon) if wanted < horizon.time_unix_ns => return Err(too_early(horizon)),
        Some(horizon) => (horizon.head.seq, horizon.time_unix_ns, None),
    };
    let mut entries = source.read(found + 1, 0).await?;
    while let Some(raw) = entries.next().await? {
        let seq = raw.key;
        let entry = intact(&raw).map_err(|fault| Unsound::Entry { seq, fault })?;
        if entry.time_unix_ns < latest {
            set_back.get_or_insert(seq);
        }
        latest = latest.max(entry.time_unix_ns);
        if entry.time_unix_ns <= wanted {
            found = seq;
        }
        progress.at(seq);
    }
    if let Some(seq) = set_back {
        session.out.note(&format!(
            "the clock was set back before entry {seq}: the state shown is that after the last entry that \
             is not later than the time given, entry {found}"
        ));
    }
    Ok(found)
}

fn compared(seq: u64, replayed: Hash, running: &str, equal: bool) -> Value {
    json!({
        "entries": seq,
        "seq": seq,
        "digest": replayed.to_string(),
        "running_digest": running,
        "equal": equal,
    })
}

/// Bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
