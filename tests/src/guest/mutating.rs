//! What actors change in a file system, and the less usual ways they open a file.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps,
    XattrFlags,
};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg, sendmsg_addr,
};

use super::{raw, uring};

/// An attribute that every file system of the tests has.
const ATTRIBUTE: &str = "trusted.syva";
/// Where an access control list is set and read.
const ACL: &str = "system.posix_acl_access";
/// Version 2; then tag, permissions and id of the owner, user 1000, the group, the mask, the others.
const ENTRIES: [(u16, u16, u32); 5] = [
    (0x01, 6, u32::MAX),
    (0x02, 4, 1000),
    (0x04, 4, u32::MAX),
    (0x10, 4, u32::MAX),
    (0x20, 4, u32::MAX),
];

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("fifo", [path]) => make_fifo(path),
        ("symlink", [path]) => std::os::unix::fs::symlink("nowhere", path),
        ("bind", [path]) => super::sockets::listen(path).map(drop),
        ("exchange", [one, other]) => {
            rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
                .map_err(io::Error::from)
        }
        ("watch", [path]) => watch(path),
        ("truncate", [path]) => nix::unistd::truncate(path, 1).map_err(io::Error::from),
        ("chmod", [path]) => fs::set_permissions(path, fs::Permissions::from_mode(0o711)),
        ("chown", [path]) => std::os::unix::fs::chown(path, Some(1), Some(1)),
        ("times", [path]) => set_times(path),
        ("set-attribute", [path]) => set(path, ATTRIBUTE, b"changed"),
        ("remove-attribute", [path]) => remove(path, ATTRIBUTE),
        ("set-acl", [path]) => set(path, ACL, &access_control_list()),
        ("remove-acl", [path]) => remove(path, ACL),
        ("truncate-open", []) => nix::unistd::ftruncate(io::stdin(), 1).map_err(io::Error::from),
        ("chmod-open", []) => {
            rustix::fs::fchmod(io::stdin(), Mode::from_raw_mode(0o711)).map_err(io::Error::from)
        }
        ("map-then-execute", []) => raw::map_then_execute(io::stdin()),
        ("receive-descriptor", []) => receive_descriptor(io::stdin()).map(drop),
        ("reopen", []) => File::open("/proc/self/fd/0").map(drop),
        ("open-path-first", [path]) => open_path_first(path),
        ("open-how", [path]) => open_how(path),
        ("open-from-inside", [folder, name]) => open_from_inside(folder, name),
        ("open-without-name", [folder]) => without_name(folder).map(drop),
        ("name-later", [folder, path]) => name_later(folder, path),
        ("open-by-ring", [path]) => uring::open(path, false),
        ("open-by-ring-worker", [path]) => uring::open(path, true),
        ("open-by-handle", [mount, handle]) => raw::open_by_handle(mount, handle).map(drop),
        _ => return None,
    };
    Some(result)
}

/// Asks to be told when it is opened.
fn watch(path: &Path) -> io::Result<()> {
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    let watcher = init(CreateFlags::CLOEXEC)?;
    add_watch(&watcher, path, WatchFlags::OPEN)?;
    Ok(())
}

fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mknodat(
        CWD,
        path,
        FileType::Fifo,
        Mode::RUSR,
        0,
    )?)
}

fn set_times(path: &Path) -> io::Result<()> {
    let time = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?)
}

fn set(path: &Path, attribute: &str, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(
        path,
        attribute,
        value,
        XattrFlags::empty(),
    )?)
}

fn remove(path: &Path, attribute: &str) -> io::Result<()> {
    Ok(rustix::fs::removexattr(path, attribute)?)
}

fn access_control_list() -> Vec<u8> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in ENTRIES {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// A descriptor that opens nothing, and then the file through it.
fn open_path_first(path: &Path) -> io::Result<()> {
    let reference = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_PATH)
        .open(path)?;
    File::open(format!("/proc/self/fd/{}", reference.as_raw_fd())).map(drop)
}

fn open_how(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve).map(drop)?)
}

/// By a relative path, and the same through /proc.
fn open_from_inside(folder: &Path, name: &Path) -> io::Result<()> {
    std::env::set_current_dir(folder)?;
    File::open(name).map(drop)
}

fn without_name(folder: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_TMPFILE)
        .open(folder)
}

/// Makes a file without a name in a folder, and gives it its first name, perhaps elsewhere.
fn name_later(folder: &Path, path: &Path) -> io::Result<()> {
    let file = without_name(folder)?;
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(
        CWD,
        link,
        CWD,
        path,
        AtFlags::SYMLINK_FOLLOW,
    )?)
}

/// A socket, as a file to be an actor's standard input, in which that descriptor waits.
pub fn handed_over(descriptor: impl AsFd) -> io::Result<File> {
    let (ours, theirs) = UnixStream::pair()?;
    hand_over(&ours, descriptor, None)?;
    Ok(File::from(OwnedFd::from(theirs)))
}

/// Sends a descriptor: along the socket's connection, or to that address.
pub fn hand_over(
    socket: impl AsFd,
    descriptor: impl AsFd,
    to: Option<&SocketAddrUnix>,
) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let message = [IoSlice::new(b"take it")];
    match to {
        Some(to) => sendmsg_addr(&socket, to, &message, &mut ancillary, SendFlags::empty())?,
        None => sendmsg(&socket, &message, &mut ancillary, SendFlags::empty())?,
    };
    Ok(())
}

/// Receives a descriptor. That it was withheld is told by its absence alone.
pub fn receive_descriptor(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut bytes = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    rustix::net::recvmsg(&socket, &mut buffers, &mut ancillary, RecvFlags::empty())?;
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    received.ok_or_else(|| io::Error::from_raw_os_error(nix::libc::EPERM))
}

/// A handle as an argument: hexadecimal digits.
pub fn digits(bytes: &[u8]) -> PathBuf {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    PathBuf::from(digits)
}

/// The bytes that [`digits`] wrote.
pub fn bytes(digits: &Path) -> io::Result<Vec<u8>> {
    let text: &OsStr = digits.as_os_str();
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).map_err(io::Error::other)?;
            u8::from_str_radix(pair, 16).map_err(io::Error::other)
        })
        .collect()
}
