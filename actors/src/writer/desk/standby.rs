//! Standing by: what is enforced and answered while the journal is refused (D11). Nothing of it is
//! folded and no command is taken.
//!
//! | the kernel's maps | then | the node is |
//! |---|---|---|
//! | hold what an earlier daemon was told | they stay as they are | degraded: [`REFUSED`] |
//! | hold nothing (it has booted since, or was told to let go), and there is a whole snapshot | hold the snapshot's state; a new boot voids its memberships and looks its claims up again | unsafe: [`UNPROVEN`] too |
//! | hold nothing, and there is no snapshot | go on holding nothing | unsafe: [`UNPROVEN`] too |
//!
//! Questions about the state are answered from the snapshot in every row. No entry vouches for what is
//! enforced from one, so the kernel is told that it is of entry 0: the next start then knows it again.

use syva_model::command::Command;
use syva_model::entry::Peer;
use syva_model::image::Control;
use syva_model::state::State;

use super::{Desk, Enforcer};
use crate::health::{HealthMsg, UNPROVEN};
use crate::ledger::LedgerError;
use crate::reconciler::Desired;

/// The health reason while the journal is refused.
pub const REFUSED: &str = "journal_refused";

/// What stands in for the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StandIn {
    /// What the kernel's maps hold.
    Maps,
    /// The snapshot's state.
    Snapshot,
}

impl<T> Desk<T> {
    /// Why the journal is refused, if it is.
    pub fn refusal(&self) -> Option<&str> {
        self.ledger.refusal()
    }

    /// Begins on a journal that is refused. `control` is what the kernel says of its maps, `boot` looks
    /// up again what a state names. It blocks.
    ///
    /// # Errors
    /// [`LedgerError`]: the snapshot's state does not take the new boot.
    pub fn stand_by(
        &mut self,
        control: Control,
        boot: impl FnOnce(&State) -> Command,
        peer: &Peer,
        enforcer: &mut dyn Enforcer,
    ) -> Result<(), LedgerError> {
        let Some(why) = self.ledger.refusal().map(str::to_owned) else {
            return Ok(());
        };
        let of = match self.ledger.state().seq() {
            0 => "there is no snapshot to answer from, so that lists are empty".to_owned(),
            seq => format!("what is listed is the snapshot of entry {seq}"),
        };
        let raise = |key: &str, words: String| {
            (self.around.health)(HealthMsg::Raise(key.to_owned(), words));
        };
        raise(
            REFUSED,
            format!("{why}; no command is taken until the daemon starts on a whole journal; {of}"),
        );
        let held = control.applied.max(control.applying);
        if held > 0 {
            tracing::warn!(applied = control.applied, "the maps stay as they are");
            self.stand_in = Some(StandIn::Maps);
            self.around.standing.found(control.applied);
            self.around.atlas.learn(self.ledger.state());
            return Ok(());
        }
        self.stand_in = Some(StandIn::Snapshot);
        let words = match self.ledger.state().seq() {
            0 => {
                "the kernel held nothing, and there is no snapshot: nothing is enforced".to_owned()
            }
            seq => {
                if self.is_of_another_boot() {
                    let command = boot(self.ledger.state());
                    self.ledger.stand_in_this_boot(command, peer.clone())?;
                }
                format!(
                    "the kernel held nothing, and the snapshot of entry {seq} is enforced, though \
                     commands may have come after it"
                )
            }
        };
        (self.around.health)(HealthMsg::Raise(UNPROVEN.to_owned(), words));
        self.hand_over(enforcer);
        Ok(())
    }

    /// What is to be enforced; nothing if the maps are to be left alone.
    pub(super) fn desired(&self) -> Option<Desired> {
        let state = self.ledger.state();
        let seq = match self.stand_in {
            None => state.seq(),
            Some(StandIn::Snapshot) => 0,
            Some(StandIn::Maps) => return None,
        };
        Some(Desired {
            image: self.ledger.image().clone(),
            seq,
            mode: state.mode,
            linked: state.linked().collect(),
        })
    }
}
