//! `journal prune`: removes the oldest entries of a stopped daemon's journal, once they are in an export.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;
use syva_journal::Journal;
use syva_journal::export::{ExportError, Extent, Writer};
use syva_journal::journal::prune::{Before, Plan, PruneError};
use syva_model::entry::Peer;

use super::point::{Point, point};
use super::progress::Progress;
use super::transfer::{draft, put_in_place};
use super::verify::{pruned_json, pruned_line};
use crate::commands::Session;
use crate::exit::Failure;
use crate::output::Remarks;

/// How many entries are exported at once.
const STEP: usize = 1024;

/// `journal prune`.
#[derive(Debug, Args)]
pub struct Prune {
    /// The first entry to keep, or a time (RFC 3339): the first entry not made before it is kept, and
    /// all after it
    #[arg(long, value_name = "SEQ|TIME", value_parser = point)]
    before: Point,
    /// The journal's directory; its daemon is stopped
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
    /// Write the entries that go into this file first, which must not exist yet; `journal import` undoes
    /// the pruning with it
    #[arg(long, value_name = "FILE", required_unless_present = "without_export")]
    export: Option<PathBuf>,
    /// Let them go for good
    #[arg(long, conflicts_with = "export")]
    without_export: bool,
}

impl Prune {
    /// Checks, exports, removes.
    ///
    /// # Errors
    /// [`Failure::Offline`] and [`Failure::Export`]: nothing was removed.
    pub fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let before = match self.before {
            Point::Seq(seq) => Before::Seq(seq),
            Point::Time(time) => Before::Time(time),
        };
        let mut progress = Progress::new("checking");
        let (mut journal, _) = Journal::open_existing(&self.path).map_err(PruneError::from)?;
        let plan = journal.plan_pruning(before, &mut |seq| progress.at(seq))?;
        drop(progress);
        if let Some(file) = &self.export {
            export(&journal, &plan, file)?;
        }
        let entries = plan.head.seq - plan.base.seq;
        let mut progress = Progress::new("pruning");
        progress.expect(plan.head.seq);
        let horizon = journal.prune(plan, own_peer(), now(), &mut |seq| progress.at(seq))?;
        drop(progress);
        let mut data = json!({
            "path": self.path.display().to_string(), "entries": entries,
            "pruned": pruned_json(&horizon), "head": journal.head().hash.to_string(),
        });
        if let Some(file) = &self.export {
            data["export"] = json!(file.display().to_string());
        }
        let text = format!("{entries} entries pruned; {}", pruned_line(&horizon));
        session.out.done(data, text, Remarks::default())
    }
}

/// The wall clock's time, in nanoseconds since the Unix epoch.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// Who runs this command.
pub fn own_peer() -> Peer {
    Peer {
        uid: nix::unistd::getuid().as_raw(),
        gid: nix::unistd::getgid().as_raw(),
        pid: std::process::id(),
        adapter: "syva-cli".to_owned(),
    }
}

/// Writes what is to go, whole and durable, before anything goes.
fn export(journal: &Journal, plan: &Plan, file: &Path) -> Result<(), Failure> {
    let failed = |source: ExportError| Failure::Export {
        file: file.to_owned(),
        source: Box::new(source),
    };
    let mut progress = Progress::new("exporting");
    progress.expect(plan.head.seq);
    let out = BufWriter::with_capacity(1 << 16, draft(file)?);
    let extent = Extent {
        base: plan.base,
        head: plan.head,
    };
    let mut writer = Writer::new(out, extent).map_err(failed)?;
    let (reader, mut at) = (journal.reader(), plan.base.seq);
    while at < plan.head.seq {
        let left = usize::try_from(plan.head.seq - at).unwrap_or(STEP);
        for raw in reader.read_raw(at + 1, left.min(STEP))? {
            at = writer.push(&raw).map_err(failed)?.seq;
            progress.at(at);
        }
    }
    put_in_place(writer.finish().map_err(failed)?, file)?;
    Ok(())
}
