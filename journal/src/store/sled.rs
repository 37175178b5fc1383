//! The sled store. Sled's defects that this file answers are listed in the crate's documentation.
//!
//! A record is the hash and the payload, cut into pieces of [`PIECE`] bytes: the first under the
//! sequence (8 bytes, big-endian), the rest under the sequence and the piece's number (4 bytes more).
//! Nothing says how many pieces there are: a missing one shows in the hash.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sled::{Batch, Config, Db};
use syva_model::entry::Hash;

use crate::quiet::quietly;
use crate::record::RawRecord;
use crate::store::{Store, StoreError};

/// A piece's size in bytes. Sled moves a leaf (16 values) above 128 KiB into a file of its own, which
/// it never syncs; 17 pieces of this size stay below.
pub(crate) const PIECE: usize = 4096;

/// How much goes to sled between two syncs, in bytes: half a segment. Sled may overwrite a segment
/// whose live pages it has copied elsewhere, and takes the copy for durable too early.
const BETWEEN_SYNCS: usize = 256 * 1024;

/// Sled's page cache in bytes. The journal is read from front to back: more would not help.
const CACHE: u64 = 32 * 1024 * 1024;

/// How long sled's threads may hold its lock after the store is closed. The journal's own lock keeps
/// other daemons out meanwhile.
const LET_GO: Duration = Duration::from_secs(2);

/// Sled's log, below the journal's directory.
pub(crate) const LOG: &str = "db";

/// Records in sled.
pub struct SledStore {
    // Nothing but `drop` takes it out.
    db: Option<Db>,
    // Our own descriptor: the kernel reports a write-back error once to each, so that no sync of
    // sled's can take ours away.
    log: File,
    path: PathBuf,
}

impl SledStore {
    /// Opens the store in `dir`, or creates it there.
    ///
    /// # Errors
    /// [`StoreError`], also where sled panics. Sled may have repaired the store by dropping what it
    /// could not read, with or without an error: what is there must be checked.
    pub fn open(dir: &Path) -> Result<SledStore, StoreError> {
        const DOING: &str = "opening the store";
        remove_drafts(dir).map_err(|source| io(DOING, dir, source))?;
        // No thread of sled's own: it would write behind the one writer's back, and what it cleans
        // up a journal does not leave behind (the file is as large without it).
        let config = Config::new()
            .path(dir)
            .cache_capacity(CACHE)
            .flush_every_ms(None);
        let begun = Instant::now();
        let db = loop {
            match guarded(DOING, || config.open()) {
                Err(error) if error.is_locked() && begun.elapsed() < LET_GO => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => break other?,
            }
        };
        let path = dir.join(LOG);
        let log = File::open(&path).map_err(|source| io(DOING, &path, source))?;
        Ok(SledStore {
            db: Some(db),
            log,
            path,
        })
    }

    /// Drops what the page cache holds of the log, so that the next open reads the disk. After a
    /// failed write-back the kernel calls pages clean that never reached the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the log still cannot be written back.
    pub(crate) fn forget_cached(dir: &Path) -> Result<(), StoreError> {
        const DOING: &str = "reading the store again from disk";
        let path = dir.join(LOG);
        let log = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|source| io(DOING, &path, source))?,
        };
        log.sync_data().map_err(|source| io(DOING, &path, source))?;
        rustix::fs::fadvise(&log, 0, None, rustix::fs::Advice::DontNeed)
            .map_err(|errno| io(DOING, &path, errno.into()))
    }

    /// Sled's files in `dir`, whoever made them.
    ///
    /// # Errors
    /// The operating system's, on reading the directory.
    pub(crate) fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for item in fs::read_dir(dir)? {
            let item = item?;
            let name = item.file_name();
            let name = name.to_string_lossy();
            if matches!(&*name, LOG | "conf" | "blobs") || name.starts_with("snap.") {
                files.push(item.path());
            }
        }
        Ok(files)
    }

    fn db(&self) -> Result<&Db, StoreError> {
        self.db.as_ref().ok_or(StoreError::Panicked {
            doing: "using the store",
            message: "it is closed".to_owned(),
        })
    }

    fn apply(&self, doing: &'static str, batch: Batch) -> Result<(), StoreError> {
        let db = self.db()?;
        guarded(doing, || db.apply_batch(batch))
    }
}

/// Removes snapshots that sled did not finish: it would take one for the newest snapshot there is and
/// refuse the store over it. It reads the log from an older one, or from its beginning.
fn remove_drafts(dir: &Path) -> std::io::Result<()> {
    let files = match SledStore::files(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let draft = |file: &&PathBuf| file.extension().is_some_and(|kind| kind == "generating");
    files.iter().filter(draft).try_for_each(fs::remove_file)
}

impl Store for SledStore {
    fn append(&self, records: &[RawRecord]) -> Result<(), StoreError> {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        for record in records {
            for (key, piece) in pieces(record) {
                if bytes + piece.len() > BETWEEN_SYNCS {
                    self.apply("appending", std::mem::take(&mut batch))?;
                    self.make_durable()?;
                    bytes = 0;
                }
                bytes += piece.len();
                batch.insert(key, piece);
            }
        }
        self.apply("appending", batch)
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        let db = self.db()?;
        guarded("flushing", || db.flush())?;
        fail::fail_point!("journal-after-flush", |_| std::process::abort());
        self.log
            .sync_data()
            .map_err(|source| io("syncing", &self.path, source))
    }

    fn read(&self, from: u64, max: usize) -> Result<Vec<RawRecord>, StoreError> {
        let db = self.db()?;
        let mut values: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut foreign = None;
        guarded("reading", || {
            for item in db.range(from.to_be_bytes()..) {
                let (key, piece) = item?;
                let Some(seq) = sequence(&key) else {
                    foreign = Some(key.len());
                    break;
                };
                let full = values.len() == max;
                match values.last_mut() {
                    Some((last, value)) if *last == seq => value.extend_from_slice(&piece),
                    _ if full => break,
                    _ => values.push((seq, piece.to_vec())),
                }
            }
            Ok(())
        })?;
        match foreign {
            Some(len) => Err(StoreError::ForeignKey(len)),
            None => Ok(values.into_iter().map(record).collect()),
        }
    }

    fn last_key(&self) -> Result<Option<u64>, StoreError> {
        let db = self.db()?;
        match guarded("reading the last key", || db.last())? {
            None => Ok(None),
            Some((key, _)) => sequence(&key)
                .map(Some)
                .ok_or(StoreError::ForeignKey(key.len())),
        }
    }

    fn remove_from(&self, from: u64) -> Result<(), StoreError> {
        let db = self.db()?;
        // The range begins at the sequence's first piece; all keys in it are longer or higher.
        guarded("cutting the tail", || {
            for key in db.range(from.to_be_bytes()..).keys() {
                db.remove(key?)?;
            }
            Ok(())
        })
    }

    fn remove_to(&self, to: u64, passed: &mut dyn FnMut(u64)) -> Result<(), StoreError> {
        loop {
            let keys = self.lowest(to)?;
            let Some(last) = keys.last().and_then(|key| sequence(key)) else {
                return Ok(());
            };
            let mut batch = Batch::default();
            for key in keys {
                batch.remove(key);
            }
            self.apply("pruning", batch)?;
            self.make_durable()?;
            passed(last);
        }
    }
}

/// How many keys are removed between two syncs, for the reason that [`BETWEEN_SYNCS`] has.
const REMOVED_AT_ONCE: usize = 4096;

impl SledStore {
    /// The lowest keys of at most `to`.
    fn lowest(&self, to: u64) -> Result<Vec<sled::IVec>, StoreError> {
        let db = self.db()?;
        let mut keys = Vec::new();
        guarded("reading the first keys", || {
            for key in db.iter().keys().take(REMOVED_AT_ONCE) {
                let key = key?;
                if sequence(&key).is_none_or(|seq| seq > to) {
                    break;
                }
                keys.push(key);
            }
            Ok(())
        })?;
        Ok(keys)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Sled unwraps a sync in its destructor.
        if let Err(message) = quietly(|| drop(self.db.take())) {
            tracing::warn!(message, "the store library gave up while closing");
        }
    }
}

fn guarded<T>(
    doing: &'static str,
    call: impl FnOnce() -> Result<T, sled::Error>,
) -> Result<T, StoreError> {
    match quietly(call) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(StoreError::Sled { doing, source }),
        Err(message) => Err(StoreError::Panicked { doing, message }),
    }
}

fn io(doing: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        doing: format!("{doing} ({})", path.display()),
        source,
    }
}

fn pieces(record: &RawRecord) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut value = record.hash.0.to_vec();
    value.extend_from_slice(&record.payload);
    (0_u32..)
        .zip(value.chunks(PIECE))
        .map(|(number, piece)| {
            let mut key = record.key.to_be_bytes().to_vec();
            if number > 0 {
                key.extend_from_slice(&number.to_be_bytes());
            }
            (key, piece.to_vec())
        })
        .collect()
}

fn sequence(key: &[u8]) -> Option<u64> {
    if !matches!(key.len(), 8 | 12) {
        return None;
    }
    Some(u64::from_be_bytes(*key.first_chunk()?))
}

fn record((key, value): (u64, Vec<u8>)) -> RawRecord {
    match value.split_first_chunk() {
        Some((hash, payload)) => RawRecord {
            key,
            hash: Hash(*hash),
            payload: payload.to_vec(),
        },
        // Too short to hold a hash: no payload has this one.
        None => RawRecord {
            key,
            hash: Hash::ZERO,
            payload: value,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Head;

    /// A store whose log is synced through something that cannot be (fdatasync on a pipe: EINVAL).
    fn store_that_cannot_sync(dir: &Path) -> SledStore {
        let mut store = SledStore::open(dir).expect("opens");
        let (reader, _) = std::io::pipe().expect("a pipe");
        store.log = File::from(std::os::fd::OwnedFd::from(reader));
        store
    }

    fn is_in_the_file(dir: &Path, text: &[u8]) -> bool {
        let file = fs::read(dir.join(LOG)).expect("reads");
        file.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn durable_means_flushed_by_sled_and_then_synced_by_us() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store_that_cannot_sync(dir.path());
        let text = b"a payload to look for";
        let record = RawRecord::new(Head::EMPTY, text.to_vec());
        store.append(&[record]).expect("appends");
        assert!(!is_in_the_file(dir.path(), text), "sled buffers");
        let error = store.make_durable().expect_err("the sync is ours");
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        assert!(is_in_the_file(dir.path(), text), "the flush came first");
    }

    #[test]
    fn sled_writes_nothing_behind_the_writers_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(dir.path()).expect("opens");
        let text = b"a payload to look for";
        let record = RawRecord::new(Head::EMPTY, text.to_vec());
        store.append(&[record]).expect("appends");
        // Its thread would flush every half second.
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!is_in_the_file(dir.path(), text));
        store.make_durable().expect("syncs");
        assert!(is_in_the_file(dir.path(), text));
    }

    /// The log's first page, if it can be had without asking the disk.
    fn cached(dir: &Path) -> rustix::io::Result<usize> {
        let log = File::open(dir.join(LOG)).expect("opens");
        let mut page = [0; 4096];
        let mut into = [std::io::IoSliceMut::new(&mut page)];
        rustix::io::preadv2(log, &mut into, 0, rustix::io::ReadWriteFlags::NOWAIT)
    }

    #[test]
    fn what_is_opened_again_is_read_from_the_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(dir.path()).expect("opens");
        let record = RawRecord::new(Head::EMPTY, vec![7; 5000]);
        store.append(&[record]).expect("appends");
        store.make_durable().expect("syncs");
        drop(store);
        let system = rustix::fs::statfs(dir.path()).expect("is known");
        if system.f_type == 0x0102_1994 || cached(dir.path()) == Err(rustix::io::Errno::OPNOTSUPP) {
            eprintln!("skipped: {} has no disk to read from", dir.path().display());
            return;
        }
        assert_eq!(cached(dir.path()), Ok(4096), "as it was written");
        SledStore::forget_cached(dir.path()).expect("forgets");
        assert_eq!(cached(dir.path()), Err(rustix::io::Errno::AGAIN));
    }

    #[test]
    fn a_store_that_was_closed_can_be_opened_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut head = Head::EMPTY;
        for round in 0..100_u64 {
            let store = SledStore::open(dir.path()).expect("opens");
            assert_eq!(store.last_key().expect("reads").unwrap_or(0), round);
            let record = RawRecord::new(head, vec![1; 5000]);
            head = head.after(&record.payload);
            store.append(&[record]).expect("appends");
            store.make_durable().expect("syncs");
        }
    }

    #[test]
    fn no_more_than_half_a_segment_goes_to_sled_between_two_syncs() {
        for (len, synced) in [(BETWEEN_SYNCS - PIECE, false), (BETWEEN_SYNCS, true)] {
            let dir = tempfile::tempdir().expect("a directory");
            let store = store_that_cannot_sync(dir.path());
            let record = RawRecord::new(Head::EMPTY, vec![7; len]);
            assert_eq!(store.append(&[record]).is_err(), synced, "{len} bytes");
        }
    }
}
