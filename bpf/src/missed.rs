//! Moves that the programs did not see. A kernel skips a tracing program that is entered again on a CPU
//! where a preempted task is still in it; then a rename or a link leaves stale labels in the cache,
//! until the epoch is advanced here.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use syva_model::kernel::KernelError;

use crate::counters::program_info;
use crate::error;
use crate::mapped::Mapped;

/// How often the kernel is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The programs that watch moves, and the epoch that they advance.
#[derive(Debug)]
pub(crate) struct MissedMoves {
    programs: Vec<OwnedFd>,
    epoch: Mapped,
    accounted: u64,
    next: Instant,
}

impl MissedMoves {
    /// `epoch` is the map `move_epoch`. What was missed before counts as well: labels cached by an
    /// earlier daemon's programs are in the cache.
    pub(crate) fn new(programs: Vec<OwnedFd>, epoch: Mapped) -> MissedMoves {
        MissedMoves {
            programs,
            epoch,
            accounted: 0,
            next: Instant::now(),
        }
    }

    /// Asks, if it is time, and makes the cached labels stale if a move was missed.
    pub(crate) fn look(&mut self) -> Result<(), KernelError> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + INTERVAL;
        let mut missed = 0;
        for program in &self.programs {
            let info = program_info(program.as_fd())
                .map_err(|e| error::from_io("read what was missed by", "the move programs", &e))?;
            missed += info.recursion_misses;
        }
        self.account(missed)
    }

    /// The kernel has missed that many in all.
    fn account(&mut self, missed: u64) -> Result<(), KernelError> {
        if missed == self.accounted {
            return Ok(());
        }
        let epoch = self
            .epoch
            .word(0)
            .ok_or_else(|| error::here("advance", "the map move_epoch", "it holds no word", ""))?;
        // The programs add to it too.
        epoch.fetch_add(1, Ordering::SeqCst);
        tracing::warn!(
            missed,
            "the kernel skipped a program that watches renames or links; cached labels are dropped"
        );
        self.accounted = missed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn a_missed_move_makes_cached_labels_stale_once() -> Result<(), Box<dyn std::error::Error>> {
        // Any descriptor that can be mapped does for the map.
        let memory = memfd_create("move_epoch", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, 8)?;
        let mapped = || Mapped::new(&memory, "move_epoch", 8);
        let epoch = mapped()?;
        let read = || epoch.word(0).map(|word| word.load(Ordering::SeqCst));
        let mut moves = MissedMoves::new(Vec::new(), mapped()?);
        for (missed, expected) in [(0, 0), (0, 0), (3, 1), (3, 1), (4, 2)] {
            moves.account(missed)?;
            assert_eq!(read(), Some(expected), "{missed} missed");
        }
        Ok(())
    }
}
