//! Why the journal refuses: what was tried, on what, what was found there, what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::carve::Carved;
use crate::record::{Fault, Head};
use crate::store::StoreError;

/// An error of the journal's. Unless a variant says otherwise nothing was changed, and nothing of the
/// journal may be folded (I10).
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory cannot be made or written.
    #[error(
        "cannot open the journal in {dir}: it is not writable: {source}; give the daemon a directory of its own that it may write",
        dir = dir.display()
    )]
    NotWritable {
        /// The journal's directory.
        dir: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another process has the journal open.
    #[error(
        "cannot open the journal in {dir}: {who} has it open; two daemons cannot share a node: stop that one first",
        dir = dir.display(),
        who = holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
        /// The process that has it, as far as it can be known, in the pid namespace it runs in.
        holder: Option<u32>,
    },
    /// There is a store, and nothing says that it is a journal.
    #[error(
        "cannot open the journal in {dir}: it holds {found} and no head anchor: it is another program's, or the anchor was removed; give the daemon a directory of its own, or, if it is Syvä's, accept the loss of the anchor",
        dir = dir.display()
    )]
    Foreign {
        /// The journal's directory.
        dir: PathBuf,
        /// What was found there.
        found: String,
    },
    /// There is nothing to read.
    #[error(
        "there is no journal in {dir}: {found}; name the state directory of a daemon, or a copy of it",
        dir = dir.display()
    )]
    NoJournal {
        /// The directory.
        dir: PathBuf,
        /// What was found there.
        found: String,
    },
    /// The head anchor cannot be read: how long the journal must be is not known.
    #[error(
        "cannot trust the journal in {dir}: both slots of its head anchor are damaged, so that nothing says how long it must be; restore the directory from a copy, or inspect the journal and accept the loss",
        dir = dir.display()
    )]
    AnchorDamaged {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// A newer version wrote the head anchor.
    #[error(
        "the head anchor {path} has format {format}, this version reads up to {max}: use the version that wrote it",
        path = path.display(),
        max = crate::anchor::FORMAT
    )]
    AnchorNewer {
        /// The anchor's file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// What stands for pruned entries is not what was written.
    #[error(
        "the journal begins with entry {first}, and {path}, which stands for the entries before it, cannot be taken: {fault}; restore that file from a copy of the directory, or import the export that was written when they were pruned",
        path = path.display()
    )]
    BadHorizon {
        /// The file.
        path: PathBuf,
        /// The first entry that the store holds.
        first: u64,
        /// What is wrong with it.
        fault: crate::horizon::Fault,
    },
    /// The entry was pruned.
    #[error(
        "entry {seq} was pruned: the journal begins with entry {first}; the export that was written then has it"
    )]
    Pruned {
        /// The entry.
        seq: u64,
        /// The first entry there is.
        first: u64,
    },
    /// The store cannot be opened or read.
    #[error(
        "the journal's store in {dir} cannot be read: {source}; {what}",
        dir = dir.display(),
        what = if source.is_full() {
            "make room on its file system"
        } else {
            "restore the directory from a copy, or accept the loss"
        }
    )]
    StoreUnreadable {
        /// The journal's directory.
        dir: PathBuf,
        /// What happened.
        source: StoreError,
    },
    /// The store cannot be opened or read, and its file was searched without it.
    #[error(
        "the journal's store in {dir} cannot be read: {source}; {found}; restore the directory from a copy, or accept the loss",
        dir = dir.display()
    )]
    StoreBroken {
        /// The journal's directory.
        dir: PathBuf,
        /// What happened.
        source: StoreError,
        /// What the file holds.
        found: Carved,
    },
    /// The store ends before what was acknowledged.
    #[error(
        "the journal in {dir} is shorter than what was acknowledged: it ends at {found}, {anchored} was acknowledged; restore the directory from a copy, or accept the loss",
        dir = dir.display()
    )]
    Short {
        /// The journal's directory.
        dir: PathBuf,
        /// What was acknowledged.
        anchored: Head,
        /// Where the store ends.
        found: Head,
    },
    /// The store holds something else than what was acknowledged.
    #[error(
        "the journal in {dir} is not the one that was acknowledged: it holds {found} where {anchored} was acknowledged; restore the directory from a copy, or accept the loss",
        dir = dir.display()
    )]
    Different {
        /// The journal's directory.
        dir: PathBuf,
        /// What was acknowledged.
        anchored: Head,
        /// What stands at that number.
        found: Head,
    },
    /// An entry is bad that may not be cut.
    #[error("entry {seq} of the journal in {dir} cannot be folded: {fault}", dir = dir.display())]
    BadEntry {
        /// The journal's directory.
        dir: PathBuf,
        /// The first bad entry's number.
        seq: u64,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// A batch was refused before anything was written: an entry does not continue the journal.
    #[error("entry {seq} cannot be appended: {fault}; build it from the journal's head")]
    NotNext {
        /// The number it would have had.
        seq: u64,
        /// What is wrong with it.
        #[source]
        fault: Fault,
    },
    /// The journal's file system is nearly full, and nothing was written: sled that runs out of space
    /// can only be opened again, and needs space for that.
    #[error(
        "the journal in {dir} takes no entries while its file system has less than {reserve} KiB free beyond them; make room there, and the next command is taken",
        dir = dir.display(),
        reserve = crate::journal::RESERVE / 1024
    )]
    NoRoom {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// A batch was not made durable. The journal takes no more until it is reopened; what the
    /// recovery then reports as the head says whether the batch is in it.
    #[error(
        "entries {first} to {last} were not made durable: {source}; the journal must be reopened before anything else is appended"
    )]
    NotDurable {
        /// The batch's first entry.
        first: u64,
        /// The batch's last entry.
        last: u64,
        /// What happened.
        source: StoreError,
    },
    /// A batch before this one was not made durable, and the journal was not reopened since.
    #[error("the journal takes no entries until it is reopened: {cause}")]
    Poisoned {
        /// What happened then.
        cause: String,
    },
    /// The journal was refused when it was opened, and is held for nobody else to write to.
    #[error(
        "the journal was refused, and is neither read nor written: {cause}; `syva-cli journal verify --path DIR` looks at it"
    )]
    Refused {
        /// Why.
        cause: String,
    },
    /// The journal is closed, or its reopening failed: there is nothing to read from.
    #[error("the journal is closed: reopen it")]
    Closed,
    /// A file operation failed.
    #[error("{doing} ({path}): {source}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl JournalError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> JournalError {
        JournalError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether there is a journal, and it is not to be trusted: damaged, shorter than what was
    /// acknowledged, or of a version that this one does not know. It will be no better the next time.
    pub fn is_refusal(&self) -> bool {
        match self {
            JournalError::AnchorDamaged { .. }
            | JournalError::AnchorNewer { .. }
            | JournalError::BadHorizon { .. }
            | JournalError::Short { .. }
            | JournalError::Different { .. }
            | JournalError::BadEntry { .. } => true,
            JournalError::StoreUnreadable { source, .. }
            | JournalError::StoreBroken { source, .. } => !source.is_full(),
            _ => false,
        }
    }

    /// Whether there was no space left: space can be made and the journal reopened.
    pub fn is_full(&self) -> bool {
        match self {
            JournalError::NotDurable { source, .. }
            | JournalError::StoreUnreadable { source, .. }
            | JournalError::StoreBroken { source, .. } => source.is_full(),
            JournalError::Io { source, .. } | JournalError::NotWritable { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            JournalError::NoRoom { .. } => true,
            _ => false,
        }
    }
}
