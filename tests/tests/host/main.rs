//! The real `syva-core` and `syva-cli` on this machine, over the in-memory backend: no privileges, no
//! BPF. A directory tree stands for the cgroups, with inode numbers for ids.

#![allow(clippy::expect_used, clippy::panic)]

mod capacity;
mod crash;
mod cycles;
mod happy;
mod home;
mod host_sockets;
mod journal;
mod logs;
mod notify;
mod prune;
mod refusals;
mod restart;
mod serving;
mod start;
