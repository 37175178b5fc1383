//! What was found at paths when a command was taken: facts that the fold relies on, so that it never looks.

use serde::{Deserialize, Serialize};

use crate::host_socket::SocketKey;
use crate::image::{ObjectKey, Scope};

/// A path and what it was found to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimFacts {
    /// The path as it was asked for.
    pub asked: String,
    /// The same path free of symlinks, which is what is resolved again later.
    pub path: String,
    /// The object that was found there, as the kernel names it.
    pub object: ObjectKey,
    /// Its inode generation.
    pub generation: u64,
    /// How far the claim reaches.
    pub scope: Scope,
    /// The directories that the path leads through. Entries of before they were recorded have none.
    #[serde(default)]
    pub above: Vec<Above>,
}

/// A directory above what is claimed: renamed, something else would be found at the claim's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Above {
    /// The directory, as the kernel names it.
    pub object: ObjectKey,
    /// Its inode generation.
    pub generation: u64,
}

/// A host socket's path, or its abstract name, and what the kernel knows it by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketFacts {
    /// The path or name (`@NAME`) as it was asked for.
    pub asked: String,
    /// The same, its directory free of symlinks.
    pub path: String,
    /// The socket that is or will be there.
    pub socket: SocketKey,
}

/// What became of a claimed path when it was looked up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reresolved {
    /// The claim's path.
    pub path: String,
    /// The object found there now and its generation, or nothing: the claim is lost until the path
    /// is there again.
    pub found: Option<(ObjectKey, u64)>,
    /// The directories that the path leads through now.
    #[serde(default)]
    pub above: Vec<Above>,
}

/// A file of a claim that has, or had, a name outside it: it is the claim's by that as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkFacts {
    /// The claim's path.
    pub claim: String,
    /// The file, as the kernel names it.
    pub object: ObjectKey,
    /// Its inode generation.
    pub generation: u64,
    /// The name it was given first (the path's last component, as far as the kernel keeps it).
    pub name: String,
}

/// A claimed path that leads to nothing that can be claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unresolved {
    /// The claim's path.
    pub path: String,
    /// What is the matter with it, for people.
    pub because: String,
}

/// What became of a given host socket's path when it was looked up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketReresolved {
    /// The socket's path.
    pub path: String,
    /// What a socket there is known by now, or nothing: what was given is lost until the path can be
    /// looked up again.
    pub found: Option<SocketKey>,
}
