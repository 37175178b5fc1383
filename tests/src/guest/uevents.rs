//! Events of devices by netlink, in the caller's network namespace.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    socket,
};

/// Whom an event seems to come from: whose group it is sent to in the end.
#[derive(Debug, Clone, Copy)]
pub enum From {
    Kernel,
    Udev,
}

/// Of a device that there is not, so that nobody does anything.
const EVENT: &[u8] =
    b"change@/devices/syva-test\0ACTION=change\0DEVPATH=/devices/syva-test\0SUBSYSTEM=syva-test\0";

/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// Sends one, and sees that it has come to those who listen.
pub fn forge(from: From) -> io::Result<()> {
    let (listener, sender) = (open()?, open()?);
    let group = match from {
        From::Kernel => 1,
        From::Udev => 2,
    };
    bind(listener.as_raw_fd(), &NetlinkAddr::new(0, group))?;
    let (to, message) = match from {
        // It sends on what it is sent itself.
        From::Kernel => (0, request()),
        From::Udev => (group, EVENT.to_vec()),
    };
    let to = NetlinkAddr::new(0, to);
    sendto(sender.as_raw_fd(), &message, &to, MsgFlags::empty())?;
    let mut room = [0; 512];
    match recv(listener.as_raw_fd(), &mut room, MsgFlags::MSG_DONTWAIT) {
        Ok(length) if room[..length].windows(9).any(|part| part == b"syva-test") => Ok(()),
        Ok(_) => Err(io::Error::other("another event came")),
        Err(Errno::EAGAIN) => Err(io::Error::other("it did not come")),
        Err(errno) => Err(errno.into()),
    }
}

fn open() -> io::Result<OwnedFd> {
    Ok(socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkKObjectUEvent,
    )?)
}

/// The event as a request to the kernel.
fn request() -> Vec<u8> {
    const LEAST_TYPE: u16 = 0x10;
    const REQUEST: u16 = 1;
    let mut message = Vec::with_capacity(HEADER + EVENT.len());
    message.extend(((HEADER + EVENT.len()) as u32).to_ne_bytes());
    message.extend(LEAST_TYPE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(EVENT);
    message
}
