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

use std::sync::atomic::{AtomicU64, Ordering};

use syva_model::kernel::KernelError;

use crate::error;
use crate::mapped::Mapped;

/// As many as `FILTER_SLOTS` in `maps.h`; the load suite compares the two.
pub(crate) const SLOTS: usize = 65_536;

/// The filter's counts.
#[derive(Debug)]
pub(crate) struct MemberFilter {
    counts: Mapped,
}

impl MemberFilter {
    pub(crate) fn new(map: impl std::os::fd::AsFd) -> Result<Self, KernelError> {
        Ok(MemberFilter {
            counts: Mapped::new(map, "member_filter", SLOTS * 8)?,
        })
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
            .filter_map(|slot| self.counts.word(slot * 8))
            .map(|count| count.load(Ordering::SeqCst))
            .sum()
    }

    fn slot(&self, cgroup: u64) -> Result<&AtomicU64, KernelError> {
        let slot = usize::try_from(cgroup % SLOTS as u64).unwrap_or(usize::MAX);
        self.counts
            .word(slot.saturating_mul(8))
            .ok_or_else(|| error::here("address", "member_filter", "no such slot", ""))
    }
}
