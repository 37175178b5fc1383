//! `journal inspect|replay|verify|export|import|prune|accept-loss`: of the running daemon, or of a directory.

mod accept;
mod filter;
pub mod inspect;
mod point;
mod progress;
mod prune;
pub mod replay;
mod rows;
mod source;
mod transfer;
pub mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Session;
use crate::exit::Failure;
use crate::output::Operation;

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print entries, one a line
    Inspect(inspect::Inspect),
    /// Fold the journal again: compare with the running state, or show an earlier one
    Replay(replay::Replay),
    /// Check every entry: number, hash, chain, encoding, and where the journal ends
    Verify(verify::Verify),
    /// Write the journal into one file that can be kept, read elsewhere and imported
    Export(transfer::Export),
    /// Make a new journal from an exported one
    Import(transfer::Import),
    /// Remove the oldest entries for good, behind the state they led to
    Prune(prune::Prune),
    /// Have a journal that is refused start again, with what can be kept of it
    AcceptLoss(accept::AcceptLoss),
}

/// Whose journal.
#[derive(Debug, Args)]
pub struct Where {
    /// The journal in this directory, whose daemon is stopped (it is copied and left unchanged),
    /// instead of the running daemon's
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Inspect(_) => Operation::read("journal.inspect"),
            Verb::Replay(_) => Operation::read("journal.replay"),
            Verb::Verify(_) => Operation::read("journal.verify"),
            Verb::Export(_) => Operation::read("journal.export"),
            Verb::Import(_) => Operation::write("journal.import"),
            Verb::Prune(_) => Operation::write("journal.prune"),
            Verb::AcceptLoss(_) => Operation::write("journal.accept-loss"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::Inspect(inspect) => inspect.run(session).await,
            Verb::Replay(replay) => replay.run(session).await,
            Verb::Verify(verify) => verify.run(session).await,
            Verb::Export(export) => export.run(session).await,
            Verb::Import(import) => import.run(session),
            Verb::Prune(prune) => prune.run(session),
            Verb::AcceptLoss(accept) => accept.run(session),
        }
    }
}

/// A time in nanoseconds since the Unix epoch, as people write it.
fn rfc3339(time_unix_ns: u64) -> humantime::Rfc3339Timestamp {
    let since = std::time::Duration::from_nanos(time_unix_ns);
    humantime::format_rfc3339_nanos(std::time::UNIX_EPOCH + since)
}
