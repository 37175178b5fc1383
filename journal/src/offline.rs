//! Reading the journal of a daemon that does not run, without changing a byte of it.
//!
//! Sled writes wherever it opens, and repairs by dropping what it cannot read. So the journal is locked
//! against daemons, its files are copied, and the copy is what is opened, repaired and read.
//!
//! | found in the directory | here | a daemon's start |
//! |---|---|---|
//! | sled cannot open it, and can without `conf` and `snap.*` | read; [`Verified::of_sled`] says so | refuses |
//! | sled cannot open it at all, or not read it to its end | `StoreBroken`, which names the first entry that is not whole | refuses |
//! | entries are missing, damaged or not understood | read up to there; [`Offline::verify`] refuses | refuses |
//! | both slots of the anchor damaged | read; [`Offline::verify`] refuses | refuses |
//! | no anchor | `Foreign`, or `NoJournal` if there is no store either | refuses |

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::anchor::{self, Anchor as _, AnchorFile, Reading};
use crate::carve::carve;
use crate::error::JournalError;
use crate::horizon;
use crate::journal::prune;
use crate::lock::{self, ReadLock};
use crate::reader::{JournalReader, Shared};
use crate::record::Head;
use crate::recovery;
use crate::store::sled::{LOG, SledStore};
use crate::store::{Store, StoreError};

const COPYING: &str = "copying the journal, to read it unchanged (TMPDIR says where to)";

/// A journal's copy, open to be read.
pub struct Offline {
    dir: PathBuf,
    shared: Arc<Shared>,
    anchor: Reading,
    of_sled: Option<String>,
    // Below the temporary directory; it goes with this.
    _copy: TempDir,
}

/// What a journal that is whole looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its last entry.
    pub head: Head,
    /// How many of its last entries were written and never acknowledged. A start keeps them.
    pub unacknowledged: u64,
    /// What is wrong behind the last entry, where nothing was acknowledged. A start cuts it.
    pub torn: Option<String>,
    /// Whether one of the anchor's slots is damaged. If a crash did not tear it, the last append
    /// acknowledged may be missing without a trace.
    pub anchor_damaged: bool,
    /// Why sled opens the journal only without its own `conf` and `snap.*`.
    pub of_sled: Option<String>,
}

impl Offline {
    /// Copies the journal in `dir` and opens the copy. Nothing of it is checked yet.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when a daemon has it open; [`JournalError::NoJournal`] and
    /// [`JournalError::Foreign`]; [`JournalError::AnchorNewer`]; [`JournalError::StoreBroken`].
    pub fn open(dir: &Path) -> Result<Offline, JournalError> {
        is_journal(dir)?;
        // Sled locks its log: so does whatever has the store open without being a daemon.
        let lock = ReadLock::take(dir, &[lock::FILE, LOG])?;
        let (copy, store, of_sled) = open_copy(dir)?;
        drop(lock);
        let anchor = anchor_of(dir, &copy)?;
        let shared = Shared::new(dir.to_owned());
        let horizon = horizon::of_store(copy.path(), &store)?;
        prune::finish(&store, horizon.as_ref()).map_err(|source| broken(dir, source, anchor))?;
        shared.set_horizon(horizon);
        let last = store
            .last_key()
            .map_err(|source| broken(dir, source, anchor))?;
        // The hash is not known before a walk; readers need the number alone.
        shared.set_head(Head {
            seq: last.unwrap_or(0),
            ..Head::EMPTY
        });
        *shared.store_mut() = Some(Box::new(store));
        Ok(Offline {
            dir: dir.to_owned(),
            shared: Arc::new(shared),
            anchor,
            of_sled,
            _copy: copy,
        })
    }

    /// What the anchor says was acknowledged.
    pub fn anchored(&self) -> Reading {
        self.anchor
    }

    /// The highest key in the store: nothing says yet that it is an entry.
    pub fn last_key(&self) -> u64 {
        self.shared.head().seq
    }

    /// A reader of everything that is there. Its head has no hash.
    pub fn reader(&self) -> JournalReader {
        JournalReader::new(Arc::clone(&self.shared))
    }

    /// Checks every entry, from the first on, and holds the end against the anchor, as a start does.
    /// `passed` is told how far it came.
    ///
    /// # Errors
    /// [`JournalError`] as [`crate::Journal::open`] would give it: names the first entry that is bad
    /// or missing.
    pub fn verify(&self, passed: &mut dyn FnMut(u64)) -> Result<Verified, JournalError> {
        let guard = self.shared.store();
        let store = guard.as_ref().ok_or(JournalError::Closed)?;
        let base = self.reader().base();
        let walk = recovery::walk(store.as_ref(), base, base, self.anchor.head, passed)
            .map_err(|source| broken(&self.dir, source, self.anchor))?;
        let verdict = recovery::judge(&self.dir, walk, self.anchor)?;
        let anchored = self.anchor.head.unwrap_or_default();
        Ok(Verified {
            head: verdict.head,
            unacknowledged: verdict.head.seq - anchored.seq,
            torn: verdict.cut,
            anchor_damaged: self.anchor.damaged > 0,
            of_sled: self.of_sled.clone(),
        })
    }
}

/// Copies and opens: everything, or if sled refuses that, what it can do without left out. The
/// directory is locked by the caller.
pub(crate) fn open_copy(dir: &Path) -> Result<(TempDir, SledStore, Option<String>), JournalError> {
    let copy = copied(dir, |_| true)?;
    let refusal = match SledStore::open(copy.path()) {
        Ok(store) => return Ok((copy, store, None)),
        Err(refusal) => refusal,
    };
    // What was opened once may have been repaired: copied again.
    let copy = copied(dir, |name| {
        name == anchor::FILE || name == LOG || name == "blobs" || name.starts_with(horizon::PREFIX)
    })?;
    match SledStore::open(copy.path()) {
        Ok(store) => Ok((copy, store, Some(refusal.to_string()))),
        Err(_) => Err(broken(dir, refusal, anchor_of(dir, &copy)?)),
    }
}

fn anchor_of(dir: &Path, copy: &TempDir) -> Result<Reading, JournalError> {
    match AnchorFile::open(copy.path())? {
        Some(mut anchor) => anchor.read(),
        None => Err(no_journal(dir, "its head anchor went away just now")),
    }
}

/// What is left to say of a store that sled gives up on. The copy may have been repaired to pieces: the
/// directory itself is searched.
fn broken(dir: &Path, source: StoreError, anchor: Reading) -> JournalError {
    match carve(&dir.join(LOG), anchor.head.map(|head| head.seq)) {
        Ok(found) => JournalError::StoreBroken {
            dir: dir.to_owned(),
            source,
            found,
        },
        Err(_) => JournalError::StoreUnreadable {
            dir: dir.to_owned(),
            source,
        },
    }
}

fn copied(dir: &Path, wanted: impl Fn(&str) -> bool) -> Result<TempDir, JournalError> {
    let copy = tempfile::Builder::new()
        .prefix("syva-journal-")
        .tempdir()
        .map_err(|source| JournalError::io(COPYING, &std::env::temp_dir(), source))?;
    let mut files = SledStore::files(dir)
        .map_err(|source| JournalError::io("listing the directory", dir, source))?;
    files.push(dir.join(anchor::FILE));
    let horizons = horizon::files(dir)
        .map_err(|source| JournalError::io("listing the directory", dir, source))?;
    files.extend(horizons.into_iter().map(|(_, path)| path));
    for file in files {
        match file.file_name() {
            Some(name) if wanted(&name.to_string_lossy()) => {
                let target = copy.path().join(name);
                copy_all(&file, &target)
                    .map_err(|source| JournalError::io(COPYING, &file, source))?;
            }
            _ => {}
        }
    }
    Ok(copy)
}

/// A file, or a directory of files.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir(to)?;
    for item in fs::read_dir(from)? {
        let item = item?;
        copy_all(&item.path(), &to.join(item.file_name()))?;
    }
    Ok(())
}

pub(crate) fn is_journal(dir: &Path) -> Result<(), JournalError> {
    let io = |source| JournalError::io("reading the journal's directory", dir, source);
    match fs::metadata(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(no_journal(dir, "there is no such directory"));
        }
        Ok(meta) if !meta.is_dir() => return Err(no_journal(dir, "it is not a directory")),
        other => other.map(drop).map_err(io)?,
    }
    let files = SledStore::files(dir).map_err(io)?;
    let anchored = dir.join(anchor::FILE).try_exists().map_err(io)?;
    match (files.is_empty(), anchored) {
        (_, true) => Ok(()),
        (true, false) => Err(no_journal(dir, "it holds no head anchor and no store")),
        (false, false) => Err(JournalError::Foreign {
            dir: dir.to_owned(),
            found: "a store".to_owned(),
        }),
    }
}

fn no_journal(dir: &Path, found: &str) -> JournalError {
    JournalError::NoJournal {
        dir: dir.to_owned(),
        found: found.to_owned(),
    }
}
