//! The reading side: shared by everybody, concurrent with the writer.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use syva_model::entry::Hash;
use syva_model::state::State;

use crate::error::JournalError;
use crate::horizon::{Horizon, PREFIX};
use crate::record::{Fault, Head, RawRecord, Record, check};
use crate::recovery::STEP;
use crate::store::{Store, StoreError};

/// What the writer and the readers have in common.
pub(crate) struct Shared {
    dir: PathBuf,
    // None while the store is being opened again, and after that failed.
    store: RwLock<Option<Box<dyn Store>>>,
    // The last entry that is durable and anchored: nothing behind it is shown to anybody.
    head: RwLock<Head>,
    // What stands for pruned entries.
    horizon: RwLock<Option<Arc<Horizon>>>,
    // Why the journal was refused, if it was.
    refusal: OnceLock<String>,
}

impl Shared {
    pub(crate) fn new(dir: PathBuf) -> Shared {
        Shared {
            dir,
            store: RwLock::new(None),
            head: RwLock::new(Head::EMPTY),
            horizon: RwLock::new(None),
            refusal: OnceLock::new(),
        }
    }

    /// The store, for as long as the guard lives: it is not closed meanwhile.
    pub(crate) fn store(&self) -> RwLockReadGuard<'_, Option<Box<dyn Store>>> {
        // A reader that panicked has changed nothing.
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the store, once nobody reads any more.
    pub(crate) fn store_mut(&self) -> RwLockWriteGuard<'_, Option<Box<dyn Store>>> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self) -> Head {
        *self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_head(&self, head: Head) {
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = head;
    }

    pub(crate) fn horizon(&self) -> Option<Arc<Horizon>> {
        let horizon = self.horizon.read();
        horizon.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_horizon(&self, horizon: Option<Horizon>) {
        *self.horizon.write().unwrap_or_else(PoisonError::into_inner) = horizon.map(Arc::new);
    }

    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// From now on there is nothing to read. The first reason stays.
    pub(crate) fn refuse(&self, cause: String) {
        let _ = self.refusal.set(cause);
        self.set_head(Head::EMPTY);
        self.set_horizon(None);
        drop(self.store_mut().take());
    }

    pub(crate) fn unreadable(&self, source: StoreError) -> JournalError {
        JournalError::StoreUnreadable {
            dir: self.dir.clone(),
            source,
        }
    }
}

/// Reads a journal. It sees what is durable and acknowledged, never a batch under way, and goes on
/// when the writer reopens the journal. Every call blocks on the disk.
#[derive(Clone)]
pub struct JournalReader {
    shared: Arc<Shared>,
}

impl JournalReader {
    pub(crate) const fn new(shared: Arc<Shared>) -> JournalReader {
        JournalReader { shared }
    }

    /// The last entry that is durable.
    pub fn head(&self) -> Head {
        self.shared.head()
    }

    /// Whether there is anything to read, also if that is nothing yet.
    ///
    /// # Errors
    /// [`JournalError::Refused`].
    pub fn is_open(&self) -> Result<(), JournalError> {
        match self.shared.refusal() {
            None => Ok(()),
            Some(cause) => Err(JournalError::Refused {
                cause: cause.to_owned(),
            }),
        }
    }

    /// What stands for the entries that were pruned; nothing if the journal begins with entry 1.
    pub fn horizon(&self) -> Option<Arc<Horizon>> {
        self.shared.horizon()
    }

    /// What the first entry there is follows: the last entry pruned, or [`Head::EMPTY`].
    pub fn base(&self) -> Head {
        self.horizon().map_or(Head::EMPTY, |horizon| horizon.head)
    }

    /// The state from which the first entry there is folds on.
    ///
    /// # Errors
    /// [`JournalError::BadHorizon`] if this version does not understand it.
    pub fn beginning(&self) -> Result<State, JournalError> {
        let Some(horizon) = self.horizon() else {
            return Ok(State::default());
        };
        horizon
            .restored()
            .map_err(|fault| JournalError::BadHorizon {
                path: self
                    .shared
                    .dir
                    .join(format!("{PREFIX}{}", horizon.head.seq)),
                first: horizon.head.seq + 1,
                fault,
            })
    }

    /// Up to `max` records from number `from` on, each checked: intact, understood, and following
    /// the one before it, also the first of them. Empty past the end. To stream, ask again from the
    /// number behind the last.
    ///
    /// # Errors
    /// [`JournalError::BadEntry`] names the first bad one; [`JournalError::Pruned`];
    /// [`JournalError::StoreUnreadable`]; [`JournalError::Closed`] after a reopening that failed;
    /// [`JournalError::Refused`].
    pub fn read(&self, from: u64, max: usize) -> Result<Vec<Record>, JournalError> {
        self.is_open()?;
        let (from, base) = (from.max(1), self.base());
        if from <= base.seq {
            let first = base.seq + 1;
            return Err(JournalError::Pruned { seq: from, first });
        }
        let wanted = u64::try_from(max).unwrap_or(u64::MAX);
        let last = self.head().seq.min((from - 1).saturating_add(wanted));
        if last < from {
            return Ok(Vec::new());
        }
        // With the one before, for its hash; before the first, for what should not be there.
        let mut raws = self.read_raw(from - 1, max.saturating_add(1))?.into_iter();
        let mut head = match from - 1 {
            seq if seq == base.seq => base,
            seq => self.predecessor(seq, raws.next())?,
        };
        let mut records = Vec::new();
        while head.seq < last {
            let seq = head.seq + 1;
            let raw = raws
                .next()
                .ok_or_else(|| self.bad(seq, Fault::Missing { next: None }))?;
            let record = check(head, raw).map_err(|fault| self.bad(seq, fault))?;
            head = record.head();
            records.push(record);
        }
        Ok(records)
    }

    /// As [`JournalReader::read`], unchecked, for export. Key 0, which no entry has, is included if
    /// `from` is 0.
    ///
    /// # Errors
    /// [`JournalError::StoreUnreadable`] and [`JournalError::Closed`].
    pub fn read_raw(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, JournalError> {
        let head = self.head();
        if from > head.seq || max == 0 {
            return Ok(Vec::new());
        }
        let guard = self.shared.store();
        let store = guard.as_ref().ok_or(JournalError::Closed)?;
        let mut records = store
            .read(from, max)
            .map_err(|source| self.shared.unreadable(source))?;
        records.retain(|record| record.key <= head.seq);
        Ok(records)
    }

    /// Walks the whole journal, from the first entry there is to the head at the time of the call.
    ///
    /// # Errors
    /// As [`JournalReader::read`], and [`JournalError::Different`] if the head is not what was
    /// acknowledged.
    pub fn verify(&self) -> Result<Head, JournalError> {
        self.is_open()?;
        let goal = self.head();
        let mut at = self.base();
        while at.seq < goal.seq {
            let left = usize::try_from(goal.seq - at.seq).unwrap_or(STEP);
            let records = self.read(at.seq + 1, left.min(STEP))?;
            match records.last() {
                Some(last) => at = last.head(),
                None => break,
            }
        }
        if at == goal {
            Ok(goal)
        } else {
            Err(JournalError::Different {
                dir: self.shared.dir.clone(),
                anchored: goal,
                found: at,
            })
        }
    }

    fn predecessor(&self, seq: u64, raw: Option<RawRecord>) -> Result<Head, JournalError> {
        let fault = match raw {
            None => Fault::Missing { next: None },
            Some(raw) if raw.key != seq => Fault::Missing {
                next: Some(raw.key),
            },
            Some(raw) => {
                let hash = Hash::of(&raw.payload);
                if hash == raw.hash {
                    return Ok(Head { seq, hash });
                }
                Fault::Damaged {
                    len: raw.payload.len(),
                    stored: raw.hash,
                    found: hash,
                }
            }
        };
        Err(self.bad(seq, fault))
    }

    fn bad(&self, seq: u64, fault: Fault) -> JournalError {
        JournalError::BadEntry {
            dir: self.shared.dir.clone(),
            seq,
            fault,
        }
    }
}
