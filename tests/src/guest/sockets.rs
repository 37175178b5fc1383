//! Unix sockets as actors use them: by path, or by abstract name (`@NAME`).

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, socket, socketpair,
};

use super::actor::wait;
use super::mutating;

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("connect", [path]) => connect(path),
        ("listen", [path]) => listen(path).map(|_socket| wait()),
        ("receive", [path]) => receive(path).map(|_socket| wait()),
        ("send", [path]) => send(path),
        ("connect-to-send", [path]) => connect_to_send(path),
        ("send-to-self", []) => send_to_self(),
        ("listen-seqpacket", [path]) => listen_in_sequence(path).map(|_socket| wait()),
        ("connect-seqpacket", [path]) => connect_in_sequence(path),
        ("receive-autobound", [report]) => receive_by_any_name(report).map(|_socket| wait()),
        ("send-descriptor", [path]) => send_descriptor(path),
        ("hand-out-end", []) => hand_out_end().map(|_kept| wait()),
        ("send-by-end", []) => send_by_end(),
        _ => return None,
    };
    Some(result)
}

fn abstract_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(b"@")
}

fn address(path: &Path) -> io::Result<SocketAddr> {
    match abstract_name(path) {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

/// Whether a socket is bound there that can be reached: one to connect to must listen too, which comes a
/// little after its path is there.
pub fn is_bound(path: &Path) -> bool {
    fs::read_to_string("/proc/net/unix")
        .is_ok_and(|sockets| sockets.lines().any(|socket| reachable(socket, path)))
}

/// Of a line of `/proc/net/unix`: Num, RefCount, Protocol, Flags, Type, St, Inode, Path.
fn reachable(socket: &str, path: &Path) -> bool {
    const DATAGRAM: &str = "0002";
    const LISTENS: &str = "00010000";
    let columns: Vec<&str> = socket.split_ascii_whitespace().collect();
    match columns[..] {
        [_, _, _, flags, kind, _, _, name] => {
            Path::new(name) == path && (kind == DATAGRAM || flags == LISTENS)
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

/// The address as rustix has it.
fn unix_address(path: &Path) -> io::Result<SocketAddrUnix> {
    Ok(match abstract_name(path) {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(path)?,
    })
}

fn in_sequence() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?)
}

fn listen_in_sequence(path: &Path) -> io::Result<OwnedFd> {
    let socket = in_sequence()?;
    rustix::net::bind(&socket, &unix_address(path)?)?;
    rustix::net::listen(&socket, 8)?;
    Ok(socket)
}

fn connect_in_sequence(path: &Path) -> io::Result<()> {
    Ok(rustix::net::connect(in_sequence()?, &unix_address(path)?)?)
}

/// Receives datagrams by a name that the kernel chooses, which is abstract; writes it down.
fn receive_by_any_name(report: &Path) -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_unnamed())?;
    let address = SocketAddrUnix::try_from(rustix::net::getsockname(&socket)?)?;
    let name = address.abstract_name().unwrap_or_default();
    fs::write(report, [b"@", name].concat())?;
    Ok(socket)
}

/// Sends a datagram with a descriptor in it.
fn send_descriptor(path: &Path) -> io::Result<()> {
    let to = unix_address(path)?;
    mutating::hand_over(UnixDatagram::unbound()?, io::stdin(), Some(&to))
}

/// Makes a pair for datagrams, and hands one end to whoever is behind standard input.
fn hand_out_end() -> io::Result<OwnedFd> {
    let (unix, flags) = (AddressFamily::UNIX, SocketFlags::empty());
    let (kept, given) = socketpair(unix, SocketType::DGRAM, flags, None)?;
    mutating::hand_over(io::stdin(), given, None)?;
    Ok(kept)
}

/// Takes such an end, and sends a datagram by it.
fn send_by_end() -> io::Result<()> {
    let end = mutating::receive_descriptor(io::stdin())?;
    rustix::net::send(end, b"hello", SendFlags::empty())?;
    Ok(())
}
