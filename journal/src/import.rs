//! The import: a new journal's directory from an export, whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::JournalError;
use crate::export::{ExportError, Reader};
use crate::journal::Journal;
use crate::record::Head;

/// How many entries are appended at once.
const STEP: usize = 1024;

/// Why nothing was imported. The directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is something there.
    #[error(
        "cannot import into {dir}: it is {found}; an import makes a new journal and never adds to or replaces one: name a directory that is empty or not there",
        dir = dir.display()
    )]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The journal would not be one from its first entry on.
    #[error(
        "the export begins with entry {0}: a journal is made from an export that begins with entry 1"
    )]
    NotWhole(u64),
    /// The export is not taken.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Makes a journal in `dir` from an export, durable on return. It is made beside `dir` and renamed,
/// so that after an error, and after a crash, `dir` is as it was. `passed` is told how far it came.
///
/// # Errors
/// [`ImportError`].
pub fn import<R: Read>(
    dir: &Path,
    mut export: Reader<R>,
    passed: &mut dyn FnMut(u64),
) -> Result<Head, ImportError> {
    let extent = export.extent();
    if extent.base != Head::EMPTY {
        return Err(ImportError::NotWhole(extent.base.seq + 1));
    }
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::io(doing, &path, source)
    };
    let dir = std::path::absolute(dir).map_err(io("finding the directory", dir))?;
    is_free(&dir)?;
    let parent = dir.parent().unwrap_or(Path::new("/"));
    let draft = tempfile::Builder::new()
        .prefix(".syva-import-")
        .tempdir_in(parent)
        .map_err(io("making the new journal beside its place", parent))?;
    let head = fill(draft.path(), &mut export, passed)?;
    if let Ok(there) = fs::metadata(&dir) {
        // An empty directory was made for somebody: its mode stays.
        fs::set_permissions(draft.path(), there.permissions())
            .map_err(io("giving the new journal its mode", draft.path()))?;
    }
    // rename(2) replaces an empty directory and nothing else.
    fs::rename(draft.path(), &dir).map_err(|source| match source.kind() {
        ErrorKind::DirectoryNotEmpty => ImportError::NotEmpty {
            dir: dir.clone(),
            found: "not empty",
        },
        _ => io("putting the new journal in its place", &dir)(source).into(),
    })?;
    // It has another name now: there is nothing to remove.
    let _ = draft.keep();
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(io("syncing the directory", parent))?;
    Ok(head)
}

fn fill<R: Read>(
    dir: &Path,
    export: &mut Reader<R>,
    passed: &mut dyn FnMut(u64),
) -> Result<Head, ImportError> {
    let (mut journal, _) = Journal::open(dir)?;
    let mut batch = Vec::with_capacity(STEP);
    loop {
        let next = export.pull()?;
        let done = next.is_none();
        batch.extend(next);
        if done || batch.len() == STEP {
            journal.append(&batch)?;
            batch.clear();
            passed(journal.head().seq);
        }
        if done {
            // Everything was synced entry by entry; the names in the directory were not.
            File::open(dir)
                .and_then(|dir| dir.sync_all())
                .map_err(|source| JournalError::io("syncing the directory", dir, source))?;
            return Ok(journal.head());
        }
    }
}

fn is_free(dir: &Path) -> Result<(), ImportError> {
    let found = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => "not a directory",
        Err(source) => {
            return Err(JournalError::io("reading the directory", dir, source).into());
        }
        Ok(mut items) => match items.next() {
            None => return Ok(()),
            Some(_) => "not empty",
        },
    };
    Err(ImportError::NotEmpty {
        dir: dir.to_owned(),
        found,
    })
}
