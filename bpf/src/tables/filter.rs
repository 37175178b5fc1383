//! The counting filter in front of the memberships.
//!
//! Every hook of every task asks first how many zoned cgroups share the low 16 bits of its own id; zero
//! ends the matter. The kernel adds and removes rows at any moment (`cgroup.h`), so both sides keep one
//! rule, under which the count of a slot is never below the number of its rows:
//!
//! 1. add before inserting, and insert only where there is no row (`BPF_NOEXIST`);
//! 2. subtract once for an insertion that failed, and once for a deletion that succeeded.
//!
//! Every subtraction is thereby paired with an addition that came before the row could be seen, and a
//! deletion succeeds for one side only. Dying in between leaves a count too high, which costs those
//! tasks a look-up in the hash.
//!
//! Beside its count a slot has room for a copy of the row that was looked up last, made and read by the
//! programs alone (`subject.h`). It counts only in the epoch it was made in, and [`MemberFilter::changed`]
//! ends that.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use syva_model::kernel::KernelError;

use crate::error;
use crate::mapped::Mapped;
use crate::skel::types::filter_slot;

/// As many as `FILTER_SLOTS` in `maps.h`; the load suite compares the two.
pub(crate) const SLOTS: usize = 65_536;

/// The filter's slots, and the epoch of the copies in them.
#[derive(Debug)]
pub(crate) struct MemberFilter {
    slots: Mapped,
    epoch: Mapped,
}

impl MemberFilter {
    pub(crate) fn new(filter: impl AsFd, epoch: impl AsFd) -> Result<Self, KernelError> {
        Ok(MemberFilter {
            slots: Mapped::new(filter, "member_filter", SLOTS * size_of::<filter_slot>())?,
            epoch: Mapped::new(epoch, "member_epoch", size_of::<u64>())?,
        })
    }

    /// A row was changed, or removed: copies made before are stale. To be called after the change, so
    /// that no copy of the old row is made in the new epoch.
    pub(crate) fn changed(&self) -> Result<(), KernelError> {
        let epoch = self.epoch.word(0);
        let epoch = epoch.ok_or_else(|| error::here("address", "member_epoch", "no word", ""))?;
        epoch.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn add(&self, cgroup: u64) -> Result<(), KernelError> {
        self.slot(cgroup)?.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn subtract(&self, cgroup: u64) -> Result<(), KernelError> {
        self.slot(cgroup)?.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    /// The sum of all counts.
    pub(crate) fn total(&self) -> u64 {
        (0..SLOTS)
            .filter_map(|slot| self.slots.word(at(slot)))
            .map(|count| count.load(Ordering::SeqCst))
            .sum()
    }

    fn slot(&self, cgroup: u64) -> Result<&AtomicU64, KernelError> {
        let slot = usize::try_from(cgroup % SLOTS as u64).unwrap_or(usize::MAX);
        self.slots
            .word(at(slot))
            .ok_or_else(|| error::here("address", "member_filter", "no such slot", ""))
    }
}

/// Where the count of a slot is.
fn at(slot: usize) -> usize {
    slot.saturating_mul(size_of::<filter_slot>()) + offset_of!(filter_slot, members)
}
