//! What has no safe wrapper: executable mappings, and leases.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Not an assumption: a length is rounded up to pages.
const LENGTH: NonZeroUsize = NonZeroUsize::MIN;

/// Maps the file to read and, if `executable`, to execute it, and unmaps it again.
pub fn map(file: impl AsFd, executable: bool) -> io::Result<()> {
    let mut protection = ProtFlags::PROT_READ;
    protection.set(ProtFlags::PROT_EXEC, executable);
    // SAFETY: the kernel chooses the address; nothing refers to the mapping but the call below.
    unsafe {
        let at = mmap(None, LENGTH, protection, MapFlags::MAP_PRIVATE, file, 0)?;
        munmap(at, LENGTH.get())?;
    }
    Ok(())
}

/// Asks for the file to be mapped where nothing can be, to execute it: the hooks are asked, and then
/// the kernel sees that it cannot be.
pub fn map_nowhere(file: impl AsFd) -> io::Result<()> {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED;
    // SAFETY: 1 is not the address of a page, so no mapping is replaced.
    match unsafe { mmap(Some(NonZeroUsize::MIN), LENGTH, protection, flags, file, 0) } {
        Err(Errno::EINVAL) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(_) => Err(io::Error::other("something was mapped at address 1")),
    }
}

/// Maps anonymous memory to execute it, which has no file, and unmaps it again.
pub fn map_anonymous() -> io::Result<()> {
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    // SAFETY: as in `map`.
    unsafe {
        let at = mmap_anonymous(None, LENGTH, protection, MapFlags::MAP_PRIVATE)?;
        munmap(at, LENGTH.get())?;
    }
    Ok(())
}

/// A write lease on a file: whoever opens it waits, having been allowed to, until this is dropped.
#[derive(Debug)]
pub struct Lease(File);

impl Lease {
    /// Takes it; nobody may have the file open.
    pub fn take(path: &Path) -> io::Result<Lease> {
        let file = File::open(path)?;
        fcntl(&file, libc::F_SETLEASE, libc::F_WRLCK)?;
        // Nobody: a SIGIO to this process would end it.
        fcntl(&file, libc::F_SETOWN, 0)?;
        Ok(Lease(file))
    }

    /// Whether somebody waits: the lease then is on its way to a read lease.
    pub fn is_waited_for(&self) -> io::Result<bool> {
        Ok(fcntl(&self.0, libc::F_GETLEASE, 0)? != libc::F_WRLCK)
    }
}

fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> io::Result<libc::c_int> {
    // SAFETY: the descriptor is open, and these commands take an integer, or nothing.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}
