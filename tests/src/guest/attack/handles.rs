//! What is opened by its handle: with no path, and no descriptor that hooks are asked about; namespaces by handles that are
//! guessed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::libc;

use super::narrow::{self, Low};
use super::sys::{self, call};

/// `PROC_DYNAMIC_FIRST`: of namespaces that are not there from the beginning.
const FIRST_INODE: u32 = 0xf000_0000;

/// A capability that is refused on the way makes a handle as good as one of nothing. That there is something to
/// be found the host has shown.
pub const REFUSALS: &[i32] = &[libc::EPERM, libc::EACCES, libc::ESTALE];

/// Opens a namespace of mounts that is not the own by its number: since 6.18 namespaces have handles, with
/// the number first, the kind and the inode's number after it.
pub fn namespace(open: fn(&File, &[u8]) -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let own = File::open("/proc/self/ns/mnt")?;
    let (mut handle, mut mount) = (sys::halves(&[16, 0, 0, 0, 0, 0]), sys::halves(&[0]));
    let named = [
        sys::fd(&own),
        c"".into(),
        handle.as_mut_slice().into(),
        mount.as_mut_slice().into(),
        libc::AT_EMPTY_PATH.into(),
    ];
    call(libc::SYS_name_to_handle_at, named)?;
    let own_number = handle.get(8..16).map(<[u8]>::to_vec);
    let mut refused = io::Error::from_raw_os_error(libc::ESTALE);
    // Both are given out one after the other.
    let numbers = (1..200_u64).map(u64::to_ne_bytes);
    let all = numbers.flat_map(|number| {
        let inodes = (FIRST_INODE..FIRST_INODE + 64).map(u32::to_ne_bytes);
        inodes.map(move |inode| (number, inode))
    });
    for (number, inode) in all.filter(|(number, _)| own_number.as_deref() != Some(&number[..])) {
        let number = number.into_iter().zip(8..);
        for (byte, at) in number.chain(inode.into_iter().zip(20..)) {
            handle[at] = byte;
        }
        match open(&own, &handle) {
            Ok(namespace) => return Ok(namespace),
            Err(error) if error.raw_os_error() == Some(libc::ESTALE) => {}
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// With O_PATH, by a handle as name_to_handle_at(2) tells it: its type, then the rest.
pub fn path(mount: &File, handle: &[u8]) -> io::Result<OwnedFd> {
    let (kind, rest) = handle.split_at(4);
    let length = (rest.len() as u32).to_ne_bytes();
    let whole = [&length[..], kind, rest].concat();
    let opened = [sys::fd(mount), whole.as_slice().into(), libc::O_PATH.into()];
    sys::descriptor(libc::SYS_open_by_handle_at, opened)
}

/// With open_by_handle_at(2).
pub fn plainly(own: &File, handle: &[u8]) -> io::Result<OwnedFd> {
    let opened = [sys::fd(own), handle.into(), 0.into()];
    sys::descriptor(libc::SYS_open_by_handle_at, opened)
}

/// With O_PATH, of which file_open is not asked; and what that is of, opened again.
pub fn reopened(own: &File, handle: &[u8]) -> io::Result<OwnedFd> {
    let opened = [sys::fd(own), handle.into(), libc::O_PATH.into()];
    let path = sys::descriptor(libc::SYS_open_by_handle_at, opened)?;
    Ok(File::open(format!("/proc/self/fd/{}", path.as_raw_fd()))?.into())
}

/// The same by a number with more above it.
pub fn above(own: &File, handle: &[u8]) -> io::Result<OwnedFd> {
    let opened = [sys::fd(own), handle.into(), 0.into()];
    sys::descriptor(sys::ABOVE | libc::SYS_open_by_handle_at, opened)
}

/// The same by `int $0x80`.
pub fn narrowly(own: &File, handle: &[u8]) -> io::Result<OwnedFd> {
    const OPEN_BY_HANDLE_AT: u32 = 342;
    let handle = Low::holding(handle)?;
    let own = own.as_raw_fd() as u32;
    let opened = narrow::call(OPEN_BY_HANDLE_AT, [own, handle.address(), 0, 0, 0])?;
    sys::owned(opened.into())
}
