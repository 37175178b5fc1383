//! Unix sockets of every kind, by path or by abstract name (`@NAME`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind, connect,
    listen, sendmsg, socket,
};

/// A socket of that kind that others reach: it listens, if that is needed.
pub fn bound(kind: i32, path: &Path) -> io::Result<OwnedFd> {
    let socket = made(kind)?;
    bind(socket.as_raw_fd(), &address(path)?)?;
    if kind != libc::SOCK_DGRAM {
        listen(&socket, Backlog::MAXALLOWABLE)?;
    }
    Ok(socket)
}

/// Connects a socket of that kind.
pub fn connects(kind: i32, path: &Path) -> io::Result<()> {
    let socket = made(kind)?;
    Ok(connect(socket.as_raw_fd(), &address(path)?)?)
}

/// Sends a datagram that carries a descriptor, without a connection.
pub fn send_descriptor(path: &Path) -> io::Result<()> {
    let socket = made(libc::SOCK_DGRAM)?;
    let number = [socket.as_raw_fd()];
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(b"hello")],
        &[ControlMessage::ScmRights(&number)],
        MsgFlags::empty(),
        Some(&address(path)?),
    )?;
    Ok(())
}

fn made(kind: i32) -> io::Result<OwnedFd> {
    let kind = SockType::try_from(kind)?;
    Ok(socket(
        AddressFamily::Unix,
        kind,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

fn address(path: &Path) -> io::Result<UnixAddr> {
    Ok(match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => UnixAddr::new_abstract(name)?,
        None => UnixAddr::new(path)?,
    })
}
