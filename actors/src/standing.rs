//! Where the maps stand, for whoever answers a caller: written by the reconciler alone (but for maps that
//! it is to leave alone), and read without waiting for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What is known of the maps.
#[derive(Debug, Default)]
pub struct Standing {
    applied: AtomicU64,
    amiss: AtomicBool,
}

impl Standing {
    /// The last entry whose effects the maps have held.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Whether the maps hold everything up to that entry, as far as is known.
    pub fn holds(&self, seq: u64) -> bool {
        !self.amiss.load(Ordering::Acquire) && self.applied() >= seq
    }

    /// The maps hold what an earlier daemon wrote, up to that entry, and are left alone.
    pub(crate) fn found(&self, seq: u64) {
        self.applied.store(seq, Ordering::Release);
        self.amiss();
    }

    /// From now on nobody knows what the maps hold: a plan begins, or one broke off.
    pub(crate) fn amiss(&self) {
        self.amiss.store(true, Ordering::Release);
    }

    /// The maps hold everything up to that entry.
    pub(crate) fn agreed(&self, seq: u64) {
        self.applied.store(seq, Ordering::Release);
        self.amiss.store(false, Ordering::Release);
    }
}
