//! What actors do to another task: its priority, its processors, its limits, its memory's place; and the
//! less usual ways of signalling one.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::ptr;

use nix::libc::{self, c_int, c_long, c_ulong};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Does it to the process; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let (first, rest) = args.split_first()?;
    let pid = || number(first);
    let result = match (action, rest) {
        ("set-priority", []) => pid().and_then(set_priority),
        ("set-io-priority", []) => pid().and_then(set_io_priority),
        ("set-scheduler", []) => pid().and_then(set_scheduler),
        ("set-attributes", []) => pid().and_then(set_attributes),
        ("set-affinity", []) => pid().and_then(set_affinity),
        ("set-limit", []) => pid().and_then(|pid| limit(pid, true)),
        ("read-limit", []) => pid().and_then(|pid| limit(pid, false)),
        ("read-priority", []) => pid().and_then(read_priority),
        ("migrate-pages", []) => pid().and_then(|pid| {
            let nodes: c_ulong = 1;
            let at = &raw const nodes as c_long;
            system_call(libc::SYS_migrate_pages, [pid.into(), 64, at, at])
        }),
        ("move-pages", []) => {
            // Of no pages, without flags.
            pid().and_then(|pid| {
                system_call_of_six(libc::SYS_move_pages, [pid.into(), 0, 0, 0, 0, 0])
            })
        }
        ("compare", []) => pid().and_then(compare),
        ("robust-list", []) => pid().and_then(robust_list),
        ("tkill", [signal]) => both(first, signal)
            .and_then(|(pid, signal)| system_call(libc::SYS_tkill, [pid, signal, 0, 0])),
        ("tgkill", [signal]) => both(first, signal)
            .and_then(|(pid, signal)| system_call(libc::SYS_tgkill, [pid, pid, signal, 0])),
        ("sigqueue", [signal]) => queue(first, signal, false),
        ("tgsigqueue", [signal]) => queue(first, signal, true),
        ("pidfd-signal", [signal]) => by_descriptor(first, signal),
        ("clone-into", []) => clone_into(first),
        _ => return None,
    };
    Some(result)
}

fn number(text: &Path) -> io::Result<c_int> {
    let text = text.to_str().unwrap_or_default();
    text.parse().map_err(io::Error::other)
}

fn both(pid: &Path, signal: &Path) -> io::Result<(c_long, c_long)> {
    Ok((number(pid)?.into(), number(signal)?.into()))
}

fn system_call(call: c_long, [a, b, c, d]: [c_long; 4]) -> io::Result<()> {
    system_call_of_six(call, [a, b, c, d, 0, 0])
}

fn system_call_of_six(call: c_long, [a, b, c, d, e, f]: [c_long; 6]) -> io::Result<()> {
    // SAFETY: the callers pass numbers, or addresses of what outlives the call.
    if unsafe { libc::syscall(call, a, b, c, d, e, f) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_priority(pid: c_int) -> io::Result<()> {
    system_call(
        libc::SYS_setpriority,
        [libc::PRIO_PROCESS.into(), pid.into(), 5, 0],
    )
}

fn read_priority(pid: c_int) -> io::Result<()> {
    system_call(
        libc::SYS_getpriority,
        [libc::PRIO_PROCESS.into(), pid.into(), 0, 0],
    )
}

fn set_io_priority(pid: c_int) -> io::Result<()> {
    const WHO_PROCESS: c_long = 1;
    const BEST_EFFORT: c_long = 2 << 13;
    system_call(
        libc::SYS_ioprio_set,
        [WHO_PROCESS, pid.into(), BEST_EFFORT | 6, 0],
    )
}

fn set_scheduler(pid: c_int) -> io::Result<()> {
    let parameters: c_int = 0; // struct sched_param
    let at = &raw const parameters as c_long;
    system_call(
        libc::SYS_sched_setscheduler,
        [pid.into(), libc::SCHED_BATCH.into(), at, 0],
    )
}

fn set_attributes(pid: c_int) -> io::Result<()> {
    // struct sched_attr as it was first: size, policy, flags, nice, priority, and three for deadlines.
    let attributes: [u32; 12] = [48, libc::SCHED_IDLE as u32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let at = &raw const attributes as c_long;
    system_call(libc::SYS_sched_setattr, [pid.into(), at, 0, 0])
}

fn set_affinity(pid: c_int) -> io::Result<()> {
    let own: CpuSet = sched_getaffinity(Pid::from_raw(0))?;
    Ok(sched_setaffinity(Pid::from_raw(pid), &own)?)
}

fn limit(pid: c_int, change: bool) -> io::Result<()> {
    let new = libc::rlimit64 {
        rlim_cur: 100,
        rlim_max: 100,
    };
    let mut old = new;
    let new = if change { &raw const new } else { ptr::null() };
    let resource = libc::RLIMIT_NOFILE.into();
    system_call(
        libc::SYS_prlimit64,
        [pid.into(), resource, new as c_long, &raw mut old as c_long],
    )
}

/// kcmp(2): whether two processes have the same memory.
fn compare(pid: c_int) -> io::Result<()> {
    const VM: c_long = 1;
    system_call(
        libc::SYS_kcmp,
        [pid.into(), std::process::id().into(), VM, 0],
    )
}

fn robust_list(pid: c_int) -> io::Result<()> {
    let (mut head, mut length) = (0usize, 0usize);
    let (head, length) = (&raw mut head as c_long, &raw mut length as c_long);
    system_call(libc::SYS_get_robust_list, [pid.into(), head, length, 0])
}

/// A signal with a value, to the process or to its first thread.
fn queue(pid: &Path, signal: &Path, thread: bool) -> io::Result<()> {
    let (pid, signal) = both(pid, signal)?;
    // SAFETY: zeros are a siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = signal as c_int;
    info.si_code = libc::SI_QUEUE;
    let at = &raw const info as c_long;
    if thread {
        system_call(libc::SYS_rt_tgsigqueueinfo, [pid, pid, signal, at])
    } else {
        system_call(libc::SYS_rt_sigqueueinfo, [pid, signal, at, 0])
    }
}

fn by_descriptor(pid: &Path, signal: &Path) -> io::Result<()> {
    let pid = rustix::process::Pid::from_raw(number(pid)?).ok_or(io::ErrorKind::NotFound)?;
    let signal = Signal::from_named_raw(number(signal)?).ok_or(io::ErrorKind::InvalidInput)?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_send_signal(process, signal)?)
}

/// Makes a child in another cgroup, which the kernel has there from its beginning.
fn clone_into(cgroup: &Path) -> io::Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let cgroup = fs::File::open(cgroup)?;
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup.
    let mut arguments = [0u64; 11];
    arguments[0] = CLONE_INTO_CGROUP;
    arguments[4] = libc::SIGCHLD as u64;
    arguments[10] = std::os::fd::AsRawFd::as_raw_fd(&cgroup) as u64;
    // SAFETY: as fork(2); the child does nothing but end.
    let child = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            arguments.as_ptr(),
            size_of_val(&arguments),
        )
    };
    match child {
        // SAFETY: it ends this process, the child.
        0 => unsafe { libc::_exit(0) },
        1.. => Ok(nix::sys::wait::waitpid(Pid::from_raw(child as c_int), None).map(drop)?),
        _ => Err(io::Error::last_os_error()),
    }
}
