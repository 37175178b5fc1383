//! What a command's caller is told: done, or at which of the arrows it stopped.

use syva_model::admit::Refusal;
use syva_model::fold::Reply;
use syva_model::kernel::KernelError;

use crate::address::Gone;

/// A command that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the caller is told.
    pub reply: Reply,
    /// Its entry; none if it asked for what was so already.
    pub seq: Option<u64>,
}

/// A command that is not, and how far it came (I1).
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// It was refused; nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it names could not be looked up; nothing has changed.
    #[error("nothing has changed: {0}")]
    Lookup(KernelError),
    /// It could not be journaled; nothing has changed.
    #[error("the command was not journaled and nothing has changed: {0}")]
    NotJournaled(String),
    /// It is in the journal, but the kernel does not hold it yet.
    #[error("entry {seq} is journaled but not enforced: {said}; the reconciler keeps trying")]
    NotEnforced {
        /// The entry.
        seq: u64,
        /// What the kernel side said.
        said: String,
    },
    /// Whoever had it in hand was restarted: the journal tells whether it was taken.
    #[error(
        "{0} before it answered: `syva-cli journal inspect` shows whether the command was taken"
    )]
    Interrupted(#[from] Gone),
    /// Too many commands are waiting already.
    #[error("the engine has {0} commands in hand already: try again")]
    Busy(usize),
}
