//! Unix sockets that another listens on or receives at.

use std::io;
use std::path::{Path, PathBuf};

use nix::libc;

use super::aim::Aim;
use super::technique::{Technique, zone, zone_and_host};
use super::unix;
use crate::guest::sockets;

pub const ALL: &[Technique] = &[
    zone_and_host("connect(2) of a stream, by path", |it, _| {
        unix::connects(libc::SOCK_STREAM, &it.path("stream.sock"))
    }),
    zone_and_host("connect(2) of a stream, by abstract name", |it, _| {
        unix::connects(libc::SOCK_STREAM, &it.socket("stream"))
    }),
    zone_and_host("connect(2) of packets, by path", |it, _| {
        unix::connects(libc::SOCK_SEQPACKET, &it.path("seqpacket.sock"))
    }),
    zone_and_host("connect(2) of packets, by abstract name", |it, _| {
        unix::connects(libc::SOCK_SEQPACKET, &it.socket("seqpacket"))
    }),
    zone_and_host("sendto(2) of a datagram, by path", |it, _| {
        sockets::send(&it.path("datagram.sock"))
    }),
    zone_and_host("sendto(2) of a datagram, by abstract name", |it, _| {
        sockets::send(&it.socket("datagram"))
    }),
    zone_and_host("connect(2) of datagrams, and send(2), by path", |it, _| {
        sockets::connect_to_send(&it.path("datagram.sock"))
    }),
    zone_and_host(
        "connect(2) of datagrams, and send(2), by abstract name",
        |it, _| sockets::connect_to_send(&it.socket("datagram")),
    ),
    zone_and_host(
        "connect(2) through a symbolic link of one's own",
        |it, own| {
            let link = link(own, &it.path("stream.sock"))?;
            unix::connects(libc::SOCK_STREAM, &link)
        },
    ),
    zone("connect(2) through /proc/PID/root", |it, _| {
        let inside = it.path("stream.sock");
        let inside = inside.strip_prefix("/").map_err(io::Error::other)?;
        unix::connects(libc::SOCK_STREAM, &it.proc("root").join(inside))
    }),
    zone(
        "connect(2) from a socket that was made in another network namespace",
        |it, _| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            unix::connects(libc::SOCK_STREAM, &it.path("stream.sock"))
        },
    ),
    zone_and_host("a descriptor in a datagram", |it, _| {
        unix::send_descriptor(&it.path("datagram.sock"))
    }),
];

fn link(own: &Aim, to: &Path) -> io::Result<PathBuf> {
    let link = own.path("new");
    std::os::unix::fs::symlink(to, &link)?;
    Ok(link)
}
