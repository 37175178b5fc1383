//! `journal accept-loss`: makes a refused journal one that starts again, and journals that it was done.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use syva_journal::journal::prune::PruneError;
use syva_journal::{Head, Journal, JournalError, Loss, Offline};

use super::progress::Progress;
use super::prune::{now, own_peer};
use crate::commands::Session;
use crate::exit::Failure;
use crate::output::Remarks;

/// `journal accept-loss`.
#[derive(Debug, Args)]
pub struct AcceptLoss {
    /// The journal's directory; its daemon is stopped. Copy it before: what is lost is removed
    #[arg(long, value_name = "DIR")]
    path: PathBuf,
}

impl AcceptLoss {
    /// Looks for what is wrong, keeps what can be kept, says what is gone.
    ///
    /// # Errors
    /// [`Failure::Refused`] if nothing is lost; [`Failure::Offline`] and [`Failure::Journal`]: the loss
    /// is not accepted.
    pub fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let because = refusal(&self.path)?;
        let accepting = |source: PruneError| Failure::Offline {
            doing: "accept the loss",
            source: Box::new(source),
        };
        let opened = Journal::open_accepting_loss(&self.path);
        let (mut journal, loss) = opened.map_err(|error| accepting(error.into()))?;
        let told = Told::of(&loss);
        let mut progress = Progress::new("letting go");
        let accepted = journal.accept(loss, &because, &own_peer(), now(), &mut |seq| {
            progress.at(seq);
        });
        let entry = accepted.map_err(accepting)?;
        drop(progress);
        let data = json!({
            "path": self.path.display().to_string(), "because": because, "entry": entry.seq,
            "acknowledged": told.acknowledged, "kept_to": told.kept.seq,
            "history_to": told.history, "removed": told.removed, "set_aside": told.set_aside,
        });
        session
            .out
            .done(data, told.words(entry), Remarks::default())
    }
}

/// Why the journal is refused, or what else is wrong with it. Nothing is changed to find that out.
fn refusal(dir: &Path) -> Result<String, Failure> {
    let mut progress = Progress::new("checking");
    let verified = match Offline::open(dir) {
        Ok(offline) => {
            progress.expect(offline.last_key());
            offline.verify(&mut |seq| progress.at(seq))
        }
        Err(error) => Err(error),
    };
    match verified {
        Ok(verified) => verified.of_sled.ok_or_else(|| {
            let words = format!(
                "nothing is lost: all entries of the journal in {} are whole",
                dir.display()
            );
            Failure::Refused(words)
        }),
        // Whether there is no anchor because it was lost is for the one who asks to know.
        Err(error @ JournalError::Foreign { .. }) => Ok(error.to_string()),
        Err(error) if error.is_refusal() => Ok(error.to_string()),
        Err(error) => Err(error.into()),
    }
}

/// What is told of a loss.
struct Told {
    acknowledged: Option<u64>,
    kept: Head,
    history: Option<u64>,
    removed: u64,
    set_aside: Option<String>,
}

impl Told {
    fn of(loss: &Loss) -> Told {
        Told {
            acknowledged: loss.anchored.map(|anchored| anchored.seq),
            kept: loss.head,
            history: loss.history.as_ref().map(|plan| plan.head.seq),
            removed: loss.cut.as_ref().map_or(0, |cut| cut.records),
            set_aside: loss
                .set_aside
                .as_ref()
                .map(|aside| aside.display().to_string()),
        }
    }

    fn words(&self, entry: Head) -> String {
        let kept = self.kept.seq;
        let lost = match self.acknowledged {
            Some(last) if last > kept => format!("entries {} to {last} are lost", kept + 1),
            Some(_) => "no command is lost".to_owned(),
            None => format!("whatever came after entry {kept} is lost"),
        };
        let history = self.history.map_or(String::new(), |to| {
            format!("; the history up to entry {to} is gone, the state it led to is kept")
        });
        let aside = self.set_aside.as_ref().map_or(String::new(), |aside| {
            format!("; what could not be read is in {aside}")
        });
        format!("{lost}{history}{aside}; entry {} says so", entry.seq)
    }
}
