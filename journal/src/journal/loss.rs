//! Accepting a loss: the one way past a journal that is refused (D9).
//!
//! What is kept is what loses least and still rests on something that was checked:
//!
//! | there is | kept | lost |
//! |---|---|---|
//! | entries that chain from the first, or from the horizon | they | what comes after them |
//! | a snapshot of a later entry, tied to the journal | its state, as a horizon, and the entries that chain from it | the history before it, and what comes after them |
//!
//! A snapshot is tied to the journal by its own entry, by the entry that follows it, or by the head
//! anchor, whichever is there: each holds the hash that the snapshot says.
//!
//! The loss is an entry, so that whoever reads the history sees that it has a hole, who accepted that,
//! and why there was one. Until that entry is durable the journal goes on being refused.

use std::path::{Path, PathBuf};

use syva_model::command::{BootId, Command};
use syva_model::entry::{Entry, Peer};
use syva_model::state::State;

use super::Journal;
use super::prune::{self, Plan, PruneError};
use crate::error::JournalError;
use crate::medium::{Directory, Medium};
use crate::record::{Head, RawRecord, intact};
use crate::recovery::{self, Cut};
use crate::store::{Store, StoreError};

/// What accepting the loss of entries costs.
#[derive(Clone, Debug)]
pub struct Loss {
    /// What had been acknowledged; nothing if the anchor was unreadable or gone.
    pub anchored: Option<Head>,
    /// The last entry that is kept.
    pub head: Head,
    /// Records that were there, behind a damaged one, and were removed.
    pub cut: Option<Cut>,
    /// Where the store was moved, if it could not be read to its end; what could be was copied.
    pub set_aside: Option<PathBuf>,
    /// The history that goes, if a snapshot stands for it.
    pub history: Option<Plan>,
}

impl Loss {
    /// Whether nothing is lost: the journal is whole.
    pub fn is_nothing(&self) -> bool {
        self.set_aside.is_none()
            && self.history.is_none()
            && self
                .anchored
                .is_some_and(|anchored| anchored.seq <= self.head.seq)
            && self.cut.is_none()
    }
}

impl Journal {
    /// Opens a journal that [`Journal::open`] refuses because entries are missing or damaged, with
    /// what can be kept of it. **[`Journal::accept`] must come next**: until the entry about the loss
    /// is durable the anchor stays, and [`Journal::open`] goes on refusing.
    ///
    /// Entries behind the first bad one are removed, unless a snapshot ties them to it: copy the
    /// directory before, if they matter.
    ///
    /// # Errors
    /// [`JournalError`]: also loss cannot be accepted from a journal of a newer version, from one
    /// that is locked, or from a store that is not Syvä's.
    pub fn open_accepting_loss(dir: &Path) -> Result<(Journal, Loss), JournalError> {
        Journal::start_accepting_loss(Box::new(Directory::lock(dir)?))
    }

    pub(crate) fn start_accepting_loss(
        medium: Box<dyn Medium>,
    ) -> Result<(Journal, Loss), JournalError> {
        let mut journal = Journal::closed(medium);
        // Without an anchor nothing says that the store is ours to move.
        let ours = journal.medium.open_anchor()?.is_some();
        let loss = match journal.salvage(None) {
            Err(JournalError::StoreUnreadable { .. }) if ours => {
                let readable = journal.readable();
                let aside = journal.medium.set_aside()?;
                journal.refill(&readable)?;
                journal.salvage(Some(aside))?
            }
            other => other?,
        };
        Ok((journal, loss))
    }

    /// Journals that a loss is accepted, in an entry of `peer`'s, and lets go of what is lost. The
    /// journal is whole afterwards.
    ///
    /// # Errors
    /// [`PruneError`]: the loss is not accepted yet.
    pub fn accept(
        &mut self,
        loss: Loss,
        because: &str,
        peer: &Peer,
        time_unix_ns: u64,
        passed: &mut dyn FnMut(u64),
    ) -> Result<Head, PruneError> {
        let boot = match (self.last_boot()?, &loss.history) {
            (Some(boot), _) => boot,
            (None, Some(plan)) => plan.state.boot.unwrap_or(BootId([0; 16])),
            (None, None) => BootId([0; 16]),
        };
        let command = Command::AcceptLoss {
            acknowledged: loss.anchored.map(|anchored| anchored.seq),
            because: because.to_owned(),
        };
        let entry = self.head.next(time_unix_ns, boot, peer.clone(), command);
        let payload = entry
            .encode()
            .map_err(|error| PruneError::Encoding(error.to_string()))?;
        self.append(&[payload])?;
        if let Some(plan) = loss.history {
            self.prune(plan, peer.clone(), time_unix_ns, passed)?;
        }
        Ok(self.head)
    }

    fn salvage(&mut self, set_aside: Option<PathBuf>) -> Result<Loss, JournalError> {
        let store = self.medium.open_store()?;
        let unreadable = |source| self.shared.unreadable(source);
        let horizon = self.medium.horizon(store.as_ref())?;
        let base = prune::finish(store.as_ref(), horizon.as_ref()).map_err(unreadable)?;
        let mut anchor = self.medium.open_anchor()?;
        let was_there = anchor.is_some();
        let anchored = match &mut anchor {
            Some(anchor) => anchor.read()?.head,
            None => None,
        };
        let walk = |from| recovery::walk(store.as_ref(), base, from, None, &mut |_| ());
        let mut verdict = recovery::judge_leniently(
            self.medium.dir(),
            walk(base).map_err(unreadable)?,
            was_there,
        )?;
        let snapshot = self.medium.snapshots().load().ok().flatten();
        let tied = match snapshot.filter(|state| state.seq > verdict.head.seq) {
            Some(state) => tied(store.as_ref(), &state, anchored).map_err(unreadable)?,
            None => None,
        };
        let history = match tied {
            None => None,
            Some((state, time_unix_ns)) => {
                let head = Head {
                    seq: state.seq,
                    hash: state.head,
                };
                let walk = walk(head).map_err(unreadable)?;
                verdict = recovery::judge_leniently(self.medium.dir(), walk, was_there)?;
                Some(Plan {
                    base,
                    head,
                    time_unix_ns,
                    state,
                })
            }
        };
        prune::outlives(self.medium.dir(), horizon.as_ref(), verdict.head)?;
        let cut: Option<Cut> = recovery::cut(store.as_ref(), &verdict).map_err(unreadable)?;
        store.make_durable().map_err(unreadable)?;
        let anchor = match anchor {
            Some(anchor) => anchor,
            None => self.medium.create_anchor()?,
        };
        self.install(store, anchor, verdict.head);
        self.shared.set_horizon(horizon);
        Ok(Loss {
            anchored,
            head: verdict.head,
            cut,
            set_aside,
            history,
        })
    }

    /// What can be read of a store that cannot be read to its end: from the first entry on, and from a
    /// later snapshot's on.
    fn readable(&self) -> Vec<RawRecord> {
        let snapshot = self.medium.snapshots().head();
        let mut records = Vec::new();
        self.medium.show(&mut |store| {
            let horizon = self.medium.horizon(store).ok().flatten();
            let base = horizon.map_or(Head::EMPTY, |horizon| horizon.head);
            records = recovery::readable(store, base);
            let last = records.last().map_or(base.seq, |raw| raw.key);
            if let Some(head) = snapshot.filter(|head| head.seq > last) {
                let own = store.read(head.seq, 1).unwrap_or_default();
                records.extend(own.into_iter().filter(|raw| raw.key == head.seq));
                records.extend(recovery::readable(store, head));
            }
        });
        records
    }

    /// Puts records into a new store.
    fn refill(&mut self, records: &[RawRecord]) -> Result<(), JournalError> {
        let store = self.medium.open_store()?;
        records
            .chunks(recovery::STEP)
            .try_for_each(|records| store.append(records))
            .and_then(|()| store.make_durable())
            .map_err(|source| self.shared.unreadable(source))
    }
}

/// A snapshot's state and the time it is of, if anything in the journal says that it is of this journal.
fn tied(
    store: &dyn Store,
    state: &State,
    anchored: Option<Head>,
) -> Result<Option<(State, u64)>, StoreError> {
    let decoded = |seq: u64| -> Result<Option<(RawRecord, Entry)>, StoreError> {
        let raw = store.read(seq, 1)?.pop().filter(|raw| raw.key == seq);
        Ok(raw.and_then(|raw| intact(&raw).ok().map(|entry| (raw, entry))))
    };
    let own = decoded(state.seq)?.filter(|(raw, _)| raw.hash == state.head);
    if let Some((_, entry)) = own {
        return Ok(Some((state.clone(), entry.time_unix_ns)));
    }
    let next = decoded(state.seq + 1)?.filter(|(_, entry)| entry.prev == state.head);
    if let Some((_, entry)) = next {
        return Ok(Some((state.clone(), entry.time_unix_ns)));
    }
    let head = Head {
        seq: state.seq,
        hash: state.head,
    };
    // Nothing says when that was.
    Ok((anchored == Some(head)).then(|| (state.clone(), 0)))
}
