//! The writer: opens, appends, reopens.
//!
//! What an append that fails leaves behind, and what reopening makes of it:
//!
//! | the step that failed | in memory | on disk | then | reopening |
//! |---|---|---|---|---|
//! | the batch does not continue the head | as before | as before | `NotNext`, ready | not needed |
//! | the file system has less than [`RESERVE`] free ([`Journal::room_for`], asked before) | as before | as before | `NoRoom`, ready | not needed |
//! | the store's append (no space) | head as before | nothing, or a part | `NotDurable`, poisoned | cuts the part |
//! | the flush, or the data's sync | head as before | unknown | `NotDurable`, poisoned | reads the disk, cuts the batch |
//! | the anchor's write or sync | head as before | the batch; the anchor old or new | `NotDurable`, poisoned | old: cuts the batch; new: the batch is in, and the recovery's head says so |
//! | none, and the process dies before it answers | gone | the batch and the anchor | | the next opening has it |
//!
//! Poisoned: every append is refused with [`JournalError::Poisoned`], readers go on up to the head.
//! A reopening that fails leaves the journal poisoned and the readers without a store; it can be
//! tried again.

pub mod loss;
pub mod prune;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::anchor::{Anchor, Reading};
use crate::error::JournalError;
use crate::medium::{Directory, Medium};
use crate::reader::{JournalReader, Shared};
use crate::record::{Head, RawRecord, inspect};
use crate::recovery::{self, Recovery, Tail, Verdict};
use crate::snapshot::Snapshots;
use crate::store::{Store, StoreError};

/// How many bytes must be free beyond what is appended: two of sled's segments. A sled that finds no
/// space must be opened again, and writes while it opens.
pub(crate) const RESERVE: u64 = 1024 * 1024;

/// The journal, open for writing: one a directory, kept by the lock until it is dropped.
///
/// There is one writer, since sled's flushes deadlock when eight run at once. The compiler sees to it:
///
/// ```compile_fail,E0596
/// fn two_writers(journal: &syva_journal::Journal) {
///     std::thread::scope(|threads| {
///         threads.spawn(|| journal.append(&[]));
///         threads.spawn(|| journal.append(&[]));
///     });
/// }
/// ```
pub struct Journal {
    medium: Box<dyn Medium>,
    shared: Arc<Shared>,
    // None only between a failed reopening and the next.
    anchor: Option<Box<dyn Anchor>>,
    head: Head,
    poison: Option<String>,
}

impl Journal {
    /// Opens the journal in `dir`, or makes an empty one there, and checks every entry after that of
    /// the snapshot, if there is one that is whole; else every entry ([`Recovery::checked_after`]).
    ///
    /// # Errors
    /// [`JournalError`]: nothing of the journal may be folded. See [`recovery`] for what is refused.
    pub fn open(dir: &Path) -> Result<(Journal, Recovery), JournalError> {
        Journal::start(Box::new(Directory::lock(dir)?))
    }

    /// As [`Journal::open`], of a journal that is there.
    ///
    /// # Errors
    /// [`JournalError::NoJournal`] too.
    pub fn open_existing(dir: &Path) -> Result<(Journal, Recovery), JournalError> {
        crate::offline::is_journal(dir)?;
        Journal::open(dir)
    }

    /// Holds a journal that [`Journal::open`] refused ([`JournalError::is_refusal`]), so that no other
    /// daemon takes it. Nothing of it is read or written but its snapshot; those who only read the
    /// directory are let in.
    ///
    /// # Errors
    /// [`JournalError::Locked`] and [`JournalError::NotWritable`].
    pub fn refused(dir: &Path, because: &JournalError) -> Result<Journal, JournalError> {
        Journal::refused_on(Box::new(Directory::lock(dir)?), because)
    }

    pub(crate) fn refused_on(
        medium: Box<dyn Medium>,
        because: &JournalError,
    ) -> Result<Journal, JournalError> {
        let mut journal = Journal::closed(medium);
        journal.refuse(because.to_string())?;
        Ok(journal)
    }

    /// Takes nothing more and shows nothing more, for good: as [`Journal::refused`].
    ///
    /// # Errors
    /// [`JournalError::Io`]: those who only read the directory are not let in.
    pub fn refuse(&mut self, cause: String) -> Result<(), JournalError> {
        self.anchor = None;
        self.head = Head::EMPTY;
        self.shared.refuse(cause);
        self.medium.let_readers_in()
    }

    /// Why the journal is held and not used, if it was refused.
    pub fn refusal(&self) -> Option<&str> {
        self.shared.refusal()
    }

    pub(crate) fn start(medium: Box<dyn Medium>) -> Result<(Journal, Recovery), JournalError> {
        let mut journal = Journal::closed(medium);
        let recovery = journal.recover(recovery::judge)?;
        Ok((journal, recovery))
    }

    fn closed(medium: Box<dyn Medium>) -> Journal {
        Journal {
            shared: Arc::new(Shared::new(medium.dir().to_owned())),
            medium,
            anchor: None,
            head: Head::EMPTY,
            poison: None,
        }
    }

    /// The last durable entry. The next one must follow it ([`Head::next`]).
    pub const fn head(&self) -> Head {
        self.head
    }

    /// A reader. It outlives the journal's reopening, and reads nothing once the journal is dropped.
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared))
    }

    /// Where snapshots of the state are kept.
    pub fn snapshots(&self) -> Snapshots {
        self.medium.snapshots()
    }

    /// Whether so many bytes of payloads may be appended without running into a full file system. It
    /// costs a system call. Somebody else may fill it meanwhile: [`Journal::append`] then says so.
    ///
    /// # Errors
    /// [`JournalError::NoRoom`].
    pub fn room_for(&self, bytes: usize) -> Result<(), JournalError> {
        let needed = RESERVE.saturating_add(bytes as u64);
        match self.medium.available() {
            Some(available) if available < needed => Err(JournalError::NoRoom {
                dir: self.medium.dir().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Appends entries by their payloads ([`syva_model::entry::Entry::encode`]), the first of which
    /// follows the head, each the one before it. Returns the new head once all of them are safe
    /// against power loss: the store is flushed, its file synced, then the anchor written and synced.
    /// No entries: nothing is done.
    ///
    /// # Errors
    /// [`JournalError::NotNext`]: nothing was written, the journal is as before.
    /// [`JournalError::NotDurable`]: the batch is dropped, and the journal refuses with
    /// [`JournalError::Poisoned`] until [`Journal::reopen`].
    pub fn append(&mut self, payloads: &[Vec<u8>]) -> Result<Head, JournalError> {
        self.reader().is_open()?;
        if let Some(cause) = &self.poison {
            return Err(JournalError::Poisoned {
                cause: cause.clone(),
            });
        }
        let mut head = self.head;
        let mut records = Vec::with_capacity(payloads.len());
        for payload in payloads {
            let record = RawRecord::new(head, payload.clone());
            inspect(head, &record).map_err(|fault| JournalError::NotNext {
                seq: head.seq + 1,
                fault,
            })?;
            head = head.after(payload);
            records.push(record);
        }
        if records.is_empty() {
            return Ok(self.head);
        }
        match self.write(&records, head) {
            Ok(()) => {
                self.head = head;
                self.shared.set_head(head);
                Ok(head)
            }
            Err(source) => {
                let error = JournalError::NotDurable {
                    first: self.head.seq + 1,
                    last: head.seq,
                    source,
                };
                self.poison = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn write(&mut self, records: &[RawRecord], head: Head) -> Result<(), StoreError> {
        let guard = self.shared.store();
        let (Some(store), Some(anchor)) = (guard.as_ref(), self.anchor.as_mut()) else {
            return Err(StoreError::Panicked {
                doing: "appending",
                message: "the store is closed".to_owned(),
            });
        };
        store.append(records)?;
        fail::fail_point!("journal-after-append", |_| std::process::abort());
        store.make_durable()?;
        fail::fail_point!("journal-after-sync", |_| std::process::abort());
        anchor.write(head)?;
        fail::fail_point!("journal-after-anchor", |_| std::process::abort());
        Ok(())
    }

    /// Closes the store, once no reader is in it, and opens it again from what the disk holds. What
    /// was appended and never anchored is cut: its callers were told that it failed. The state must be
    /// folded anew up to the head returned.
    ///
    /// # Errors
    /// As [`Journal::open`]; the journal then stays poisoned, and this can be tried again.
    pub fn reopen(&mut self) -> Result<Recovery, JournalError> {
        self.reader().is_open()?;
        let result = self
            .close()
            .and_then(|()| self.recover(recovery::judge_again));
        self.poison = result
            .as_ref()
            .err()
            .map(|error| format!("it could not be reopened: {error}"));
        result
    }

    /// Whether appends are refused until [`Journal::reopen`], and why.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    /// Checks every entry up to the head again. See [`JournalReader::verify`].
    ///
    /// # Errors
    /// As [`JournalReader::verify`].
    pub fn verify(&self) -> Result<Head, JournalError> {
        self.reader().verify()
    }

    fn close(&mut self) -> Result<(), JournalError> {
        self.anchor = None;
        drop(self.shared.store_mut().take());
        self.medium.forget_cached()
    }

    fn recover(
        &mut self,
        judge: fn(&Path, recovery::Walk, Reading) -> Result<Verdict, JournalError>,
    ) -> Result<Recovery, JournalError> {
        let created = self.medium.is_empty()?;
        // The anchor is there before the store: a store without one is never touched.
        let mut anchor = match self.medium.open_anchor()? {
            Some(anchor) => anchor,
            None if created => self.medium.create_anchor()?,
            None => {
                return Err(JournalError::Foreign {
                    dir: self.medium.dir().to_owned(),
                    found: "a store".to_owned(),
                });
            }
        };
        let reading = anchor.read()?;
        let store = self.medium.open_store()?;
        let dir = self.medium.dir();
        let unreadable = |source| self.shared.unreadable(source);
        let horizon = self.medium.horizon(store.as_ref())?;
        let base = prune::finish(store.as_ref(), horizon.as_ref()).map_err(unreadable)?;
        let snapshot = self.medium.snapshots().head();
        let start = recovery::start(store.as_ref(), base, reading.head, snapshot);
        let start = start.map_err(unreadable)?;
        let walk = recovery::walk(store.as_ref(), base, start, reading.head, &mut |_| ());
        let verdict = judge(dir, walk.map_err(unreadable)?, reading)?;
        let cut = recovery::cut(store.as_ref(), &verdict).map_err(unreadable)?;
        let anchored = reading.head.unwrap_or_default();
        if verdict.head != anchored || cut.is_some() || reading.damaged > 0 {
            store.make_durable().map_err(unreadable)?;
            anchor.write(verdict.head).map_err(unreadable)?;
        }
        let recovery = Recovery {
            created,
            head: verdict.head,
            anchored,
            checked_after: start.seq,
            tail: Tail {
                kept: verdict.head.seq - anchored.seq,
                cut,
            },
            anchor_damaged: reading.damaged > 0,
        };
        self.install(store, anchor, verdict.head);
        self.shared.set_horizon(horizon);
        Ok(recovery)
    }

    fn install(&mut self, store: Box<dyn Store>, anchor: Box<dyn Anchor>, head: Head) {
        *self.shared.store_mut() = Some(store);
        self.anchor = Some(anchor);
        self.head = head;
        self.shared.set_head(head);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Readers may outlive the journal and its lock: they must not keep the store open.
        drop(self.shared.store_mut().take());
    }
}
