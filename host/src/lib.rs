//! Can this machine enforce anything? One list of findings, which the daemon asks at start (the first
//! problem is its refusal) and `syva-cli doctor` shows whole (I10). Everything here only reads.
//!
//! A module a subject: [`kernel`] and what it was built and booted with, [`privileges`] of the process,
//! [`mounts`]: cgroups, bpffs, file systems.

mod kernel;
mod mounts;
mod privileges;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be, or only good to know.
    Ok,
    /// Enforcement is possible, with a limit one should know.
    Warning,
    /// Nothing can be enforced.
    Problem,
    /// It could not be found out.
    Unknown,
}

impl State {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
            State::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at; scripts know it by this name.
    pub name: &'static str,
    /// How it is to be taken.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty if there is nothing to do.
    pub advice: String,
}

impl Finding {
    /// Nothing to do.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Finding {
        Finding::new(name, State::Ok, found, "")
    }

    /// Enforcement is possible, but.
    pub fn warning(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(name, State::Warning, found, advice)
    }

    /// It prevents enforcement.
    pub fn problem(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(name, State::Problem, found, advice)
    }

    /// It could not be found out.
    pub fn unknown(
        name: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(name, State::Unknown, found, advice)
    }

    fn new(
        name: &'static str,
        state: State,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding {
            name,
            state,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

/// A machine. Its root is a parameter so that tests can make one up.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    cgroup_root: PathBuf,
}

impl Host {
    /// This machine as this process sees it, with its cgroups at that path.
    pub fn of_this_process(cgroup_root: &Path) -> Host {
        Host::below(Path::new("/"), cgroup_root)
    }

    /// A machine whose `/proc`, `/sys` and `/boot` lie below `root`.
    pub fn below(root: &Path, cgroup_root: &Path) -> Host {
        Host {
            root: root.to_owned(),
            cgroup_root: cgroup_root.to_owned(),
        }
    }

    /// The kernel's release (`uname -r`).
    ///
    /// # Errors
    /// The system's.
    pub fn release(&self) -> io::Result<String> {
        Ok(self.read("proc/sys/kernel/osrelease")?.trim().to_owned())
    }

    /// Everything, the likeliest cause of a refusal first.
    pub fn examine(&self) -> Vec<Finding> {
        vec![
            kernel::version(self),
            privileges::capabilities(self),
            kernel::btf(self),
            kernel::bpf_lsm(self),
            kernel::lockdown(self),
            mounts::cgroups(self),
            privileges::memory_lock(self),
            mounts::bpffs(self),
            mounts::file_systems(self),
            kernel::other_modules(self),
            kernel::io_uring(self),
            kernel::boot(self),
        ]
    }

    /// The first of the findings that prevents enforcement.
    ///
    /// # Errors
    /// That finding.
    pub fn check(&self) -> Result<(), Finding> {
        let problem = |finding: &Finding| finding.state == State::Problem;
        self.examine().into_iter().find(problem).map_or(Ok(()), Err)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Mount points may be any bytes: one that is no text is none of those looked for.
    fn read(&self, path: &str) -> io::Result<String> {
        let bytes = fs::read(self.path(path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn cgroup_root(&self) -> String {
        self.cgroup_root.to_string_lossy().into_owned()
    }
}

/// A finding of something that enforcement depends on and that cannot be read: nothing is guessed (I10).
fn unreadable(name: &'static str, path: &str, error: &io::Error, advice: &str) -> Finding {
    Finding::problem(name, format!("reading /{path} said: {error}"), advice)
}

#[cfg(test)]
mod tests;
