//! The lock on a journal's directory: one daemon at a time, for as long as it runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::JournalError;

/// The lock's file. It holds the pid of the process that has the lock, for people to read.
pub(crate) const FILE: &str = "lock";

/// How long a lock that was freed may seem held: a child just forked has it too, until it executes.
const LET_GO: Duration = Duration::from_millis(200);

/// A held lock (flock(2) on a file of its own). The kernel frees it when the process ends, however
/// it ends. It is held while the store is closed and opened again, when sled's own is not.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process, or this one, has it;
    /// [`JournalError::NotWritable`] when its file cannot be written.
    pub(crate) fn take(dir: &Path) -> Result<DirLock, JournalError> {
        let not_writable = |source| JournalError::NotWritable {
            dir: dir.to_owned(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(FILE))
            .map_err(not_writable)?;
        wait_for(dir, &mut file, File::try_lock)?.map_err(not_writable)?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(not_writable)?;
        Ok(DirLock { file })
    }

    /// Shares it with whoever only reads. No other daemon gets it.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn share(&self) -> std::io::Result<()> {
        self.file.lock_shared()
    }
}

/// Keeps daemons out of a directory that is being read, and writes nothing there.
#[derive(Debug)]
pub(crate) struct ReadLock {
    _files: Vec<File>,
}

impl ReadLock {
    /// Takes it on those of `names` that are there: in a copy of a journal the lock's file may be
    /// missing, and then nothing has the copy open.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when a daemon has the journal open; [`JournalError::Io`].
    pub(crate) fn take(dir: &Path, names: &[&str]) -> Result<ReadLock, JournalError> {
        let mut files = Vec::new();
        for name in names {
            let path = dir.join(name);
            let io = |source| JournalError::io("locking the journal to read it", &path, source);
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(io)?,
            };
            wait_for(dir, &mut file, File::try_lock_shared)?.map_err(io)?;
            files.push(file);
        }
        Ok(ReadLock { _files: files })
    }
}

/// Tries a lock until it is had, or has been held by something else for longer than a fork takes.
fn wait_for(
    dir: &Path,
    file: &mut File,
    lock: fn(&File) -> Result<(), TryLockError>,
) -> Result<std::io::Result<()>, JournalError> {
    let begun = Instant::now();
    loop {
        match lock(file) {
            Ok(()) => return Ok(Ok(())),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LET_GO => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::Locked {
                    dir: dir.to_owned(),
                    holder: holder(file),
                });
            }
            Err(TryLockError::Error(source)) => return Ok(Err(source)),
        }
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
