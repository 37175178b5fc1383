//! Unix sockets as actors use them: by path, or by abstract name (`@NAME`).

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, bind,
    connect as connect_to, listen as listen_on, sendmsg, socket,
};

fn abstract_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(b"@")
}

fn address(path: &Path) -> io::Result<SocketAddr> {
    match abstract_name(path) {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

/// A socket of that kind that others reach: it listens, if that is needed.
pub fn bound(kind: i32, path: &Path) -> io::Result<OwnedFd> {
    let socket = made(kind)?;
    bind(socket.as_raw_fd(), &unix(path)?)?;
    if kind != libc::SOCK_DGRAM {
        listen_on(&socket, Backlog::MAXALLOWABLE)?;
    }
    Ok(socket)
}

/// Connects a socket of that kind.
pub fn connects(kind: i32, path: &Path) -> io::Result<()> {
    let socket = made(kind)?;
    Ok(connect_to(socket.as_raw_fd(), &unix(path)?)?)
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
        Some(&unix(path)?),
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

fn unix(path: &Path) -> io::Result<UnixAddr> {
    Ok(match abstract_name(path) {
        Some(name) => UnixAddr::new_abstract(name)?,
        None => UnixAddr::new(path)?,
    })
}

/// Whether a socket is bound there that can be reached: a stream must listen too, which comes a little
/// after its path is there.
pub fn is_bound(path: &Path) -> bool {
    fs::read_to_string("/proc/net/unix")
        .is_ok_and(|sockets| sockets.lines().any(|socket| reachable(socket, path)))
}

/// Of a line of `/proc/net/unix`: Num, RefCount, Protocol, Flags, Type, St, Inode, Path.
fn reachable(socket: &str, path: &Path) -> bool {
    const STREAM: &str = "0001";
    const LISTENS: &str = "00010000";
    let columns: Vec<&str> = socket.split_ascii_whitespace().collect();
    match columns[..] {
        [_, _, _, flags, kind, _, _, name] => {
            Path::new(name) == path && (kind != STREAM || flags == LISTENS)
        }
        _ => false,
    }
}

/// Connects a stream socket.
pub fn connect(path: &Path) -> io::Result<()> {
    UnixStream::connect_addr(&address(path)?).map(drop)
}

/// Listens with a stream socket.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&address(path)?)
}

/// Receives datagrams.
pub fn receive(path: &Path) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&address(path)?)
}

/// Sends a datagram, without a connection.
pub fn send(path: &Path) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(b"hello", &address(path)?).map(drop)
}

/// Connects a socket for datagrams, and sends one along the connection.
pub fn connect_to_send(path: &Path) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(path)?)?;
    socket.send(b"hello").map(drop)
}

/// Sends both ways between the ends of a socketpair(2), neither of which has a name.
pub fn send_to_self() -> io::Result<()> {
    let (one, other) = UnixDatagram::pair()?;
    one.send(b"hello")?;
    other.send(b"hello").map(drop)
}
