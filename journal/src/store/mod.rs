//! The seam to what holds the records: a few operations, so that sled can be replaced and tests can
//! make a disk fail on request.

#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod sled;

use std::io;

use crate::record::RawRecord;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, on which file.
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The store library refused.
    #[error("{doing}: {source}")]
    Sled {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        source: ::sled::Error,
    },
    /// The store library panicked, which is how sled reports most damage.
    #[error("{doing}: the store library gave up: {message}")]
    Panicked {
        /// What was being done.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
    /// There is a key no journal writes.
    #[error("the store holds a key of {0} bytes that no journal of Syvä's writes")]
    ForeignKey(usize),
}

impl StoreError {
    /// Whether something else holds the store's lock. Sled says so in words only.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self, StoreError::Sled { source: ::sled::Error::Io(source), .. }
            if source.to_string().contains("could not acquire lock"))
    }

    /// Whether there was no space left (ENOSPC, EDQUOT): space can be made and the store reopened.
    pub fn is_full(&self) -> bool {
        let kind = match self {
            StoreError::Io { source, .. } => source.kind(),
            StoreError::Sled {
                source: ::sled::Error::Io(source),
                ..
            } => source.kind(),
            _ => return false,
        };
        matches!(
            kind,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// Holds records in the order of their keys. One writer; readers beside it.
pub trait Store: Send + Sync {
    /// Adds records, whose keys ascend. They need not be durable on return; after an error any part
    /// of them may be there.
    ///
    /// # Errors
    /// [`StoreError`]; the store must then be opened again.
    fn append(&self, records: &[RawRecord]) -> Result<(), StoreError>;

    /// Makes everything appended and removed safe against power loss.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is known about what was not durable before; the store must be opened
    /// again.
    fn make_durable(&self) -> Result<(), StoreError>;

    /// Up to `max` records with keys of at least `from`, ascending.
    ///
    /// # Errors
    /// [`StoreError`]: a part of the store cannot be read.
    fn read(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError>;

    /// The highest key; nothing in an empty store.
    ///
    /// # Errors
    /// As [`Store::read`].
    fn last_key(&self) -> Result<Option<u64>, StoreError>;

    /// Removes every record with a key of at least `from`. Not durable on return.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn remove_from(&self, from: u64) -> Result<(), StoreError>;

    /// Removes every record with a key of at most `to`, the lowest first, and tells `passed` how far it
    /// came. Not durable on return.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn remove_to(&self, to: u64, passed: &mut dyn FnMut(u64)) -> Result<(), StoreError>;
}
