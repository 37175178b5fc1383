//! The desk: what the writer decides, without ractor. In which order a batch becomes durable, is in
//! force and is answered (I1), what the callers are told when one of that fails, and what it means for
//! the node's health.

mod standby;

use std::error::Error;
use std::sync::Arc;

use syva_journal::Journal;
use syva_model::command::Command;
use syva_model::entry::Peer;
use syva_model::image::{CgroupId, Mode};
use syva_model::plan::Diff;
use syva_model::state::State;

use crate::atlas::Atlas;
use crate::health::HealthMsg;
use crate::ledger::{Facts, Ledger, LedgerError, Undurable};
use crate::outcome::{CommandError, Done};
use crate::park::Lent;
use crate::reconciler::Desired;
use crate::standing::Standing;
pub use standby::REFUSED;
use standby::StandIn;

/// The health reason while the journal takes no commands.
pub const JOURNAL: &str = "journal_not_durable";

/// A batch is flushed when this many wait, whatever else there is to do.
const BATCH: usize = 256;

/// Who makes the kernel's maps hold what the journal says.
pub trait Enforcer {
    /// What is desired changes, with entries up to `seq`.
    ///
    /// # Errors
    /// Why the maps do not hold it yet.
    fn apply(&mut self, diff: Diff, seq: u64, mode: Mode) -> Result<(), String>;

    /// This is what is desired from now on.
    ///
    /// # Errors
    /// Why the maps do not hold it yet; whoever enforces keeps trying, or asks again.
    fn adopt(&mut self, desired: Desired) -> Result<(), String>;
}

/// What a question sees.
pub struct Glance<'a> {
    /// The state, every entry of it durable.
    pub state: &'a State,
    /// The last entry whose effects the kernel holds.
    pub applied: u64,
}

/// What is to be told to whom.
pub type Answers<T> = Vec<(T, Result<Done, CommandError>)>;

/// Whom the writer tells, and where it reads how the maps stand.
pub struct Surroundings {
    /// Told what it means for the node's health.
    pub health: Box<dyn Fn(HealthMsg) + Send>,
    /// Names for events.
    pub atlas: Atlas,
    /// Where the maps stand.
    pub standing: Arc<Standing>,
}

/// The ledger, and what surrounds it. `T` is whatever brings the answer to a command's caller.
pub struct Desk<T> {
    ledger: Ledger<T>,
    around: Surroundings,
    /// Whether the last command found no room in the journal.
    full: bool,
    /// What stands in for a journal that is refused.
    stand_in: Option<StandIn>,
}

impl<T> Desk<T> {
    /// Folds the journal, having read its store again if an append had failed.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing may be enforced from it.
    pub fn open(
        mut journal: Lent<Journal>,
        facts: Facts,
        around: Surroundings,
    ) -> Result<Desk<T>, LedgerError> {
        if journal.poisoned().is_some() {
            journal.reopen()?;
        }
        Ok(Desk {
            ledger: Ledger::open(journal, facts)?,
            around,
            full: false,
            stand_in: None,
        })
    }

    /// The state, the batch in hand included.
    pub fn state(&self) -> &State {
        self.ledger.state()
    }

    /// Whether the state is of another boot than the running one, which must be its next entry (D12).
    pub fn is_of_another_boot(&self) -> bool {
        self.ledger.state().boot != Some(self.ledger.boot())
    }

    /// Journals the daemon's own commands and hands the whole desired image over. It blocks.
    ///
    /// # Errors
    /// Why a command was not taken or not journaled. A failure to enforce is none.
    pub fn begin(
        &mut self,
        own: impl IntoIterator<Item = (Command, T)>,
        peer: &Peer,
        enforcer: &mut dyn Enforcer,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for (command, ticket) in own {
            let taken = self.ledger.admit(command, peer.clone(), ticket);
            taken.map_err(|(_, error)| error)?;
        }
        self.ledger.flush().map_err(|failed| failed.said)?;
        self.hand_over(enforcer);
        (self.around.health)(HealthMsg::Clear(JOURNAL.into()));
        Ok(())
    }

    /// Takes a command into the batch in hand.
    ///
    /// # Errors
    /// The ticket, and why the command is not taken; nothing has changed.
    pub fn take(
        &mut self,
        command: Command,
        peer: Peer,
        ticket: T,
    ) -> Result<(), (T, CommandError)> {
        let taken = self.ledger.admit(command, peer, ticket);
        if let Err((_, CommandError::NotJournaled(said))) = &taken
            && self.stand_in.is_none()
        {
            self.full = true;
            (self.around.health)(HealthMsg::Raise(JOURNAL.into(), said.clone()));
        }
        taken
    }

    /// Whether there is something that only a flush can settle.
    pub fn is_due(&self) -> bool {
        self.ledger.is_due()
    }

    /// Whether so many wait that the batch must be flushed now.
    pub fn has_enough(&self) -> bool {
        self.ledger.waiting() >= BATCH
    }

    /// The commands with which members leave whose cgroups are gone.
    pub fn leaving(&self, gone: Vec<CgroupId>) -> Vec<Command> {
        if self.stand_in.is_some() {
            return Vec::new();
        }
        let state = self.ledger.state();
        let held = gone.into_iter().filter_map(|cgroup| {
            let (container, _) = state.container_of(cgroup)?;
            let container = container.clone();
            Some(Command::CgroupGone { container, cgroup })
        });
        held.collect()
    }

    /// Makes the batch durable, then in force, and says what to answer then (I1). It blocks.
    ///
    /// # Errors
    /// The batch failed and the store cannot be read again: nobody knows whether it holds the batch,
    /// the tickets are gone, and so must this desk be.
    pub fn flush(&mut self, enforcer: &mut dyn Enforcer) -> Result<Answers<T>, LedgerError> {
        let append = tracing::debug_span!("journal.append");
        let batch = match append.in_scope(|| self.ledger.flush()) {
            Ok(batch) => batch,
            Err(failed) => return self.not_durable(failed, enforcer),
        };
        fail::fail_point!("writer-before-apply", |_| std::process::abort());
        let behind = if let Some((diff, touched)) = batch.change {
            self.full = false;
            // If a word about an earlier failure is out of date, this is the moment to take it back.
            (self.around.health)(HealthMsg::Clear(JOURNAL.into()));
            let state = self.ledger.state();
            self.around.atlas.follow(state, &touched);
            enforcer.apply(diff, state.seq(), state.mode).err()
        } else {
            self.behind()
        };
        fail::fail_point!("writer-before-reply", |_| std::process::abort());
        Ok(self.answers(batch.answers, behind))
    }

    /// Answers a question, which sees nothing that may not last: a batch in hand must be flushed first.
    pub fn glance(&mut self) -> Glance<'_> {
        self.look_for_room();
        Glance {
            state: self.ledger.state(),
            applied: self.around.standing.applied(),
        }
    }

    /// Takes back that there is no room once there is some, though no command may come to show it.
    fn look_for_room(&mut self) {
        if self.full && self.ledger.has_room() {
            self.full = false;
            (self.around.health)(HealthMsg::Clear(JOURNAL.into()));
        }
    }

    fn behind(&self) -> Option<String> {
        let holds = self.around.standing.holds(self.ledger.state().seq());
        (!holds).then(|| "the kernel does not hold what the journal says yet".into())
    }

    fn answers(&self, waiting: Vec<(T, Done)>, behind: Option<String>) -> Answers<T> {
        let last = self.ledger.state().seq();
        let answer = |done: Done| match &behind {
            None => Ok(done),
            Some(said) => Err(CommandError::NotEnforced {
                seq: done.seq.unwrap_or(last),
                said: said.clone(),
            }),
        };
        let told = waiting
            .into_iter()
            .map(|(ticket, done)| (ticket, answer(done)));
        told.collect()
    }

    /// The batch failed, and only the store can tell whether it holds it all the same: it is read
    /// again before anybody is answered.
    fn not_durable(
        &mut self,
        failed: Undurable<T>,
        enforcer: &mut dyn Enforcer,
    ) -> Result<Answers<T>, LedgerError> {
        let said = failed.said;
        (self.around.health)(HealthMsg::Raise(JOURNAL.into(), said.clone()));
        self.ledger.reload()?;
        let kept = self.ledger.head() == failed.head;
        self.hand_over(enforcer);
        if kept {
            tracing::warn!(%said, "the batch is in the journal nevertheless");
            (self.around.health)(HealthMsg::Clear(JOURNAL.into()));
            return Ok(self.answers(failed.answers, self.behind()));
        }
        let refused = |(ticket, _)| (ticket, Err(CommandError::NotJournaled(said.clone())));
        Ok(failed.answers.into_iter().map(refused).collect())
    }

    /// Hands the whole desired image over. A failure is the enforcer's to report and to repeat.
    pub fn hand_over(&mut self, enforcer: &mut dyn Enforcer) {
        let Some(desired) = self.desired() else {
            return;
        };
        self.around.atlas.learn(self.ledger.state());
        if let Err(error) = enforcer.adopt(desired) {
            tracing::error!(%error, "the maps do not hold the journal's state");
        }
    }

    /// Writes a snapshot before the daemon ends. It blocks.
    pub fn close(&mut self) {
        self.ledger.close();
    }
}
