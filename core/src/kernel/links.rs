//! Files that were given names outside the claims they lay in.

use super::KernelError;
use crate::image::ObjectKey;

/// A file that is its claim's by all its names, since the host gave it one outside the claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Linked {
    /// The file.
    pub object: ObjectKey,
    /// Its inode generation.
    pub generation: u64,
    /// What is claimed.
    pub claim: ObjectKey,
    /// The claimed object's inode generation.
    pub claim_generation: u64,
    /// The name it was given (the path's last component, cut at 63 bytes, lossy UTF-8), for people.
    pub name: String,
}

/// The map of such files. The kernel adds to it and takes from it; what it lost with the machine's memory,
/// the daemon puts back.
pub trait LinkStore: Send + Sync {
    /// Whether it was restored since it was made.
    ///
    /// # Errors
    /// The kernel side's.
    fn is_restored(&self) -> Result<bool, KernelError>;

    /// What it holds.
    ///
    /// # Errors
    /// The kernel side's.
    fn held(&self) -> Result<Vec<Linked>, KernelError>;

    /// Adds these, but for files of which it holds something. It counts as restored from then on.
    ///
    /// # Errors
    /// The kernel side's; the rows before the one that failed are there.
    fn restore(&self, linked: &[Linked]) -> Result<(), KernelError>;

    /// Removes what it holds of these files, if it is of that generation and claim.
    ///
    /// # Errors
    /// The kernel side's.
    fn forget(&self, linked: &[Linked]) -> Result<(), KernelError>;
}
