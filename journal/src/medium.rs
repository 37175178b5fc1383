//! Where a journal lives: what opens, and opens again, a store and its anchor.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::anchor::{Anchor, AnchorFile};
use crate::error::JournalError;
use crate::horizon::{self, Horizon};
use crate::lock::DirLock;
use crate::offline;
use crate::snapshot::Snapshots;
use crate::store::sled::{LOG, SledStore};
use crate::store::{Store, StoreError};

/// Where a journal lives.
pub(crate) trait Medium: Send {
    /// The directory, as errors name it.
    fn dir(&self) -> &Path;
    /// Whether there is no store yet.
    fn is_empty(&self) -> Result<bool, JournalError>;
    /// Opens the anchor; None if there is none, and nothing says that the store is a journal.
    fn open_anchor(&mut self) -> Result<Option<Box<dyn Anchor>>, JournalError>;
    /// Makes the anchor of an empty journal.
    fn create_anchor(&mut self) -> Result<Box<dyn Anchor>, JournalError>;
    /// Opens the store, or makes it, unchecked. An earlier one must be closed.
    fn open_store(&mut self) -> Result<Box<dyn Store>, JournalError>;
    /// Makes the next [`Medium::open_store`] read the disk and not the page cache.
    fn forget_cached(&mut self) -> Result<(), JournalError>;
    /// Where snapshots of the state are kept.
    fn snapshots(&self) -> Snapshots;
    /// What stands for the entries that were pruned from the open store.
    fn horizon(&self, store: &dyn Store) -> Result<Option<Horizon>, JournalError>;
    /// Keeps what will stand for pruned entries, durably and beside what stands for them now.
    fn write_horizon(&mut self, horizon: &Horizon) -> Result<(), JournalError>;
    /// Removes what stood for pruned entries before.
    fn forget_other_horizons(&mut self, kept: &Horizon);
    /// How many bytes may still be written, as far as that can be known.
    fn available(&self) -> Option<u64>;
    /// Goes on keeping other daemons out, and no longer those that only read the directory.
    fn let_readers_in(&self) -> Result<(), JournalError>;
    /// Shows what can be opened of the store without changing it; nothing if nothing can.
    fn show(&self, to: &mut dyn FnMut(&dyn Store));
    /// Moves the store out of the way and says where to; the anchor stays.
    fn set_aside(&mut self) -> Result<PathBuf, JournalError>;
}

/// A directory, locked.
pub(crate) struct Directory {
    dir: PathBuf,
    lock: DirLock,
}

impl Directory {
    /// Makes the directory if need be, and locks it.
    pub(crate) fn lock(dir: &Path) -> Result<Directory, JournalError> {
        let made = !dir.exists();
        let mut builder = DirBuilder::new();
        let synced = builder
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .and_then(|()| match dir.canonicalize()?.parent() {
                Some(parent) if made => File::open(parent)?.sync_all(),
                _ => Ok(()),
            });
        synced.map_err(|source| JournalError::NotWritable {
            dir: dir.to_owned(),
            source,
        })?;
        Ok(Directory {
            lock: DirLock::take(dir)?,
            dir: dir.to_owned(),
        })
    }

    fn unreadable(&self, source: StoreError) -> JournalError {
        // Our own lock is held: whoever has sled's does not know it.
        if source.is_locked() {
            return JournalError::Locked {
                dir: self.dir.clone(),
                holder: None,
            };
        }
        JournalError::StoreUnreadable {
            dir: self.dir.clone(),
            source,
        }
    }

    fn sync(&self) -> Result<(), JournalError> {
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(|source| JournalError::io("syncing the directory", &self.dir, source))
    }

    fn files(&self) -> Result<Vec<PathBuf>, JournalError> {
        SledStore::files(&self.dir)
            .map_err(|source| JournalError::io("listing the directory", &self.dir, source))
    }
}

impl Medium for Directory {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn is_empty(&self) -> Result<bool, JournalError> {
        Ok(self.files()?.is_empty())
    }

    fn open_anchor(&mut self) -> Result<Option<Box<dyn Anchor>>, JournalError> {
        let anchor = AnchorFile::open(&self.dir)?;
        Ok(anchor.map(|anchor| Box::new(anchor) as Box<dyn Anchor>))
    }

    fn create_anchor(&mut self) -> Result<Box<dyn Anchor>, JournalError> {
        Ok(Box::new(AnchorFile::create(&self.dir)?))
    }

    fn open_store(&mut self) -> Result<Box<dyn Store>, JournalError> {
        let store = SledStore::open(&self.dir).map_err(|source| self.unreadable(source))?;
        self.sync()?;
        Ok(Box::new(store))
    }

    fn forget_cached(&mut self) -> Result<(), JournalError> {
        SledStore::forget_cached(&self.dir).map_err(|source| self.unreadable(source))
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::in_dir(&self.dir)
    }

    fn horizon(&self, store: &dyn Store) -> Result<Option<Horizon>, JournalError> {
        horizon::of_store(&self.dir, store)
    }

    fn write_horizon(&mut self, horizon: &Horizon) -> Result<(), JournalError> {
        horizon::write(&self.dir, horizon).map_err(|source| {
            JournalError::io("writing what stands for pruned entries", &self.dir, source)
        })
    }

    fn forget_other_horizons(&mut self, kept: &Horizon) {
        horizon::remove_others(&self.dir, kept.head.seq);
    }

    fn available(&self) -> Option<u64> {
        let system = rustix::fs::statvfs(&self.dir).ok()?;
        // What is kept for root is the daemon's to use if it is root.
        let blocks = match rustix::process::geteuid().is_root() {
            true => system.f_bfree,
            false => system.f_bavail,
        };
        Some(blocks.saturating_mul(system.f_frsize))
    }

    fn let_readers_in(&self) -> Result<(), JournalError> {
        self.lock
            .share()
            .map_err(|source| JournalError::io("sharing the journal's lock", &self.dir, source))
    }

    fn show(&self, to: &mut dyn FnMut(&dyn Store)) {
        // Of the copy sled's own files may be left out, which it can do without.
        match offline::open_copy(&self.dir) {
            Ok((_copy, store, _)) => to(&store),
            Err(error) => tracing::warn!(%error, "nothing can be read of the journal's store"),
        }
    }

    fn set_aside(&mut self) -> Result<PathBuf, JournalError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let aside = self.dir.join(format!("lost-{now}"));
        let files = self.files()?;
        let moved = fs::create_dir(&aside).and_then(|()| {
            files.iter().try_for_each(|file| match file.file_name() {
                Some(name) => fs::rename(file, aside.join(name)),
                None => Ok(()),
            })
        });
        moved.map_err(|source| JournalError::io("setting the store aside", &aside, source))?;
        self.sync()?;
        tracing::warn!(log = LOG, aside = %aside.display(), "the journal's store was set aside");
        Ok(aside)
    }
}
