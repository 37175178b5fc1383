//! The ledger: what the writer decides, without ractor. Admits commands on a state that includes the
//! batch not yet flushed, folds them, and makes the batch durable at once (group commit).
//!
//! | what happens | journal | state | the batch's callers are told |
//! |---|---|---|---|
//! | a command is refused | as before | as before | the refusal, at once |
//! | the journal's file system is nearly full | as before | as before | that, at once |
//! | a command asks for what is so | as before | as before | done, once what it rests on is durable |
//! | the flush succeeds | the batch is durable | as folded | done, once the kernel holds it |
//! | the flush fails | unknown | folded ahead of it: dropped | what the store turns out to hold |
//!
//! After a failed flush the store is read again ([`Ledger::reload`]), since it may hold the batch: if
//! its head is then the batch's, the batch was journaled; if not, it was not.

mod replay;
mod saving;
#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;

use syva_journal::{Head, Journal};
use syva_model::admit::{Admission, Node, admit};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;
use syva_model::fold::Touched;
use syva_model::image::Image;
use syva_model::plan::Diff;
use syva_model::project;
use syva_model::state::State;

use crate::outcome::{CommandError, Done};
use crate::park::Lent;

pub use replay::LedgerError;
use saving::Saved;

/// Tells the wall clock's time, in nanoseconds since the Unix epoch.
pub type Clock = fn() -> u64;

/// What admission and entries need to know of the node.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Capacities and what may not be claimed or attached.
    pub node: Node,
    /// The running boot.
    pub boot: BootId,
    /// The wall clock.
    pub clock: Clock,
}

/// The state, the journal it comes from, and the batch in hand. `T` is whatever brings the answer to
/// a command's caller.
pub struct Ledger<T> {
    journal: Lent<Journal>,
    facts: Facts,
    state: State,
    image: Image,
    payloads: Vec<Vec<u8>>,
    waiting: Vec<Waiting<T>>,
    touched: Touched,
    head: Head,
    /// Why the batch in hand must be dropped, if it must.
    broken: Option<String>,
    saved: Saved,
}

struct Waiting<T> {
    ticket: T,
    done: Done,
}

/// A batch that is durable.
#[derive(Debug)]
pub struct Batch<T> {
    /// Whom to tell what, once the kernel holds it.
    pub answers: Vec<(T, Done)>,
    /// What the desired image gains; nothing if no entry was written.
    pub change: Option<(Diff, Touched)>,
}

/// A batch whose flush failed.
#[derive(Debug)]
pub struct Undurable<T> {
    /// Whom to tell what, if the store turns out to hold it.
    pub answers: Vec<(T, Done)>,
    /// Where the journal ends if it does.
    pub head: Head,
    /// Why it failed.
    pub said: String,
}

impl<T> Ledger<T> {
    /// Folds the whole journal. One that is whole and does not fold is refused like one that is not
    /// ([`Ledger::refusal`]); the state is then the snapshot's.
    ///
    /// # Errors
    /// [`LedgerError`]: nothing may be enforced from it.
    pub fn open(journal: Lent<Journal>, facts: Facts) -> Result<Ledger<T>, LedgerError> {
        let mut ledger = Ledger {
            head: journal.head(),
            journal,
            facts,
            state: State::default(),
            image: Image::default(),
            payloads: Vec::new(),
            waiting: Vec::new(),
            touched: Touched::default(),
            broken: None,
            saved: Saved::default(),
        };
        match ledger.replay() {
            Err(LedgerError::Fold(error)) => {
                let cause = LedgerError::Fold(error).to_string();
                ledger.journal.refuse(cause)?;
                ledger.replay()?;
            }
            other => other?,
        }
        ledger.fits()?;
        Ok(ledger)
    }

    /// Reads the store again, after a flush that failed.
    ///
    /// # Errors
    /// As [`Ledger::open`]; the ledger can then only be reloaded or dropped.
    pub fn reload(&mut self) -> Result<(), LedgerError> {
        self.journal.reopen()?;
        self.replay()
    }

    /// Why the journal is refused, if it is: no command is admitted, and the state is the snapshot's.
    pub fn refusal(&self) -> Option<&str> {
        self.journal.refusal()
    }

    /// The state, the batch in hand included.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// What the maps should hold, without the batch in hand.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The running boot.
    pub fn boot(&self) -> BootId {
        self.facts.boot
    }

    /// The last entry, the batch in hand included.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Whether there is something that only a flush can settle: a batch, or one that must be dropped.
    pub fn is_due(&self) -> bool {
        !self.waiting.is_empty() || self.broken.is_some()
    }

    /// How many callers wait for the batch in hand.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the journal's file system has room for entries.
    pub fn has_room(&self) -> bool {
        self.journal.room_for(0).is_ok()
    }

    /// Admits a command into the batch in hand.
    ///
    /// # Errors
    /// The ticket, and why the command is not taken; nothing has changed.
    pub fn admit(
        &mut self,
        command: Command,
        peer: Peer,
        ticket: T,
    ) -> Result<(), (T, CommandError)> {
        if let Some(said) = self.journal.refusal() {
            return Err((ticket, CommandError::NotJournaled(said.to_owned())));
        }
        if let Some(said) = &self.broken {
            return Err((ticket, CommandError::NotJournaled(said.clone())));
        }
        match admit(&self.state, &self.facts.node, &command) {
            Err(refusal) => Err((ticket, refusal.into())),
            Ok(Admission::Unchanged(reply)) => {
                self.waiting.push(Waiting {
                    ticket,
                    done: Done { reply, seq: None },
                });
                Ok(())
            }
            Ok(Admission::Append) => match self.write(command, peer) {
                Ok(done) => {
                    self.waiting.push(Waiting { ticket, done });
                    Ok(())
                }
                Err(said) => Err((ticket, CommandError::NotJournaled(said))),
            },
        }
    }

    fn write(&mut self, command: Command, peer: Peer) -> Result<Done, String> {
        let time = (self.facts.clock)();
        let entry = self.head.next(time, self.facts.boot, peer, command);
        let payload = entry.encode().map_err(|error| error.to_string())?;
        let in_hand: usize = self.payloads.iter().map(Vec::len).sum();
        let room = self.journal.room_for(in_hand + payload.len());
        room.map_err(|error| error.to_string())?;
        let head = self.head.after(&payload);
        // An admitted command folds. If one does not, admission and fold disagree: the state may be
        // half changed, so the batch is dropped and the store is read again.
        let folded = self.state.fold(&entry, head.hash).map_err(|error| {
            let said = format!("admission and fold disagree: {error}");
            self.broken = Some(said.clone());
            said
        })?;
        self.payloads.push(payload);
        self.touched.merge(folded.touched);
        self.head = head;
        Ok(Done {
            reply: folded.reply,
            seq: Some(entry.seq),
        })
    }

    /// Makes the batch in hand durable. It blocks.
    ///
    /// # Errors
    /// [`Undurable`]; [`Ledger::reload`] before anything else.
    pub fn flush(&mut self) -> Result<Batch<T>, Undurable<T>> {
        let payloads = std::mem::take(&mut self.payloads);
        let waiting = std::mem::take(&mut self.waiting);
        let touched = std::mem::take(&mut self.touched);
        let answers = waiting.into_iter().map(|w| (w.ticket, w.done)).collect();
        // Without payloads appending does nothing, and cannot fail.
        let appended = match self.broken.take() {
            None => self
                .journal
                .append(&payloads)
                .map_err(|error| error.to_string()),
            Some(said) => Err(said),
        };
        if let Err(said) = appended {
            return Err(Undurable {
                answers,
                head: self.head,
                said,
            });
        }
        self.snapshot_if_due();
        let change = (!payloads.is_empty()).then(|| {
            let diff = project::update(&mut self.image, &self.state, &touched);
            (diff, touched)
        });
        Ok(Batch { answers, change })
    }
}
