//! Signals that a file sends: to whom `F_SETOWN` says, whoever does something to the file.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::libc::{self, c_int, c_ulong};

/// Not in the library for this target.
const F_SETSIG: c_int = 10;
const F_SETOWN_EX: c_int = 15;
const F_OWNER_PID: c_int = 1;
const FIOSETOWN: c_ulong = 0x8901;

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("file-signals", [way, pid, signal]) => file_signals(way, pid, signal),
        ("arm", [fifo, pid, signal]) => arm(fifo, pid, signal),
        ("write-fifo", [fifo]) => write_fifo(fifo),
        _ => return None,
    };
    Some(result)
}

fn number(text: &Path) -> io::Result<c_int> {
    let text = text.to_str().unwrap_or_default();
    text.parse().map_err(io::Error::other)
}

fn fcntl(fd: RawFd, command: c_int, argument: c_int) -> io::Result<()> {
    // SAFETY: these commands take an integer.
    checked(unsafe { libc::fcntl(fd, command, argument) })
}

fn checked(answer: c_int) -> io::Result<()> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Chooses the process and the signal for a pipe's end or a socket, by one of three calls, and brings the
/// signal about. Whether it was sent, nobody tells.
fn file_signals(way: &Path, pid: &Path, signal: &Path) -> io::Result<()> {
    let (pid, signal) = (number(pid)?, number(signal)?);
    let (mut reader, mut writer) = UnixStream::pair()?;
    let fd = reader.as_raw_fd();
    match way.to_str() {
        Some("F_SETOWN") => fcntl(fd, libc::F_SETOWN, pid)?,
        Some("F_SETOWN_EX") => {
            let owner = [F_OWNER_PID, pid]; // struct f_owner_ex
            // SAFETY: the structure outlives the call.
            checked(unsafe { libc::fcntl(fd, F_SETOWN_EX, owner.as_ptr()) })?;
        }
        _ => {
            // SAFETY: the number outlives the call.
            checked(unsafe { libc::ioctl(fd, FIOSETOWN, &raw const pid) })?;
        }
    }
    asynchronous(fd, signal)?;
    writer.write_all(b"!")?;
    reader.read_exact(&mut [0])?;
    // The end of the other end is not to be another signal.
    fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK)
}

fn asynchronous(fd: RawFd, signal: c_int) -> io::Result<()> {
    fcntl(fd, F_SETSIG, signal)?;
    fcntl(fd, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)
}

/// The same for a pipe with a name, which it keeps open; `pid` 0 is itself. Says so by making a file.
fn arm(fifo: &Path, pid: &Path, signal: &Path) -> io::Result<()> {
    let pipe = open(fifo)?;
    let pid = match number(pid)? {
        0 => std::process::id() as c_int,
        pid => pid,
    };
    fcntl(pipe.as_raw_fd(), libc::F_SETOWN, pid)?;
    asynchronous(pipe.as_raw_fd(), number(signal)?)?;
    File::create(fifo.with_extension("armed"))?;
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn write_fifo(fifo: &Path) -> io::Result<()> {
    open(fifo)?.write_all(b"!")
}

/// For both ways: it then waits for nobody at the other end.
fn open(fifo: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(fifo)
}
