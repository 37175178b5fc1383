//! What an actor does with ptrace's rights.

use std::fs;
use std::io::{self, IoSliceMut, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::Failure;

/// Attaches to a process, which goes on: when this one ends, the kernel lets go of it.
pub fn attach(pid: &Path) -> io::Result<()> {
    Ok(ptrace::seize(number(pid)?, ptrace::Options::empty())?)
}

/// Reads a byte of a process' memory with process_vm_readv(2).
pub fn read_memory(pid: &Path, address: &Path) -> io::Result<()> {
    let text = address.to_string_lossy();
    let base = usize::from_str_radix(&text, 16).map_err(io::Error::other)?;
    let remote = [RemoteIoVec { base, len: 1 }];
    process_vm_readv(number(pid)?, &mut [IoSliceMut::new(&mut [0])], &remote)?;
    Ok(())
}

/// An address that can be read in a process, for [`read_memory`].
pub fn readable_address(pid: &Path) -> Result<PathBuf, Failure> {
    let maps = fs::read_to_string(Path::new("/proc").join(pid).join("maps"))?;
    let first = maps.split('-').next().filter(|text| !text.is_empty());
    Ok(first.ok_or("the process maps nothing")?.into())
}

/// Takes a process' standard input with pidfd_getfd(2).
pub fn take_descriptor(pid: &Path) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(number(pid)?.as_raw());
    let process = pidfd_open(pid.ok_or(io::ErrorKind::NotFound)?, PidfdFlags::empty())?;
    pidfd_getfd(process, 0, PidfdGetfdFlags::empty())?;
    Ok(())
}

/// From outside all zones: starts a child that joins the cgroup `child`, joins `own`, and has the
/// child ask to be traced. Ends as the child does.
pub fn be_asked(own: &Path, child: &Path) -> io::Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg("act")
        .arg(child)
        .arg("ask")
        .stdin(Stdio::piped())
        .spawn()?;
    fs::write(own.join("cgroup.procs"), "0")?;
    drop(child.stdin.take());
    match child.wait()?.code() {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code)),
        None => Err(io::Error::other("the child was killed")),
    }
}

/// The child of [`be_asked`]: waits for its parent to be where it shall be.
pub fn ask() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(ptrace::traceme()?)
}

fn number(pid: &Path) -> io::Result<Pid> {
    let number = pid.to_string_lossy().parse().map_err(io::Error::other)?;
    Ok(Pid::from_raw(number))
}
