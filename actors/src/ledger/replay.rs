//! Where a ledger's state comes from: the journal, folded on from a snapshot if one is to be trusted.

use syva_journal::snapshot;
use syva_journal::{Head, JournalError, JournalReader};
use syva_model::command::Command;
use syva_model::entry::Peer;
use syva_model::fold::{FoldError, Touched};
use syva_model::kernel::Capacity;
use syva_model::project;
use syva_model::state::State;

use super::Ledger;
use crate::reconciler::own::OWN;

/// How many records are read at once.
const STEP: usize = 1024;

/// Why there is no state to work on.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It was read, and does not fold.
    #[error("the journal cannot be folded: {0}; use the version that wrote it, or restore a copy")]
    Fold(#[from] FoldError),
    /// It was folded, and the kernel's maps are to be made too small for it.
    #[error(
        "the journal holds {held} {what}, which do not fit --max-{what} {max}: start with at least {held}"
    )]
    TooSmall {
        /// Of what.
        what: &'static str,
        /// How many.
        held: usize,
        /// How many there may be.
        max: u32,
    },
}

impl<T> Ledger<T> {
    /// Capacities are checked at admission, so only another start's can be too small (D8).
    pub(super) fn fits(&self) -> Result<(), LedgerError> {
        let (state, capacity) = (&self.state, self.facts.node.capacity);
        // A new boot is about to void the memberships of the last one.
        let same_boot = state.boot == Some(self.facts.boot);
        // Rows of the last boot's former objects go with it, too.
        let claims = match same_boot {
            true => Capacity::claims_for(state.claim_rows() + OWN),
            false => 0,
        };
        let claims = claims.max(state.claims.len() + state.lost.len());
        let members = if same_boot { state.members.len() } else { 0 };
        for (what, held, max) in [
            ("zones", state.zones.len(), capacity.zones),
            ("members", members, capacity.members),
            ("claims", claims, capacity.claims),
            ("pairs", state.open_pairs().len(), capacity.pairs),
            (
                "host-sockets",
                // Those of service units go with the last boot's memberships.
                match same_boot {
                    true => state.host_socket_rows(),
                    false => state.host_sockets.len() + state.lost_sockets.len(),
                },
                capacity.host_sockets,
            ),
        ] {
            if held > max as usize {
                return Err(LedgerError::TooSmall { what, held, max });
            }
        }
        Ok(())
    }

    pub(super) fn replay(&mut self) -> Result<(), LedgerError> {
        if self.journal.refusal().is_some() {
            self.stand_in();
            return Ok(());
        }
        self.head = self.journal.head();
        let reader = self.journal.reader();
        self.state = match snapshot::trusted(&self.journal.snapshots(), &reader) {
            Ok(None) => folded(reader.beginning()?, &reader)?,
            Ok(Some(state)) => {
                self.saved.seq = state.seq();
                tracing::info!(seq = state.seq(), "folding on from a snapshot");
                folded(state, &reader).or_else(|error| {
                    ignored(&error);
                    folded(reader.beginning()?, &reader)
                })?
            }
            Err(fault) => {
                ignored(&fault);
                folded(reader.beginning()?, &reader)?
            }
        };
        self.image = project::project(&self.state);
        self.payloads.clear();
        self.touched = Touched::default();
        Ok(())
    }
}

impl<T> Ledger<T> {
    /// The journal is refused: the snapshot is what is left. It is whole, or it is not taken; whether it
    /// is of this journal nobody can say.
    fn stand_in(&mut self) {
        self.state = match self.journal.snapshots().load() {
            Ok(state) => state.unwrap_or_default(),
            Err(fault) => {
                tracing::warn!(error = %fault, "there is no snapshot to stand in for the journal");
                State::default()
            }
        };
        self.image = project::project(&self.state);
        self.payloads.clear();
        self.touched = Touched::default();
    }

    /// Has the state of a refused journal be of the running boot, as an entry would (D12). There is
    /// none: the state goes on being that of its last entry.
    ///
    /// # Errors
    /// [`LedgerError::Fold`].
    pub fn stand_in_this_boot(&mut self, boot: Command, peer: Peer) -> Result<(), LedgerError> {
        let last = Head {
            seq: self.state.seq,
            hash: self.state.head,
        };
        let entry = last.next((self.facts.clock)(), self.facts.boot, peer, boot);
        self.state.fold(&entry, last.hash)?;
        (self.state.seq, self.state.head) = (last.seq, last.hash);
        self.image = project::project(&self.state);
        Ok(())
    }
}

fn folded(mut state: State, reader: &JournalReader) -> Result<State, LedgerError> {
    let last = reader.head().seq;
    while state.seq() < last {
        for record in reader.read(state.seq() + 1, STEP)? {
            state.fold(&record.entry, record.hash)?;
        }
    }
    Ok(state)
}

fn ignored(error: &dyn std::error::Error) {
    tracing::warn!(%error, "the snapshot is ignored, and the whole journal folded");
}
