//! Processes: ending them, tracing them, reading them, changing how they run.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::thread;
use std::time::Duration;

use nix::libc::{self, c_long};

use super::aim::{Aim, SECRET};
use super::calls::after_the_hooks;
use super::narrow::{self, Low};
use super::sys::{self, Arg, call, halves, words};
use super::technique::{Technique, zone_and_host};

pub const ALL: &[Technique] = &[
    zone_and_host("kill(2)", |it, _| {
        call(libc::SYS_kill, [it.pid.into(), libc::SIGKILL.into()]).map(drop)
    }),
    zone_and_host("kill(2) of its group", |it, _| {
        call(libc::SYS_kill, [(-it.pid).into(), libc::SIGKILL.into()]).map(drop)
    }),
    zone_and_host("kill(2) that only asks", |it, _| {
        call(libc::SYS_kill, [it.pid.into(), 0.into()]).map(drop)
    }),
    zone_and_host("tkill(2)", |it, _| {
        call(libc::SYS_tkill, [it.pid.into(), libc::SIGKILL.into()]).map(drop)
    }),
    zone_and_host("tgkill(2)", |it, _| {
        let signal = libc::SIGKILL.into();
        call(libc::SYS_tgkill, [it.pid.into(), it.pid.into(), signal]).map(drop)
    }),
    zone_and_host("rt_sigqueueinfo(2)", |it, _| {
        let info = queued();
        let signal = libc::SIGTERM.into();
        call(
            libc::SYS_rt_sigqueueinfo,
            [it.pid.into(), signal, info.as_slice().into()],
        )
        .map(drop)
    }),
    zone_and_host("rt_tgsigqueueinfo(2)", |it, _| {
        let info = queued();
        let signal = libc::SIGTERM.into();
        call(
            libc::SYS_rt_tgsigqueueinfo,
            [it.pid.into(), it.pid.into(), signal, info.as_slice().into()],
        )
        .map(drop)
    }),
    zone_and_host("pidfd_send_signal(2)", |it, _| {
        let process = pidfd(it)?;
        call(
            libc::SYS_pidfd_send_signal,
            [sys::fd(&process), libc::SIGKILL.into(), 0.into(), 0.into()],
        )
        .map(drop)
    }),
    zone_and_host("a signal by F_SETOWN and O_ASYNC", |it, _| {
        owned_by(&[(libc::F_SETOWN, it.pid)])?;
        died(it)
    }),
    zone_and_host("a signal of one's choice by F_SETSIG", |it, _| {
        owned_by(&[(libc::F_SETOWN, it.pid), (F_SETSIG, libc::SIGKILL)])?;
        died(it)
    }),
    zone_and_host("ptrace(2), PTRACE_SEIZE", |it, _| {
        const SEIZE: i32 = 0x4206;
        ptrace(SEIZE, it)
    }),
    zone_and_host("ptrace(2), PTRACE_ATTACH", |it, _| {
        const ATTACH: i32 = 16;
        ptrace(ATTACH, it)
    }),
    zone_and_host("process_vm_readv(2)", |it, _| {
        let mut room = SECRET.to_vec();
        room.fill(0);
        moves(libc::SYS_process_vm_readv, it, &mut room)?;
        if room == SECRET {
            return Ok(());
        }
        Err(sys::without_effect())
    }),
    zone_and_host("process_vm_writev(2)", |it, _| {
        moves(libc::SYS_process_vm_writev, it, &mut SECRET.to_vec())
    }),
    zone_and_host("reading /proc/PID/mem", |it, _| {
        let mut room = SECRET.to_vec();
        room.fill(0);
        File::open(it.proc("mem"))?.read_exact_at(&mut room, it.address as u64)?;
        if room == SECRET {
            return Ok(());
        }
        Err(sys::without_effect())
    }),
    zone_and_host("writing /proc/PID/mem", |it, _| {
        let memory = File::options().write(true).open(it.proc("mem"))?;
        memory.write_all_at(SECRET, it.address as u64)
    }),
    zone_and_host("reading /proc/PID/environ", |it, _| {
        fs::read(it.proc("environ")).map(drop)
    }),
    zone_and_host("reading /proc/PID/maps", |it, _| {
        fs::read(it.proc("maps")).map(drop)
    }),
    zone_and_host("reading /proc/PID/auxv", |it, _| {
        fs::read(it.proc("auxv")).map(drop)
    }),
    zone_and_host("listing /proc/PID/fd", |it, _| {
        fs::read_link(it.proc(&format!("fd/{}", it.secret))).map(drop)
    }),
    zone_and_host("writing /proc/PID/oom_score_adj", |it, _| {
        fs::write(it.proc("oom_score_adj"), "1000")
    }),
    zone_and_host("writing /proc/PID/clear_refs", |it, _| {
        fs::write(it.proc("clear_refs"), "1")
    }),
    zone_and_host("writing /proc/PID/coredump_filter", |it, _| {
        fs::write(it.proc("coredump_filter"), "0x7f")
    }),
    zone_and_host("writing /proc/PID/timerslack_ns", |it, _| {
        fs::write(it.proc("timerslack_ns"), "1000000")
    }),
    zone_and_host("pidfd_getfd(2)", |it, _| {
        let process = pidfd(it)?;
        sys::descriptor(
            libc::SYS_pidfd_getfd,
            [sys::fd(&process), it.secret.into(), 0.into()],
        )
        .map(drop)
    }),
    zone_and_host("kcmp(2)", |it, _| {
        let own = std::process::id();
        call(
            libc::SYS_kcmp,
            [it.pid.into(), own.into(), 1.into(), 0.into(), 0.into()],
        )
        .map(drop)
    }),
    zone_and_host("get_robust_list(2)", |it, _| {
        let (mut head, mut length) = ([0; 8], [0; 8]);
        call(
            libc::SYS_get_robust_list,
            [
                it.pid.into(),
                head.as_mut_slice().into(),
                length.as_mut_slice().into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("process_madvise(2)", |it, _| {
        advises(libc::SYS_process_madvise, it)
    }),
    zone_and_host(
        "process_madvise(2) by a number of more than 32 bits",
        |it, _| advises(sys::ABOVE | libc::SYS_process_madvise, it),
    ),
    zone_and_host("process_madvise(2) by int $0x80", |it, _| {
        // Where nothing is, which is seen after the hooks were asked: its memory is where 32 bits do not reach.
        let vector = Low::holding(&halves(&[0x1_0000, 0x1000]))?;
        let process = pidfd(it)?;
        let args = [
            process.as_raw_fd() as u32,
            vector.address(),
            1,
            MADV_COLD as u32,
            0,
        ];
        let done = narrow::call(libc::SYS_process_madvise as u32, args);
        after_the_hooks(done.map(drop), libc::ENOMEM)
    }),
    zone_and_host("prlimit(2)", |it, _| {
        let limit = words(&[16, 16]);
        call(
            libc::SYS_prlimit64,
            [
                it.pid.into(),
                Arg::from(libc::RLIMIT_NOFILE),
                limit.as_slice().into(),
                0.into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("setpriority(2)", |it, _| {
        call(
            libc::SYS_setpriority,
            [libc::PRIO_PROCESS.into(), it.pid.into(), 5.into()],
        )
        .map(drop)
    }),
    zone_and_host("setpriority(2) of its group", |it, _| {
        call(
            libc::SYS_setpriority,
            [libc::PRIO_PGRP.into(), it.pid.into(), 5.into()],
        )
        .map(drop)
    }),
    zone_and_host("sched_setscheduler(2)", |it, _| {
        let parameters = halves(&[0]);
        call(
            libc::SYS_sched_setscheduler,
            [
                it.pid.into(),
                libc::SCHED_IDLE.into(),
                parameters.as_slice().into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("sched_setattr(2)", |it, _| {
        let mut attributes = halves(&[48, libc::SCHED_IDLE as u32]);
        attributes.resize(48, 0);
        call(
            libc::SYS_sched_setattr,
            [it.pid.into(), attributes.as_slice().into(), 0.into()],
        )
        .map(drop)
    }),
    zone_and_host("sched_setaffinity(2)", |it, _| {
        let mask = words(&[1]);
        call(
            libc::SYS_sched_setaffinity,
            [it.pid.into(), 8.into(), mask.as_slice().into()],
        )
        .map(drop)
    }),
    zone_and_host("ioprio_set(2)", |it, _| {
        const IDLE: i32 = 3 << 13;
        call(libc::SYS_ioprio_set, [1.into(), it.pid.into(), IDLE.into()]).map(drop)
    }),
    zone_and_host("migrate_pages(2)", |it, _| {
        let nodes = words(&[1]);
        call(
            libc::SYS_migrate_pages,
            [
                it.pid.into(),
                2.into(),
                nodes.as_slice().into(),
                nodes.as_slice().into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("move_pages(2)", |it, _| {
        let pages = words(&[it.address as u64 & !0xfff]);
        let nodes = halves(&[0]);
        let mut status = [0; 4];
        call(
            libc::SYS_move_pages,
            [
                it.pid.into(),
                1.into(),
                pages.as_slice().into(),
                nodes.as_slice().into(),
                status.as_mut_slice().into(),
                2.into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("perf_event_open(2) of it", |it, _| perf(it.pid, -1)),
];

const F_SETSIG: i32 = 10;

/// `struct perf_event_attr` for counting page faults, which every processor can.
pub fn perf(pid: i32, cpu: i32) -> io::Result<()> {
    const SOFTWARE: u32 = 1;
    const PAGE_FAULTS: u64 = 2;
    const SIZE: u32 = 64;
    let mut attributes = halves(&[SOFTWARE, SIZE]);
    const IN_USER_SPACE: u64 = 0b11 << 5;
    attributes.extend(words(&[PAGE_FAULTS, 0, 0, 0, IN_USER_SPACE]));
    attributes.resize(SIZE as usize, 0);
    sys::descriptor(
        libc::SYS_perf_event_open,
        [
            attributes.as_slice().into(),
            pid.into(),
            cpu.into(),
            (-1).into(),
            0.into(),
        ],
    )
    .map(drop)
}

/// `struct siginfo` as sigqueue(3) fills it.
fn queued() -> Vec<u8> {
    const SI_QUEUE: i32 = -1;
    let mut info = halves(&[libc::SIGTERM as u32, 0, SI_QUEUE as u32, 0]);
    info.resize(128, 0);
    info
}

const MADV_COLD: i32 = 20;

fn advises(number: c_long, it: &Aim) -> io::Result<()> {
    let page = it.address as u64 & !0xfff;
    let vector = words(&[page, 0x1000]);
    let process = pidfd(it)?;
    call(
        number,
        [
            sys::fd(&process),
            vector.as_slice().into(),
            1.into(),
            MADV_COLD.into(),
            0.into(),
        ],
    )
    .map(drop)
}

fn pidfd(it: &Aim) -> io::Result<std::os::fd::OwnedFd> {
    sys::descriptor(libc::SYS_pidfd_open, [it.pid.into(), 0.into()])
}

/// Has the kernel send a signal when something can be read.
fn owned_by(commands: &[(i32, i32)]) -> io::Result<()> {
    let (here, there) = std::os::unix::net::UnixStream::pair()?;
    let control = |command: i32, value: i32| {
        call(
            libc::SYS_fcntl,
            [sys::fd(&here), command.into(), value.into()],
        )
    };
    for (command, value) in commands {
        control(*command, *value)?;
    }
    control(libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK)?;
    io::Write::write_all(&mut &there, b"read this")
}

/// A signal that has no hook of its own to refuse it is refused in silence.
fn died(it: &Aim) -> io::Result<()> {
    for _ in 0..30 {
        if it.is_dead() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(sys::without_effect())
}

fn ptrace(request: i32, it: &Aim) -> io::Result<()> {
    call(
        libc::SYS_ptrace,
        [request.into(), it.pid.into(), 0.into(), 0.into()],
    )
    .map(drop)
}

fn moves(number: c_long, it: &Aim, room: &mut [u8]) -> io::Result<()> {
    let length = room.len() as u64;
    let here = words(&[sys::address(room), length]);
    let there = words(&[it.address as u64, length]);
    call(
        number,
        [
            it.pid.into(),
            here.as_slice().into(),
            1.into(),
            there.as_slice().into(),
            1.into(),
            0.into(),
        ],
    )
    .map(drop)
}
