//! An array map mapped into this process: words that kernel and daemon change atomically.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use syva_model::kernel::KernelError;

use crate::error;

/// A mapping of a BPF_F_MMAPABLE array.
#[derive(Debug)]
pub(crate) struct Mapped {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: it is memory of the process, touched only through atomics.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the array's first `bytes` bytes. Elements lie at multiples of eight bytes.
    pub(crate) fn new(
        map: impl AsFd,
        name: &'static str,
        bytes: usize,
    ) -> Result<Self, KernelError> {
        // SAFETY: a fresh shared mapping at an address of the kernel's choice.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                map,
                0,
            )
        };
        let start = start.map_err(|e| error::from_io("map into memory", name, &e.into()))?;
        let start = NonNull::new(start)
            .ok_or_else(|| error::here("map into memory", name, "a null address", ""))?;
        Ok(Mapped { start, bytes })
    }

    /// The word of eight bytes at that offset; `None` if it is unaligned or outside.
    pub(crate) fn word(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset.checked_add(8)? > self.bytes {
            return None;
        }
        // SAFETY: inside the mapping, aligned (mappings begin at a page), and only ever accessed as
        // atomics by this process; the kernel's programs add atomically too.
        Some(unsafe { AtomicU64::from_ptr(self.start.as_ptr().byte_add(offset).cast()) })
    }

    /// The word of four bytes at that offset; `None` if it is unaligned or outside.
    pub(crate) fn half(&self, offset: usize) -> Option<&AtomicU32> {
        if !offset.is_multiple_of(4) || offset.checked_add(4)? > self.bytes {
            return None;
        }
        // SAFETY: as for `word`; no half lies in a word that is accessed whole.
        Some(unsafe { AtomicU32::from_ptr(self.start.as_ptr().byte_add(offset).cast()) })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this, and no borrow of it outlives self.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.bytes) };
        if let Err(errno) = unmapped {
            tracing::warn!(%errno, "unmapping a BPF array");
        }
    }
}
