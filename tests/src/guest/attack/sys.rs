//! System calls by number: what an attacker uses has no library, and some of it must be said wrongly.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc::{self, c_long};

/// An argument. What the kernel reads or writes is borrowed for as long as the call takes.
#[derive(Debug)]
pub enum Arg<'a> {
    /// A number, or a descriptor.
    Number(i64),
    /// A path, or another text that ends with a zero.
    Text(&'a CStr),
    /// A structure that the kernel reads.
    In(&'a [u8]),
    /// Room that the kernel fills, no more of it than another argument says.
    Out(&'a mut [u8]),
}

impl From<i32> for Arg<'_> {
    fn from(number: i32) -> Self {
        Arg::Number(number.into())
    }
}

impl From<i64> for Arg<'_> {
    fn from(number: i64) -> Self {
        Arg::Number(number)
    }
}

impl From<u32> for Arg<'_> {
    fn from(number: u32) -> Self {
        Arg::Number(number.into())
    }
}

impl From<usize> for Arg<'_> {
    fn from(number: usize) -> Self {
        Arg::Number(number as i64)
    }
}

impl<'a> From<&'a CStr> for Arg<'a> {
    fn from(text: &'a CStr) -> Self {
        Arg::Text(text)
    }
}

impl<'a> From<&'a CString> for Arg<'a> {
    fn from(text: &'a CString) -> Self {
        Arg::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Arg::In(bytes)
    }
}

impl<'a> From<&'a mut [u8]> for Arg<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Arg::Out(bytes)
    }
}

/// Above a call's number: the kernel looks at 32 bits of it (6.1, not 5.10).
pub const ABOVE: c_long = 1 << 32;

/// Calls the kernel.
pub fn call<const N: usize>(number: c_long, args: [Arg<'_>; N]) -> io::Result<i64> {
    let mut words = [0_i64; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = match arg {
            Arg::Number(number) => number,
            Arg::Text(text) => text.as_ptr() as i64,
            Arg::In(bytes) => bytes.as_ptr() as i64,
            Arg::Out(bytes) => bytes.as_mut_ptr() as i64,
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: pointers are to what the arguments borrow until the call is over; that the kernel stays
    // within it is for the caller to see to, with the length that this call takes.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

/// The same of a call that makes a descriptor.
pub fn descriptor<const N: usize>(number: c_long, args: [Arg<'_>; N]) -> io::Result<OwnedFd> {
    owned(call(number, args)?)
}

/// What a call has just made.
pub fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a path with flags.
pub fn open(path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let path = text(path)?;
    let flags = flags | libc::O_CLOEXEC;
    descriptor(
        libc::SYS_openat,
        [
            libc::AT_FDCWD.into(),
            (&path).into(),
            flags.into(),
            0o600.into(),
        ],
    )
}

/// A path as the kernel takes it.
pub fn text(path: impl AsRef<Path>) -> io::Result<CString> {
    Ok(CString::new(path.as_ref().as_os_str().as_bytes())?)
}

/// A structure of 64-bit words.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// A structure of 32-bit words.
pub fn halves(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// An address of what is borrowed, for a structure that holds one.
pub fn address(bytes: &[u8]) -> u64 {
    bytes.as_ptr() as u64
}

/// A descriptor as an argument.
pub fn fd(descriptor: &impl AsRawFd) -> Arg<'static> {
    descriptor.as_raw_fd().into()
}

/// Refused as the engine refuses: for an attack that found that it had no effect.
pub fn without_effect() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// A child that goes on where this process is, after fork(2); zero in the child.
pub fn fork() -> io::Result<i32> {
    // SAFETY: this program has one thread when it attacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Ends this process, at once.
pub fn exit(status: i32) -> ! {
    // SAFETY: nothing of this process is needed any more.
    unsafe { libc::_exit(status) }
}

/// How a child ended: its exit status, or that a signal killed it.
pub fn wait(pid: i32) -> io::Result<()> {
    use nix::sys::wait::{WaitStatus, waitpid};
    match waitpid(nix::unistd::Pid::from_raw(pid), None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        WaitStatus::Exited(_, status) => Err(io::Error::from_raw_os_error(status)),
        _ => Err(without_effect()),
    }
}

/// Runs a part of an attack in a child, and says how it went.
pub fn in_child(act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    match fork()? {
        0 => {
            let status = act()
                .err()
                .map_or(0, |error| error.raw_os_error().unwrap_or(libc::EPROTO));
            exit(status)
        }
        pid => wait(pid),
    }
}
