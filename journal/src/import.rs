//! The import: a new journal's directory from an export, whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error::JournalError;
use crate::export::{ExportError, Reader};
use crate::journal::Journal;
use crate::offline::Offline;
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
        "the export begins with entry {0}: a journal is made from entry 1 on; name the export of what comes before it first"
    )]
    NotWhole(u64),
    /// What should go on after the exports does not.
    #[error(
        "entries are missing between entry {last}, where the exports end, and entry {first}, with which the pruned journal begins: name the exports of what lies between them too"
    )]
    Gap {
        /// The last entry of the exports.
        last: u64,
        /// The first of the journal.
        first: u64,
    },
    /// What stands twice is not the same.
    #[error(
        "entry {0} stands in two of the things to import, and is another in each: they are of different journals"
    )]
    Different(u64),
    /// The export is not taken.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Makes a journal in `dir` from an export and those that go on after it, and with `then` from what a
/// pruned journal holds behind them: that is how pruning is undone. What stands in two of them is taken
/// once, and must be the same. It is durable on return. It is made beside `dir` and renamed,
/// so that after an error, and after a crash, `dir` is as it was. `passed` is told how far it came.
///
/// # Errors
/// [`ImportError`].
pub fn import<R: Read>(
    dir: &Path,
    exports: Vec<Reader<R>>,
    then: Option<&Offline>,
    passed: &mut dyn FnMut(u64),
) -> Result<Head, ImportError> {
    match exports.first().map(|export| export.extent().base) {
        Some(Head::EMPTY) => {}
        base => return Err(ImportError::NotWhole(base.unwrap_or_default().seq + 1)),
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
    let head = fill(draft.path(), exports, then, passed)?;
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
    exports: Vec<Reader<R>>,
    then: Option<&Offline>,
    passed: &mut dyn FnMut(u64),
) -> Result<Head, ImportError> {
    let (mut journal, _) = Journal::open(dir)?;
    for mut export in exports {
        let mut seq = export.extent().base.seq;
        if seq > journal.head().seq {
            return Err(ImportError::NotWhole(seq + 1));
        }
        let mut batch = Batch::of(&mut journal);
        while let Some(payload) = export.pull()? {
            seq += 1;
            batch.take(seq, payload, passed)?;
        }
        batch.end(passed)?;
    }
    if let Some(offline) = then {
        go_on(&mut journal, offline, passed)?;
    }
    // Everything was synced entry by entry; the names in the directory were not.
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|source| JournalError::io("syncing the directory", dir, source))?;
    Ok(journal.head())
}

/// Appends what a pruned journal holds behind the end of another.
fn go_on(
    journal: &mut Journal,
    offline: &Offline,
    passed: &mut dyn FnMut(u64),
) -> Result<(), ImportError> {
    let (reader, last) = (offline.reader(), journal.head().seq);
    let first = reader.base().seq + 1;
    if first > last + 1 {
        return Err(ImportError::Gap { last, first });
    }
    let mut next = first;
    let mut batch = Batch::of(journal);
    loop {
        let records = reader.read(next, STEP)?;
        let Some(record) = records.last() else { break };
        next = record.seq + 1;
        for record in records {
            batch.take(record.seq, record.payload, passed)?;
        }
    }
    batch.end(passed)
}

/// Entries on their way into a journal, appended many at once.
struct Batch<'a> {
    journal: &'a mut Journal,
    payloads: Vec<Vec<u8>>,
}

impl Batch<'_> {
    fn of(journal: &mut Journal) -> Batch<'_> {
        Batch {
            journal,
            payloads: Vec::with_capacity(STEP),
        }
    }

    /// Takes an entry, unless it is there already: then it is held against what is there.
    fn take(
        &mut self,
        seq: u64,
        payload: Vec<u8>,
        passed: &mut dyn FnMut(u64),
    ) -> Result<(), ImportError> {
        if seq <= self.journal.head().seq {
            let there = self.journal.reader().read(seq, 1)?.pop();
            return match there.filter(|there| there.payload == payload) {
                Some(_) => Ok(()),
                None => Err(ImportError::Different(seq)),
            };
        }
        self.payloads.push(payload);
        if self.payloads.len() == STEP {
            self.append(passed)?;
        }
        Ok(())
    }

    fn append(&mut self, passed: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        self.journal.append(&self.payloads)?;
        self.payloads.clear();
        passed(self.journal.head().seq);
        Ok(())
    }

    fn end(mut self, passed: &mut dyn FnMut(u64)) -> Result<(), ImportError> {
        self.append(passed)
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
