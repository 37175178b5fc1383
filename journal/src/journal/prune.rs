//! Pruning: removes the oldest entries behind the state they led to (D10).
//!
//! | step | on disk then | a crash after it |
//! |---|---|---|
//! | the state after the last entry to go is folded, and kept as a horizon | all entries; a horizon that no entry names | nothing was pruned |
//! | an entry that names its digest is appended | all entries, bound to the horizon | the next opening removes them |
//! | the entries are removed, the lowest first | some of them | the next opening removes the rest |
//! | what stood for entries pruned earlier is removed | the rest | an older horizon stays, to no harm |
//!
//! It works on a journal whose daemon is stopped, and so under the journal's lock. A daemon has one writer,
//! which commands wait for: it would stand still while a million entries are removed, and clients that
//! read the history would see it go from under them. What is enforced does not depend on either.

use std::path::Path;

use syva_model::command::{BootId, Command};
use syva_model::entry::{Entry, Peer};
use syva_model::fold::FoldError;
use syva_model::state::State;

use crate::error::JournalError;
use crate::horizon::{Fault, Horizon, PREFIX};
use crate::journal::Journal;
use crate::record::Head;
use crate::store::{Store, StoreError};

/// How many entries are folded at once.
const STEP: usize = 1024;

/// The first entry to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// The entry of this number.
    Seq(u64),
    /// The first entry that was not made before this: nanoseconds since the Unix epoch.
    Time(u64),
}

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// There is nothing before it.
    #[error("there is nothing to prune: the journal begins with entry {first}")]
    Nothing {
        /// The first entry there is.
        first: u64,
    },
    /// It is not there.
    #[error("there is no entry {asked} to begin with: the journal ends with entry {last}")]
    Beyond {
        /// The entry named.
        asked: u64,
        /// The last entry there is.
        last: u64,
    },
    /// The entries do not fold, and no state can stand for them.
    #[error("the entries cannot be folded: {0}; use the version that wrote them")]
    Fold(#[from] FoldError),
    /// The state cannot be encoded.
    #[error("the state that is to stand for them cannot be encoded: {0}")]
    Encoding(String),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is to be pruned, and what will stand for it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the first entry to go follows.
    pub base: Head,
    /// The last entry to go.
    pub head: Head,
    /// Its time, in nanoseconds since the Unix epoch.
    pub time_unix_ns: u64,
    pub(super) state: State,
}

impl Journal {
    /// Checks the whole journal, and folds the entries that are to go.
    ///
    /// # Errors
    /// [`PruneError`].
    pub fn plan_pruning(
        &self,
        before: Before,
        passed: &mut dyn FnMut(u64),
    ) -> Result<Plan, PruneError> {
        self.verify()?;
        let (reader, last) = (self.reader(), self.head.seq);
        let mut plan = Plan {
            base: reader.base(),
            head: reader.base(),
            time_unix_ns: 0,
            state: reader.beginning()?,
        };
        if let Before::Seq(asked) = before
            && asked > last + 1
        {
            return Err(PruneError::Beyond { asked, last });
        }
        'entries: while plan.head.seq < last {
            for record in reader.read(plan.head.seq + 1, STEP)? {
                let kept = match before {
                    Before::Seq(seq) => record.seq >= seq,
                    Before::Time(time) => record.entry.time_unix_ns >= time,
                };
                if kept {
                    break 'entries;
                }
                plan.state.fold(&record.entry, record.hash)?;
                plan.head = record.head();
                plan.time_unix_ns = record.entry.time_unix_ns;
            }
            passed(plan.head.seq);
        }
        match plan.head == plan.base {
            true => Err(PruneError::Nothing {
                first: plan.base.seq + 1,
            }),
            false => Ok(plan),
        }
    }

    /// Removes what was planned, and says so in an entry of `peer`'s. Returns what stands for it.
    ///
    /// # Errors
    /// [`PruneError`]. Nothing was removed, unless the entry was appended: the next opening then
    /// removes the rest.
    pub fn prune(
        &mut self,
        plan: Plan,
        peer: Peer,
        time_unix_ns: u64,
        passed: &mut dyn FnMut(u64),
    ) -> Result<Horizon, PruneError> {
        let state = rmp_serde::to_vec_named(&plan.state)
            .map_err(|error| PruneError::Encoding(error.to_string()))?;
        let mut horizon = Horizon {
            head: plan.head,
            time_unix_ns: plan.time_unix_ns,
            by: Head::EMPTY,
            state,
        };
        let command = Command::Prune {
            up_to: plan.head.seq,
            hash: plan.head.hash,
            digest: horizon.digest(),
        };
        // The entry belongs to the boot that the journal is in: it voids nothing.
        let boot = self.last_boot()?.unwrap_or(BootId([0; 16]));
        let payload = self
            .head
            .next(time_unix_ns, boot, peer, command)
            .encode()
            .map_err(|error| PruneError::Encoding(error.to_string()))?;
        horizon.by = self.head.after(&payload);
        self.room_for(horizon.state.len() + payload.len())?;
        self.medium.write_horizon(&horizon)?;
        fail::fail_point!("prune-after-horizon", |_| std::process::abort());
        self.append(&[payload])?;
        fail::fail_point!("prune-after-entry", |_| std::process::abort());
        self.shared.set_horizon(Some(horizon.clone()));
        self.remove_pruned(&horizon, passed)?;
        self.medium.forget_other_horizons(&horizon);
        self.medium.snapshots().forget_before(horizon.head.seq);
        Ok(horizon)
    }

    /// The boot that the last entry was made in; nothing if there is no entry. What comes before it may
    /// be gone.
    pub(super) fn last_boot(&self) -> Result<Option<BootId>, JournalError> {
        let last = self.reader().read_raw(self.head.seq.max(1), 1)?.pop();
        Ok(last.and_then(|raw| Some(Entry::decode(&raw.payload).ok()?.boot)))
    }

    fn remove_pruned(
        &self,
        horizon: &Horizon,
        passed: &mut dyn FnMut(u64),
    ) -> Result<(), JournalError> {
        let guard = self.shared.store();
        let store = guard.as_ref().ok_or(JournalError::Closed)?;
        let removed = store.remove_to(horizon.head.seq, &mut |seq| {
            fail::fail_point!("prune-amid-removal", |_| std::process::abort());
            passed(seq);
        });
        let durable = removed.and_then(|()| store.make_durable());
        durable.map_err(|source| self.shared.unreadable(source))
    }
}

/// Removes what a crash left of pruned entries, and says what the first entry there is follows.
pub(crate) fn finish(store: &dyn Store, horizon: Option<&Horizon>) -> Result<Head, StoreError> {
    let Some(horizon) = horizon else {
        return Ok(Head::EMPTY);
    };
    let first = store.read(0, 1)?;
    if first.first().is_some_and(|raw| raw.key <= horizon.head.seq) {
        store.remove_to(horizon.head.seq, &mut |_| ())?;
        store.make_durable()?;
    }
    Ok(horizon.head)
}

/// Whether a journal that ends with `head` still has the entry that its horizon rests on.
pub(crate) fn outlives(
    dir: &Path,
    horizon: Option<&Horizon>,
    head: Head,
) -> Result<(), JournalError> {
    match horizon {
        Some(horizon) if head.seq < horizon.by.seq => Err(JournalError::BadHorizon {
            path: dir.join(format!("{PREFIX}{}", horizon.head.seq)),
            first: horizon.head.seq + 1,
            fault: Fault::Unbound(horizon.by.seq),
        }),
        _ => Ok(()),
    }
}
