//! Units of the guest's systemd: made from text, asked about, and what they log.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::daemon::{eventually_asking_every, put};
use crate::guest::Failure;

/// Where units are made: gone with the guest, and before those of packages.
const UNITS: &str = "/run/systemd/system";

/// As [`crate::daemon::eventually`], with pauses: to ask systemd takes an emulated processor so long that
/// whoever asks all the time waits for himself.
///
/// # Errors
/// What was waited for, if it does not come; the condition's own.
pub fn eventually(what: &str, holds: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    eventually_asking_every(Duration::from_millis(500), what, holds)
}

/// Runs systemctl(1).
///
/// # Errors
/// It cannot be run; what it answered is the caller's to judge.
pub fn systemctl(args: &[&str]) -> Result<Output, Failure> {
    Ok(Command::new("systemctl").args(args).output()?)
}

/// Runs systemctl(1), which must succeed.
///
/// # Errors
/// What it said, if it did not.
pub fn must(args: &[&str]) -> Result<(), Failure> {
    let output = systemctl(args)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("systemctl {}: {}: {said}", args.join(" "), output.status).into())
}

/// Makes a unit.
///
/// # Errors
/// The system's.
pub fn make(name: &str, text: &str) -> Result<(), Failure> {
    put(&Path::new(UNITS).join(name), text)?;
    must(&["daemon-reload"])
}

/// Adds to a unit; the same name replaces what it added before.
///
/// # Errors
/// The system's.
pub fn drop_in(unit: &str, name: &str, text: &str) -> Result<(), Failure> {
    let file = format!("{unit}.d/{name}.conf");
    put(&Path::new(UNITS).join(file), text)?;
    must(&["daemon-reload"])
}

/// Takes away all that was added to a unit.
///
/// # Errors
/// The system's.
pub fn plain(unit: &str) -> Result<(), Failure> {
    let dir = Path::new(UNITS).join(format!("{unit}.d"));
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    must(&["daemon-reload"])
}

/// A property of a unit, as `systemctl show` says it.
///
/// # Errors
/// The system's.
pub fn property(unit: &str, name: &str) -> Result<String, Failure> {
    let output = systemctl(&["show", "--value", "--property", name, unit])?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether a unit is active.
///
/// # Errors
/// The system's.
pub fn is_active(unit: &str) -> Result<bool, Failure> {
    Ok(property(unit, "ActiveState")? == "active")
}

/// The main process of a unit.
///
/// # Errors
/// The system's; there is none.
pub fn main_pid(unit: &str) -> Result<u32, Failure> {
    match property(unit, "MainPID")?.parse() {
        Ok(0) | Err(_) => Err(format!("{unit} has no main process").into()),
        Ok(pid) => Ok(pid),
    }
}

/// The folder of a unit's cgroup.
///
/// # Errors
/// The system's; the unit has none.
pub fn cgroup(unit: &str) -> Result<PathBuf, Failure> {
    let path = property(unit, "ControlGroup")?;
    if path.is_empty() {
        return Err(format!("{unit} has no cgroup").into());
    }
    Ok(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}

/// What a unit, and systemd of it, has logged in this boot.
///
/// # Errors
/// The system's.
pub fn log(unit: &str) -> Result<String, Failure> {
    let mut command = Command::new("journalctl");
    command.args(["--boot", "--no-pager", "--output", "cat", "--unit", unit]);
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
