//! `journal inspect`: entries, one a line.

use clap::Args;
use serde_json::{Value, json};
use syva_journal::record::{RawRecord, intact};
use syva_model::entry::Entry;

use super::filter::Filter;
use super::progress::Progress;
use super::replay::beginning;
use super::source::Source;
use super::verify::pruned_line;
use super::{Where, rfc3339};
use crate::commands::Session;
use crate::commands::summary::{Whereabouts, summary};
use crate::exit::Failure;
use crate::output::{Items, or_dash};

/// `journal inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    at: Where,
}

impl Inspect {
    /// Reads, and prints what is wanted.
    ///
    /// # Errors
    /// [`Failure`] of any kind; [`Failure::Unreadable`] after everything else was printed.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let filter = &self.filter;
        let mut source = Source::open(session, self.at.path.as_deref()).await?;
        let horizon = source.horizon().await?;
        let base = horizon.as_ref().map_or(0, |horizon| horizon.head.seq);
        if let Some(horizon) = horizon.as_ref().filter(|_| filter.from <= base) {
            session.out.note(&pruned_line(horizon));
        }
        let from = filter.reads_from().max(base + 1);
        let mut entries = source.read(from, filter.to).await?;
        let mut whereabouts = match &horizon {
            None => Whereabouts::default(),
            Some(horizon) => Whereabouts::of(&beginning(horizon)?),
        };
        let mut walk = Walk::new(session.out.items(), from);
        let mut progress = Progress::new("inspecting");
        while let Some(raw) = entries.next().await? {
            progress.at(raw.key);
            walk.skip_to(raw.key)?;
            match intact(&raw) {
                Ok(entry) => {
                    if filter.wants(&entry, &mut whereabouts) {
                        walk.show(&entry, &raw)?;
                    }
                }
                // Whatever it is about: what cannot be read is not left out silently.
                Err(fault) => walk.bad(raw.key, &fault.to_string())?,
            }
        }
        if let Source::Dir(offline) = &source {
            let acknowledged = offline.anchored().head.map_or(0, |head| head.seq);
            let last = match filter.to {
                0 => acknowledged,
                to => to.min(acknowledged),
            };
            walk.skip_to(last.saturating_add(1))?;
        }
        let (shown, unreadable) = walk.end()?;
        if unreadable > 0 {
            return Err(Failure::Unreadable(unreadable));
        }
        if shown == 0 {
            session.out.note("no entry matches");
        }
        Ok(())
    }
}

/// A walk through the entries, and what was printed of them.
struct Walk {
    items: Items,
    next: u64,
    shown: u64,
    unreadable: u64,
}

impl Walk {
    fn new(items: Items, next: u64) -> Walk {
        Walk {
            items,
            next,
            shown: 0,
            unreadable: 0,
        }
    }

    /// Reports what is missing before entry `seq`, which comes next.
    fn skip_to(&mut self, seq: u64) -> Result<(), Failure> {
        let first = self.next;
        self.next = self.next.max(seq.saturating_add(1));
        if seq <= first {
            return Ok(());
        }
        let last = seq - 1;
        self.unreadable += seq - first;
        let error = if first == last {
            "it is missing".to_owned()
        } else {
            format!("it is missing, and so is what follows up to entry {last}")
        };
        self.complain(first, &error)
    }

    fn bad(&mut self, seq: u64, error: &str) -> Result<(), Failure> {
        self.unreadable += 1;
        self.complain(seq, error)
    }

    fn complain(&mut self, seq: u64, error: &str) -> Result<(), Failure> {
        self.items.item(
            || json!({ "seq": seq, "error": error }),
            || format!("{seq:>6}  {error}"),
        )
    }

    fn show(&mut self, entry: &Entry, raw: &RawRecord) -> Result<(), Failure> {
        self.shown += 1;
        self.items
            .item(|| entry_json(entry, raw), || entry_line(entry))
    }

    fn end(mut self) -> Result<(u64, u64), Failure> {
        self.items.end()?;
        Ok((self.shown, self.unreadable))
    }
}

fn entry_line(entry: &Entry) -> String {
    let peer = &entry.peer;
    let who = format!(
        "{} uid {} pid {}",
        or_dash(&peer.adapter),
        peer.uid,
        peer.pid
    );
    let since = std::time::Duration::from_nanos(entry.time_unix_ns);
    format!(
        "{:>6}  {}  {who:<26}  {:<18}  {}",
        entry.seq,
        humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + since),
        entry.command.kind(),
        summary(&entry.command),
    )
}

fn entry_json(entry: &Entry, raw: &RawRecord) -> Value {
    json!({
        "seq": entry.seq,
        "time": rfc3339(entry.time_unix_ns).to_string(),
        "time_unix_ns": entry.time_unix_ns,
        "boot": entry.boot.to_string(),
        "peer": entry.peer,
        "kind": entry.command.kind(),
        "summary": summary(&entry.command),
        "command": entry.command,
        "prev": entry.prev.to_string(),
        "hash": raw.hash.to_string(),
    })
}
