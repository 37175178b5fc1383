//! Does one thing from inside a cgroup, in a process of its own, and reports the kernel's answer.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Failure;

/// The kernel's answer to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// It was refused with this error number.
    Refused(i32),
    /// The actor itself did not work: why.
    Broken(String),
}

/// Exit statuses above every error number.
const CANNOT_JOIN: i32 = 240;
const NOT_AN_ACTION: i32 = 241;

/// Makes a cgroup (with those above it) and returns its folder.
pub fn make_cgroup(name: &str) -> Result<PathBuf, Failure> {
    let dir = Path::new("/sys/fs/cgroup").join(name);
    fs::create_dir_all(&dir)
        .map_err(|error| format!("making cgroup {}: {error}", dir.display()))?;
    Ok(dir)
}

/// Runs this program again, inside `cgroup`, to do `action` with `args`: open, write, create,
/// unlink, mkdir, rmdir, rename, link, exec.
pub fn act(cgroup: &Path, action: &str, args: &[&Path]) -> Outcome {
    let mut command = Command::new("/proc/self/exe");
    let status = command
        .arg("act")
        .arg(cgroup)
        .arg(action)
        .args(args)
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => Outcome::Done,
        Ok(Some(CANNOT_JOIN)) => Outcome::Broken(format!("cannot join {}", cgroup.display())),
        Ok(Some(NOT_AN_ACTION)) => Outcome::Broken(format!("no action {action} {args:?}")),
        Ok(Some(code)) => Outcome::Refused(code),
        Ok(None) => Outcome::Broken(String::from("killed by a signal")),
        Err(error) => Outcome::Broken(format!("cannot start: {error}")),
    }
}

/// What [`act`] runs: joins the cgroup, acts, and returns the exit status.
pub fn perform(cgroup: &Path, action: &str, args: &[PathBuf]) -> i32 {
    if let Err(error) = fs::write(cgroup.join("cgroup.procs"), "0") {
        eprintln!("act: joining {}: {error}", cgroup.display());
        return CANNOT_JOIN;
    }
    let result = match (action, args) {
        ("open", [path]) => File::open(path).map(drop),
        ("write", [path]) => OpenOptions::new().write(true).open(path).map(drop),
        ("create", [path]) => File::create_new(path).map(drop),
        ("unlink", [path]) => fs::remove_file(path),
        ("mkdir", [path]) => fs::create_dir(path),
        ("rmdir", [path]) => fs::remove_dir(path),
        ("rename", [from, to]) => fs::rename(from, to),
        ("link", [from, to]) => fs::hard_link(from, to),
        ("exec", [path, rest @ ..]) => Command::new(path).args(rest).status().map(drop),
        _ => return NOT_AN_ACTION,
    };
    result.map_or_else(exit_status, |()| 0)
}

fn exit_status(error: io::Error) -> i32 {
    // An error without a number would otherwise look like success.
    error
        .raw_os_error()
        .filter(|number| *number != 0)
        .unwrap_or(NOT_AN_ACTION)
}
