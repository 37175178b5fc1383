//! What can go wrong on the host side of a virtual-machine test.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use thiserror::Error;

/// A failure of the harness itself, as opposed to a check that failed in the guest.
#[derive(Debug, Error)]
pub enum VmError {
    /// A file operation was refused.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as in "reading".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("starting `{program}` to {purpose}: {source}; `make setup` installs what is missing")]
    Spawn {
        /// The program's name.
        program: String,
        /// What it was wanted for.
        purpose: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}`, run to {purpose}, ended with {status} and said: {said}")]
    Command {
        /// The command line.
        command: String,
        /// What it was wanted for.
        purpose: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        said: String,
    },
    /// The machine's apt configuration names no Debian mirror.
    #[error(
        "no Debian mirror among the apt sources read ({read}); on a machine that is not Debian, \
         copy another machine's kernel cache (SYVA_CACHE names the place)"
    )]
    NoMirror {
        /// The files that were read.
        read: String,
    },
    /// Neither the mirror nor the cache has the kernel.
    #[error(
        "kernel {kernel}: the mirror has none ({why}) and the cache {} holds none; \
         try again with the mirror reachable, or copy the cache from a machine that has it",
        cache.display()
    )]
    NoKernel {
        /// The kernel's short name.
        kernel: &'static str,
        /// What the mirror's lists or the download said.
        why: String,
        /// The cache folder that was looked into.
        cache: PathBuf,
    },
    /// A fetched package did not have the expected contents.
    #[error("kernel {kernel} {version}: {what}; the package layout may have changed")]
    Layout {
        /// The kernel's short name.
        kernel: &'static str,
        /// The package version.
        version: String,
        /// What was missing.
        what: String,
    },
    /// A guest's root could not be built, and the cache has none.
    #[error(
        "the guests' Debian root is not in the cache ({}) and could not be built: {why}; \
         `make setup` installs what building it needs, and apt's mirror must be reachable",
        cache.display()
    )]
    NoRoot {
        /// Where it would be.
        cache: PathBuf,
        /// What failed.
        why: Box<VmError>,
    },
    /// No run of suite `attack` has left its results.
    #[error(
        "no results of suite attack in {}; run it first (`make vm-test KERNEL=all SUITE=attack`)",
        dir.display()
    )]
    NoLogs {
        /// Where they would be.
        dir: PathBuf,
    },
    /// A binary to pack is not built.
    #[error("no binary {}; build the workspace first (`make build`)", path.display())]
    NoBinary {
        /// Where it should be.
        path: PathBuf,
    },
    /// No place for the cache is known.
    #[error("none of SYVA_CACHE, XDG_CACHE_HOME and HOME is set: set SYVA_CACHE to a folder")]
    NoCache,
    /// A command-line name that is in no table.
    #[error("no {kind} named {name:?}; there are: {known}")]
    Unknown {
        /// "suite" or "kernel".
        kind: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
}

impl VmError {
    /// Turns an [`io::Error`] into one that says what was tried on which path.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
