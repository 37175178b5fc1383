//! What has no safe wrapper: executable mappings, leases, file handles.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

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

/// Maps the file to read it, and then makes the mapping executable.
pub fn map_then_execute(file: impl AsFd) -> io::Result<()> {
    let executable = ProtFlags::PROT_READ | ProtFlags::PROT_EXEC;
    // SAFETY: as in `map`.
    unsafe {
        let at = mmap(
            None,
            LENGTH,
            ProtFlags::PROT_READ,
            MapFlags::MAP_PRIVATE,
            file,
            0,
        )?;
        let changed = mprotect(at, LENGTH.get(), executable);
        munmap(at, LENGTH.get())?;
        Ok(changed?)
    }
}

/// What name_to_handle_at(2) calls a file: `handle_type`, then the handle, without `handle_bytes`.
pub fn handle_of(path: &Path) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut handle = Handle {
        bytes: MAX_HANDLE as u32,
        ..Handle::default()
    };
    let mut mount = 0;
    // SAFETY: the structure has room for as many bytes as it says.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut bytes = handle.kind.to_le_bytes().to_vec();
    bytes.extend(&handle.data[..handle.bytes as usize]);
    Ok(bytes)
}

/// Opens what has that handle, in the file system that `mount` lies on.
pub fn open_by_handle(mount: &Path, handle: &Path) -> io::Result<File> {
    let bytes = super::mutating::bytes(handle)?;
    let mut handle = Handle::default();
    let (kind, data) = bytes
        .split_first_chunk()
        .filter(|(_, data)| data.len() <= MAX_HANDLE)
        .ok_or_else(|| io::Error::other("not a handle"))?;
    handle.kind = i32::from_le_bytes(*kind);
    handle.bytes = data.len() as u32;
    handle.data[..data.len()].copy_from_slice(data);
    let mount = File::open(mount)?;
    // SAFETY: the structure holds as many bytes as it says.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw const handle,
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
}

const MAX_HANDLE: usize = 128;

/// `struct file_handle`.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; MAX_HANDLE],
}

impl Default for Handle {
    fn default() -> Handle {
        Handle {
            bytes: 0,
            kind: 0,
            data: [0; MAX_HANDLE],
        }
    }
}
