//! Before anything is trusted, three facts are learned twice: from the programs and from system calls.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::fs::{MemfdFlags, fstat, major, memfd_create, minor};
use syva_model::kernel::SelfTest;

use crate::iter::Probe;

/// Runs all three.
pub(crate) fn run(probe: &Probe, cgroup_root: &Path) -> Vec<SelfTest> {
    vec![
        SelfTest {
            name: "cgroup",
            outcome: cgroup(probe, cgroup_root),
        },
        SelfTest {
            name: "inode",
            outcome: inode(probe),
        },
        SelfTest {
            name: "unix",
            outcome: unix(probe, cgroup_root),
        },
    ]
}

/// The task's cgroup id, and the inode number of its directory.
fn cgroup(probe: &Probe, cgroup_root: &Path) -> Result<(), String> {
    let file = file()?;
    let facts = probe.facts(file.as_fd()).map_err(|e| e.to_string())?;
    let directory = own_cgroup(cgroup_root)?;
    agree("this process' cgroup id", facts.task_cgroup, directory)
}

/// A file's inode and device, and what stat(2) says. A memory file: no file system is needed.
fn inode(probe: &Probe) -> Result<(), String> {
    let file = file()?;
    let facts = probe.facts(file.as_fd()).map_err(|e| e.to_string())?;
    let stat = fstat(&file).map_err(|e| format!("fstat: {e}"))?;
    agree("a file's inode number", facts.key.ino, stat.st_ino)?;
    let device = u64::from(major(stat.st_dev) << 20 | minor(stat.st_dev));
    agree("its device", u64::from(facts.key.dev), device)
}

/// The cgroup of a socket that this process made, and its own.
fn unix(probe: &Probe, cgroup_root: &Path) -> Result<(), String> {
    let (socket, _peer) = UnixStream::pair().map_err(|e| format!("socketpair: {e}"))?;
    let facts = probe.facts(socket.as_fd()).map_err(|e| e.to_string())?;
    let directory = own_cgroup(cgroup_root)?;
    agree("a socket's cgroup id", facts.socket_cgroup, directory)
}

fn file() -> Result<std::os::fd::OwnedFd, String> {
    memfd_create("syva-selftest", MemfdFlags::CLOEXEC).map_err(|e| format!("memfd_create: {e}"))
}

/// This process' cgroup directory is its line of hierarchy 0 in /proc/self/cgroup; the inode number is
/// the cgroup's id.
fn own_cgroup(cgroup_root: &Path) -> Result<u64, String> {
    let text = fs::read_to_string("/proc/self/cgroup")
        .map_err(|e| format!("reading /proc/self/cgroup: {e}"))?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or("there is no cgroup v2 line in /proc/self/cgroup")?;
    let directory = cgroup_root.join(path);
    let metadata =
        fs::metadata(&directory).map_err(|e| format!("stat {}: {e}", directory.display()))?;
    Ok(metadata.ino())
}

fn agree(what: &str, programs: u64, system: u64) -> Result<(), String> {
    if programs == system {
        Ok(())
    } else {
        Err(format!(
            "{what} is {programs} to the programs and {system} to system calls"
        ))
    }
}
