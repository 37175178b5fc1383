//! The in-memory store, and a disk that fails on request: for tests, of this crate and of those above.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::anchor::{Anchor, Reading};
use crate::error::JournalError;
use crate::horizon::Horizon;
use crate::journal::Journal;
use crate::journal::loss::Loss;
use crate::medium::Medium;
use crate::record::{Head, RawRecord};
use crate::recovery::Recovery;
use crate::snapshot::Snapshots;
use crate::store::{Store, StoreError};

const ENOSPC: i32 = 28;

/// What was called, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Store::append`], with how many records.
    Append(usize),
    /// [`Store::make_durable`].
    MakeDurable,
    /// [`Anchor::write`], with which sequence.
    Anchor(u64),
    /// [`Store::remove_from`].
    Remove(u64),
}

/// What becomes of a call, if a test decides it ([`Memory::judge`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It succeeds, unless it was made to fail otherwise.
    Done,
    /// It finds no space.
    Fails,
    /// It says that it found no space, and is done nevertheless (an append: a part of it).
    FailsAndIsDone,
    /// It says that it is done, and is not: a disk that lies.
    Lies,
}

/// Decides what becomes of a call. One that panics is a process that dies there.
type Judge = Arc<dyn Fn(Call) -> Fate + Send + Sync>;

/// A disk in memory. Clones are the same disk. What was not made durable is gone when the journal is
/// opened again, as if the power had been cut.
#[derive(Clone, Default)]
pub struct Memory {
    disk: Arc<Mutex<Disk>>,
    snapshots: Snapshots,
}

#[derive(Default)]
struct Disk {
    volatile: BTreeMap<u64, RawRecord>,
    durable: BTreeMap<u64, RawRecord>,
    anchor: Option<Reading>,
    fail_append: bool,
    fail_flush: bool,
    fail_anchor: bool,
    keep_on_failed_anchor: bool,
    keep_on_failed_flush: bool,
    slow_flush: Duration,
    available: Option<u64>,
    calls: Vec<Call>,
    judge: Option<Judge>,
    records_read: usize,
    horizons: Vec<Horizon>,
}

impl Memory {
    /// An empty disk.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Opens the journal on this disk. Nothing locks it: drop the one before.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open(&self) -> Result<(Journal, Recovery), JournalError> {
        Journal::start(Box::new(self.clone()))
    }

    /// As [`Journal::open_accepting_loss`].
    ///
    /// # Errors
    /// As [`Journal::open_accepting_loss`].
    pub fn open_accepting_loss(&self) -> Result<(Journal, Loss), JournalError> {
        Journal::start_accepting_loss(Box::new(self.clone()))
    }

    /// As [`Journal::refused`].
    ///
    /// # Errors
    /// As [`Journal::refused`].
    pub fn refused(&self, because: &JournalError) -> Result<Journal, JournalError> {
        Journal::refused_on(Box::new(self.clone()), because)
    }

    /// The next append finds no space, after half of its records.
    pub fn fail_next_append(&self) {
        self.disk().fail_append = true;
    }

    /// The next flush finds no space; what it should have flushed is lost.
    pub fn fail_next_flush(&self) {
        self.disk().fail_flush = true;
    }

    /// The next flush says that it failed, and what it should have flushed is there nevertheless.
    pub fn fail_next_flush_but_keep(&self) {
        let mut disk = self.disk();
        disk.fail_flush = true;
        disk.keep_on_failed_flush = true;
    }

    /// The next write of the anchor finds no space.
    pub fn fail_next_anchor(&self) {
        self.disk().fail_anchor = true;
    }

    /// The next write of the anchor says that it failed, and is there nevertheless.
    pub fn fail_next_anchor_but_keep(&self) {
        let mut disk = self.disk();
        disk.fail_anchor = true;
        disk.keep_on_failed_anchor = true;
    }

    /// From now on every call that writes is asked about before anything of it is done.
    pub fn judge(&self, judge: impl Fn(Call) -> Fate + Send + Sync + 'static) {
        self.disk().judge = Some(Arc::new(judge));
    }

    /// The power goes while records were appended that are not durable: `keep` says of each what is
    /// there afterwards, whole or in part. The journal must be opened again.
    pub fn lose_power(&self, mut keep: impl FnMut(&RawRecord) -> Option<RawRecord>) {
        let mut disk = self.disk();
        let volatile = std::mem::take(&mut disk.volatile);
        for (key, record) in volatile {
            if !disk.durable.contains_key(&key)
                && let Some(kept) = keep(&record)
            {
                disk.durable.insert(key, kept);
            }
        }
    }

    /// So many bytes may still be written; `None`: nobody knows.
    pub fn set_available(&self, bytes: Option<u64>) {
        self.disk().available = bytes;
    }

    /// Every flush takes this long from now on.
    pub fn slow_flush(&self, by: Duration) {
        self.disk().slow_flush = by;
    }

    /// The store loses everything behind `last`, durable or not; the anchor does not.
    pub fn shorten(&self, last: u64) {
        let mut disk = self.disk();
        disk.durable.retain(|key, _| *key <= last);
        disk.volatile.retain(|key, _| *key <= last);
    }

    /// The store loses one record.
    pub fn lose(&self, key: u64) {
        let mut disk = self.disk();
        disk.durable.remove(&key);
        disk.volatile.remove(&key);
    }

    /// Puts a record there durably, as damage or another program would; nothing checks it.
    pub fn put(&self, record: RawRecord) {
        let mut disk = self.disk();
        disk.durable.insert(record.key, record.clone());
        disk.volatile.insert(record.key, record);
    }

    /// Replaces the anchor.
    pub fn set_anchor(&self, reading: Reading) {
        self.disk().anchor = Some(reading);
    }

    /// Where the snapshots of this disk are.
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// What was called since the beginning, or since the last time this was.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.disk().calls)
    }

    /// Somebody deletes the snapshot.
    pub fn forget_snapshot(&self) {
        self.snapshots.forget_before(u64::MAX);
    }

    /// How many records were read since the beginning, or since the last time this was called.
    pub fn take_records_read(&self) -> usize {
        std::mem::take(&mut self.disk().records_read)
    }

    /// What becomes of a call; the disk is not locked while that is decided.
    fn fate(&self, call: Call) -> Fate {
        let judge = self.disk().judge.clone();
        judge.map_or(Fate::Done, |judge| judge(call))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn fails(fate: Fate) -> bool {
    matches!(fate, Fate::Fails | Fate::FailsAndIsDone)
}

/// Whether a call is done; nothing if the fate does not say.
const fn is_done(fate: Fate) -> Option<bool> {
    match fate {
        Fate::Done => None,
        Fate::FailsAndIsDone => Some(true),
        Fate::Fails | Fate::Lies => Some(false),
    }
}

fn no_space(doing: &str) -> StoreError {
    StoreError::Io {
        doing: format!("{doing} (in memory)"),
        source: io::Error::from_raw_os_error(ENOSPC),
    }
}

impl Store for Memory {
    fn append(&self, records: &[RawRecord]) -> Result<(), StoreError> {
        let fate = self.fate(Call::Append(records.len()));
        let mut disk = self.disk();
        disk.calls.push(Call::Append(records.len()));
        let fails = std::mem::take(&mut disk.fail_append) || fails(fate);
        let written = if fails {
            records.len() / 2
        } else {
            records.len()
        };
        for record in &records[..written] {
            disk.volatile.insert(record.key, record.clone());
        }
        if fails {
            Err(no_space("appending"))
        } else {
            Ok(())
        }
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        let slow = self.disk().slow_flush;
        if !slow.is_zero() {
            std::thread::sleep(slow);
        }
        let fate = self.fate(Call::MakeDurable);
        let mut disk = self.disk();
        disk.calls.push(Call::MakeDurable);
        let done = is_done(fate);
        let fails = std::mem::take(&mut disk.fail_flush) || fails(fate);
        if done.unwrap_or(!fails || std::mem::take(&mut disk.keep_on_failed_flush)) {
            disk.durable = disk.volatile.clone();
        }
        if fails {
            Err(no_space("flushing"))
        } else {
            Ok(())
        }
    }

    fn read(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        let mut disk = self.disk();
        let records: Vec<RawRecord> = disk
            .volatile
            .range((Bound::Included(from), Bound::Unbounded))
            .take(max)
            .map(|(_, record)| record.clone())
            .collect();
        disk.records_read += records.len();
        Ok(records)
    }

    fn last_key(&self) -> Result<Option<u64>, StoreError> {
        Ok(self.disk().volatile.keys().next_back().copied())
    }

    fn remove_from(&self, from: u64) -> Result<(), StoreError> {
        // It is no I/O yet: only dying is of interest.
        self.fate(Call::Remove(from));
        let mut disk = self.disk();
        disk.calls.push(Call::Remove(from));
        disk.volatile.split_off(&from);
        Ok(())
    }

    fn remove_to(&self, to: u64, passed: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        self.disk().volatile.retain(|key, _| *key > to);
        passed(to);
        Ok(())
    }
}

impl Anchor for Memory {
    fn read(&mut self) -> Result<Reading, JournalError> {
        Ok(self.disk().anchor.unwrap_or(Reading {
            head: Some(Head::EMPTY),
            damaged: 0,
        }))
    }

    fn write(&mut self, head: Head) -> Result<(), StoreError> {
        let fate = self.fate(Call::Anchor(head.seq));
        let mut disk = self.disk();
        disk.calls.push(Call::Anchor(head.seq));
        let done = is_done(fate);
        let fails = std::mem::take(&mut disk.fail_anchor) || fails(fate);
        if done.unwrap_or(!fails || std::mem::take(&mut disk.keep_on_failed_anchor)) {
            disk.anchor = Some(Reading {
                head: Some(head),
                damaged: 0,
            });
        }
        if fails {
            return Err(no_space("writing the head anchor"));
        }
        Ok(())
    }
}

impl Medium for Memory {
    fn dir(&self) -> &Path {
        Path::new("(memory)")
    }

    fn is_empty(&self) -> Result<bool, JournalError> {
        let disk = self.disk();
        Ok(disk.durable.is_empty() && disk.anchor.is_none())
    }

    fn open_anchor(&mut self) -> Result<Option<Box<dyn Anchor>>, JournalError> {
        Ok(Some(Box::new(self.clone())))
    }

    fn create_anchor(&mut self) -> Result<Box<dyn Anchor>, JournalError> {
        Ok(Box::new(self.clone()))
    }

    fn open_store(&mut self) -> Result<Box<dyn Store>, JournalError> {
        let mut disk = self.disk();
        disk.volatile = disk.durable.clone();
        Ok(Box::new(self.clone()))
    }

    fn forget_cached(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    fn available(&self) -> Option<u64> {
        self.disk().available
    }

    fn horizon(&self, store: &dyn Store) -> Result<Option<Horizon>, JournalError> {
        let kept = self.disk().horizons.clone();
        for horizon in kept.into_iter().rev() {
            let by = store.read(horizon.by.seq, 1).unwrap_or_default();
            if by
                .first()
                .is_some_and(|raw| horizon.is_bound_by(raw).is_ok())
            {
                return Ok(Some(horizon));
            }
        }
        Ok(None)
    }

    fn write_horizon(&mut self, horizon: &Horizon) -> Result<(), JournalError> {
        self.disk().horizons.push(horizon.clone());
        Ok(())
    }

    fn forget_other_horizons(&mut self, kept: &Horizon) {
        self.disk().horizons.retain(|horizon| horizon == kept);
    }

    fn show(&self, to: &mut dyn FnMut(&dyn Store)) {
        to(self);
    }

    fn let_readers_in(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn set_aside(&mut self) -> Result<PathBuf, JournalError> {
        let mut disk = self.disk();
        disk.durable.clear();
        disk.volatile.clear();
        Ok(PathBuf::from("(memory, aside)"))
    }
}
