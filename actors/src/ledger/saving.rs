//! When a ledger's state is written down, so that the next start need not fold it again.

use std::thread::JoinHandle;

use syva_journal::snapshot::Snapshots;
use syva_model::state::State;

use super::Ledger;

/// How many entries lie between two snapshots. A start folds a hundred thousand in half a second.
pub(super) const SNAPSHOT_EVERY: u64 = 10_000;

/// The snapshot that was begun last.
#[derive(Default)]
pub(super) struct Saved {
    pub seq: u64,
    pub by: Option<JoinHandle<()>>,
}

impl<T> Ledger<T> {
    /// Begins a snapshot when enough entries came since the last. Another thread writes it: commands
    /// wait for no more than a copy of the state.
    pub(super) fn snapshot_if_due(&mut self) {
        if self.refusal().is_some() {
            return;
        }
        let saved = &self.saved;
        let busy = saved.by.as_ref().is_some_and(|by| !by.is_finished());
        if busy || self.state.seq() < saved.seq + SNAPSHOT_EVERY {
            return;
        }
        let (state, snapshots) = (self.state.clone(), self.journal.snapshots());
        let begun = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || save(&snapshots, &state));
        self.saved = Saved {
            seq: self.state.seq(),
            by: begun.map_err(|error| not_saved(&error)).ok(),
        };
    }

    /// Writes a snapshot before the daemon ends, so that the next start folds nothing. It blocks.
    pub fn close(&mut self) {
        if let Some(by) = self.saved.by.take() {
            // It says itself what went wrong.
            let _ = by.join();
        }
        // A batch in hand is in the state and not in the journal, and so may be what stands in for one
        // that is refused.
        let durable =
            self.refusal().is_none() && !self.is_due() && self.head == self.journal.head();
        if durable && self.state.seq() > self.saved.seq {
            self.saved.seq = self.state.seq();
            save(&self.journal.snapshots(), &self.state);
        }
    }
}

fn save(snapshots: &Snapshots, state: &State) {
    match snapshots.save(state) {
        Ok(()) => tracing::debug!(seq = state.seq(), "snapshot written"),
        Err(error) => not_saved(&error),
    }
}

fn not_saved(error: &dyn std::error::Error) {
    tracing::warn!(%error, "no snapshot was written: the next start folds more of the journal");
}
