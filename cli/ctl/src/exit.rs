//! How a command ends: every failure, and the one place that gives each its exit code.

use std::error::Error as _;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use syva_journal::JournalError;
use syva_journal::export::ExportError;
use syva_journal::import::ImportError;
use syva_journal::journal::prune::PruneError;
use syva_rpc::client::ConnectError;
use tonic::{Code, Status};

use crate::commands::journal::replay::Mismatch;
use crate::commands::journal::verify::{Unsound, first_bad};

/// The exit codes. 2, usage, is clap's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing was to be done.
    Done = 0,
    /// The daemon understood and said no: nothing changed.
    Refused = 1,
    /// The daemon cannot be reached, or was lost.
    Unreachable = 3,
    /// The daemon failed, or what it said cannot be right or could not be shown.
    Failed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The reply says `ok=false`, and this is its reason.
    #[error("{0}")]
    Refused(String),
    /// A path that the protocol cannot carry.
    #[error(
        "the path {0:?} is not UTF-8: the protocol carries paths as UTF-8 text, so it cannot be \
         named; rename it, or claim a directory above it with all that is below"
    )]
    NotUtf8(OsString),
    /// The cgroup that is meant cannot be found.
    #[error("{0}")]
    Cgroup(String),
    /// Nobody answers.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The call failed.
    #[error("{}", Said(.0))]
    Rpc(Box<Status>),
    /// A stream that should go on has ended.
    #[error("the daemon ended the stream of events: it was stopped, or is restarting")]
    StreamEnded,
    /// Entries that cannot be read.
    #[error("{0} of the entries are missing, do not decode or do not match their hash")]
    Unreadable(u64),
    /// The journal and the state do not belong together.
    #[error(transparent)]
    Replay(#[from] Mismatch),
    /// The journal is not what it should be.
    #[error(transparent)]
    Unsound(Box<Unsound>),
    /// A directory's journal cannot be read.
    #[error("{}", of_directory(.0))]
    Journal(Box<JournalError>),
    /// The file does not become the export of a journal.
    #[error("cannot export to {}: {source}", file.display())]
    Export {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: Box<ExportError>,
    },
    /// Nothing was imported.
    #[error("cannot import {}: {source}", file.display())]
    Import {
        /// The file.
        file: PathBuf,
        /// Why.
        source: Box<ImportError>,
    },
    /// A stopped daemon's journal was not changed.
    #[error("cannot {doing}: {}", of_changing(source))]
    Offline {
        /// What was to be done to it.
        doing: &'static str,
        /// Why it was not.
        source: Box<PruneError>,
    },
    /// What `doctor` found prevents enforcement.
    #[error("this host cannot enforce, because of: {problems}")]
    Unfit {
        /// The names of the findings.
        problems: String,
        /// All findings.
        data: serde_json::Value,
    },
    /// The daemon answers neither at its socket nor within the time it was given.
    #[error("the daemon at {socket:?} did not answer within {patience:?}")]
    Silent {
        /// Its socket.
        socket: PathBuf,
        /// The time.
        patience: Duration,
    },
    /// The daemon does not answer, and the kernel has nothing of it.
    #[error("{daemon}; and nothing of Syvä is in the kernel: nothing is enforced")]
    NothingEnforces {
        /// Why the daemon does not answer.
        daemon: Box<Failure>,
    },
    /// The daemon does not answer, and the kernel cannot be asked.
    #[error("{daemon}; and asking the kernel itself failed: {said}")]
    KernelUnknown {
        /// Why the daemon does not answer.
        daemon: Box<Failure>,
        /// What came of asking the kernel.
        said: String,
    },
    /// The answer could not be printed.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
    /// The client could not be started.
    #[error("cannot start the client: {0}")]
    Runtime(io::Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        Failure::Rpc(Box::new(status))
    }
}

impl From<Unsound> for Failure {
    fn from(unsound: Unsound) -> Failure {
        Failure::Unsound(Box::new(unsound))
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Failure {
        Failure::Journal(Box::new(error))
    }
}

impl From<PruneError> for Failure {
    fn from(error: PruneError) -> Failure {
        Failure::Offline {
            doing: "prune",
            source: Box::new(error),
        }
    }
}

impl Failure {
    /// What JSON says of it beside the reason.
    pub fn data(&self) -> serde_json::Value {
        match self {
            Failure::Replay(mismatch) => mismatch.data(),
            Failure::Unsound(unsound) => Some(unsound.data()),
            Failure::Journal(error) => {
                first_bad(error).map(|seq| serde_json::json!({ "first_bad": seq }))
            }
            Failure::Unfit { data, .. } => Some(data.clone()),
            Failure::NothingEnforces { .. } => {
                Some(serde_json::json!({ "source": "kernel", "attached": false }))
            }
            _ => None,
        }
        .unwrap_or_else(|| serde_json::json!({}))
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Refused(_)
            | Failure::NotUtf8(_)
            | Failure::Unfit { .. }
            | Failure::Cgroup(_) => Exit::Refused,
            Failure::Connect(_)
            | Failure::StreamEnded
            | Failure::Silent { .. }
            | Failure::NothingEnforces { .. } => Exit::Unreachable,
            Failure::Rpc(status) => of_status(status),
            // The reader has gone (`| head`): it has seen what it wanted.
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Failure::Journal(error) => of_journal(error),
            Failure::Export { source, .. } => of_export(source),
            Failure::Import { source, .. } => match &**source {
                ImportError::NotEmpty { .. }
                | ImportError::NotWhole(_)
                | ImportError::Gap { .. }
                | ImportError::Different(_) => Exit::Refused,
                ImportError::Export(error) => of_export(error),
                ImportError::Journal(error) => of_journal(error),
            },
            Failure::Offline { source, .. } => match &**source {
                PruneError::Nothing { .. } | PruneError::Beyond { .. } => Exit::Refused,
                PruneError::Journal(error) => of_journal(error),
                PruneError::Fold(_) | PruneError::Encoding(_) => Exit::Failed,
            },
            Failure::Unreadable(_)
            | Failure::Unsound(_)
            | Failure::Replay(_)
            | Failure::KernelUnknown { .. }
            | Failure::Output(_)
            | Failure::Runtime(_) => Exit::Failed,
        }
    }
}

/// What the caller can name otherwise, or wait for, is refused; what is damaged has failed.
fn of_journal(error: &JournalError) -> Exit {
    match error {
        JournalError::Locked { .. }
        | JournalError::NoJournal { .. }
        | JournalError::Foreign { .. } => Exit::Refused,
        JournalError::Io { source, .. } | JournalError::NotWritable { source, .. } => {
            of_file(source)
        }
        _ => Exit::Failed,
    }
}

fn of_export(error: &ExportError) -> Exit {
    match error {
        ExportError::Io(source) => of_file(source),
        ExportError::NotAnExport => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn of_file(error: &io::Error) -> Exit {
    match error.kind() {
        // The reader of `export -` has gone.
        io::ErrorKind::BrokenPipe => Exit::Done,
        io::ErrorKind::NotFound
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::ReadOnlyFilesystem => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn of_changing(error: &PruneError) -> String {
    match error {
        PruneError::Journal(JournalError::Locked { .. }) => {
            format!("{error}; a journal is changed so while its daemon is stopped")
        }
        other => other.to_string(),
    }
}

/// A daemon's journal is asked for, not taken: the journal's own words are those for a second daemon.
fn of_directory(error: &JournalError) -> String {
    match error {
        JournalError::Locked { dir, holder } => {
            let who =
                holder.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            format!(
                "{who} has the journal in {} open: leave out --path to ask the running daemon, or stop it \
                 first",
                dir.display()
            )
        }
        other => other.to_string(),
    }
}

fn of_status(status: &Status) -> Exit {
    if is_lost(status) {
        return Exit::Unreachable;
    }
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::PermissionDenied
        | Code::Unauthenticated => Exit::Refused,
        Code::Unavailable => Exit::Unreachable,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => Exit::Failed,
    }
}

/// Whether the connection broke: a status made by the transport has a source, one that a daemon sent
/// never has.
fn is_lost(status: &Status) -> bool {
    status.source().is_some()
}

struct Said<'a>(&'a Status);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said(status) = self;
        let message = match status.message() {
            "" => status.code().description(),
            message => message,
        };
        match of_status(status) {
            Exit::Unreachable if is_lost(status) => write!(f, "lost the daemon: {message}"),
            Exit::Failed => write!(f, "the daemon failed ({:?}): {message}", status.code()),
            _ => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_code_has_its_exit_code() {
        // By number, so that the table is the contract's and not the code's own.
        let exits = [4, 4, 4, 1, 4, 1, 1, 1, 1, 1, 4, 4, 4, 4, 3, 4, 1];
        for (code, exit) in exits.into_iter().enumerate() {
            let code = Code::from(i32::try_from(code).expect("small"));
            let failure = Failure::from(Status::new(code, "m"));
            assert_eq!(failure.exit() as u8, exit, "{code:?}");
        }
    }

    #[test]
    fn a_broken_connection_is_unreachable_whatever_its_code() {
        let broken = Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        let failure = Failure::from(broken);
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.to_string().starts_with("lost the daemon"));
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        let of = |kind| Failure::Output(io::Error::from(kind)).exit();
        assert_eq!(of(io::ErrorKind::BrokenPipe), Exit::Done);
        assert_eq!(of(io::ErrorKind::StorageFull), Exit::Failed);
    }

    #[test]
    fn a_message_says_who_failed() {
        for (status, said) in [
            (Status::not_found("no zone web"), "no zone web"),
            (
                Status::internal("map full"),
                "the daemon failed (Internal): map full",
            ),
            (
                Status::unavailable(""),
                "The service is currently unavailable",
            ),
        ] {
            assert_eq!(Failure::from(status).to_string(), said);
        }
    }
}
