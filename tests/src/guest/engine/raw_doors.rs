//! System calls that open doors to the host.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::libc;

use crate::guest::{disk_commands, uevents};

use super::raw_files::{
    HOSTS, Over, decide, in_copy, in_own_tmpfs, quotas_off, reconfigure, remount, sync_quotas,
    watch,
};

/// What is no kernel module, and no kernel.
const RUBBISH: [u8; 4096] = [7; 4096];

/// Goes through the door called `name`.
pub fn perform(name: &Path) -> io::Result<()> {
    match name.to_str().unwrap_or_default() {
        "init-module" => init_module(),
        "finit-module" => finit_module(),
        "kexec-load" => kexec_load(),
        "kexec-file-load" => kexec_file_load(),
        "kexec-load-in-pid-namespace" => in_pid_namespace(kexec_load),
        "kexec-file-load-in-pid-namespace" => in_pid_namespace(kexec_file_load),
        "memory" => File::open("/dev/mem").map(drop),
        "ports" => File::open("/dev/port").map(drop),
        "iopl" => call(libc::SYS_iopl, &[3]),
        "ioperm" => call(libc::SYS_ioperm, &[0x80, 1, 1]),
        "kcore" => File::open("/proc/kcore").map(drop),
        "perf-processor" => perf(-1, 0, true),
        "perf-kernel" => perf(0, -1, false),
        "perf-own" => perf(0, -1, true),
        "set-clock" => set_clock(),
        "clear-log" => call(libc::SYS_syslog, &[5, 0, 0]),
        "console-level" => call(libc::SYS_syslog, &[8, 0, 7]),
        "log-size" => call(libc::SYS_syslog, &[10, 0, 0]),
        "swapoff" => call(libc::SYS_swapoff, &[c"/dev/null".as_ptr() as i64]),
        "adjtimex" => adjust_clock(libc::ADJ_TICK),
        "read-clock" => adjust_clock(0),
        "sethostname" => set_name(),
        "own-name" => {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;
            set_name()?;
            fs::write("/proc/sys/kernel/hostname", "own")
        }
        "mount-setattr" => set_attributes(),
        "own-mount" => {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
            match set_attributes() {
                // Since 5.12.
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
                done => done,
            }
        }
        "remount" => in_copy(remount),
        "own-remount" => in_own_tmpfs(remount),
        "reconfigure" => in_copy(reconfigure),
        "own-reconfigure" => in_own_tmpfs(reconfigure),
        "quotas-off" => quotas_off(),
        "sync-quotas" => sync_quotas(),
        "decide-over-opening" => decide(HOSTS, Over::File),
        "decide-over-mount" => decide(HOSTS, Over::Mount),
        "decide-over-file-system" => decide(HOSTS, Over::FileSystem),
        "decide-over-own-opening" => in_own_tmpfs(|own| decide(own, Over::FileSystem)),
        "watch-opening" => watch(HOSTS),
        "console-output" => {
            let own = nix::pty::openpty(None, None)?;
            terminal_call(own.slave.as_raw_fd(), libc::TIOCCONS, 0)
        }
        "key-string" => key_string(),
        "device-event" => uevents::forge(uevents::From::Kernel),
        "device-event-of-udev" => uevents::forge(uevents::From::Udev),
        "own-device-event" => {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
            uevents::forge(uevents::From::Kernel)
        }
        // By netlink too.
        "network-interfaces" => Ok(nix::ifaddrs::getifaddrs().map(drop)?),
        "disk-command" => disk_commands::read(Path::new("/dev/nvme0")),
        "disk-command-by-ring" => disk_commands::read_by_ring(Path::new("/dev/ng0n1")),
        "scanner-command" => disk_commands::scanners(Path::new("/dev/null")),
        "type-into-terminal" => type_into(0),
        "take-terminal" => {
            nix::unistd::setsid()?;
            terminal_call(0, libc::TIOCSCTTY, 1)
        }
        "open-session-terminal" => open_session_terminal(),
        "hang-up-terminal" => terminal_call(0, TIOCVHANGUP, 0),
        "hang-up-session" => call(libc::SYS_vhangup, &[]),
        "keyring-to-parent" => {
            const JOIN_SESSION_KEYRING: i64 = 1;
            const SESSION_TO_PARENT: i64 = 18;
            call(libc::SYS_keyctl, &[JOIN_SESSION_KEYRING, 0])?;
            call(libc::SYS_keyctl, &[SESSION_TO_PARENT])
        }
        "type-into-own-terminal" => type_into_own(),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn call(number: i64, args: &[i64]) -> io::Result<()> {
    let arg = |n: usize| args.get(n).copied().unwrap_or_default();
    // SAFETY: these system calls take numbers; pointers among them are null where they are not used.
    let answer = unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4)) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn init_module() -> io::Result<()> {
    let (image, length) = (RUBBISH.as_ptr() as i64, RUBBISH.len() as i64);
    call(libc::SYS_init_module, &[image, length, c"".as_ptr() as i64])
}

fn rubbish() -> io::Result<File> {
    let path = "/tmp/engine-rubbish";
    fs::write(path, RUBBISH)?;
    File::open(path)
}

fn finit_module() -> io::Result<()> {
    let file = rubbish()?;
    let args = [file.as_raw_fd().into(), c"".as_ptr() as i64, 0];
    call(libc::SYS_finit_module, &args)
}

/// In a child that is the first process of a pid namespace.
fn in_pid_namespace(door: fn() -> io::Result<()>) -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)?;
    crate::guest::attack::in_child(door)
}

/// Without segments: unloads what was loaded, of which there is nothing.
fn kexec_load() -> io::Result<()> {
    call(libc::SYS_kexec_load, &[0, 0, 0, 0])
}

fn kexec_file_load() -> io::Result<()> {
    const KEXEC_FILE_NO_INITRAMFS: i64 = 4;
    let file = rubbish()?;
    let args = [
        file.as_raw_fd().into(),
        -1,
        1,
        c"".as_ptr() as i64,
        KEXEC_FILE_NO_INITRAMFS,
    ];
    call(libc::SYS_kexec_file_load, &args)
}

/// `struct perf_event_attr`, as far as its first version.
#[repr(C)]
#[derive(Default)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    bp_type: u32,
    bp_addr: u64,
}

const EXCLUDE_KERNEL_AND_HYPERVISOR: u64 = 1 << 5 | 1 << 6;

/// Counts a clock of software, of that task or processor.
fn perf(pid: i64, processor: i64, user_space_only: bool) -> io::Result<()> {
    let event = PerfEvent {
        kind: 1,
        size: size_of::<PerfEvent>() as u32,
        flags: if user_space_only {
            EXCLUDE_KERNEL_AND_HYPERVISOR
        } else {
            0
        },
        ..PerfEvent::default()
    };
    let args = [&raw const event as i64, pid, processor, -1, 0];
    call(libc::SYS_perf_event_open, &args)
}

/// Sets the clock to what it is.
fn set_clock() -> io::Result<()> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is there, and is read and written in these calls only.
    let done = unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const now)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives the clock a tick of the length it has.
fn adjust_clock(modes: u32) -> io::Result<()> {
    // SAFETY: it is a structure of numbers, all of which may be zero.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    for modes in [0, modes] {
        timex.modes = modes;
        call(libc::SYS_adjtimex, &[&raw mut timex as i64])?;
    }
    Ok(())
}

/// Gives the host the name that it has.
fn set_name() -> io::Result<()> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let name = name.trim_end();
    call(
        libc::SYS_sethostname,
        &[name.as_ptr() as i64, name.len() as i64],
    )
}

/// Gives a key of the virtual consoles, which no keyboard has, something to type.
fn key_string() -> io::Result<()> {
    const KDSKBSENT: u64 = 0x4b49;
    let console = File::options().read(true).write(true).open("/dev/tty1")?;
    // `struct kbsentry`: the function's number, and what it types.
    let mut entry = [0_u8; 513];
    (entry[0], entry[1]) = (200, b'x');
    terminal_call(console.as_raw_fd(), KDSKBSENT, entry.as_ptr() as i64)
}

/// Takes from the root's mount an attribute that it has not.
fn set_attributes() -> io::Result<()> {
    let attributes = [0, libc::MOUNT_ATTR_NOSYMFOLLOW, 0, 0];
    call(
        libc::SYS_mount_setattr,
        &[
            libc::AT_FDCWD.into(),
            c"/".as_ptr() as i64,
            0,
            attributes.as_ptr() as i64,
            size_of_val(&attributes) as i64,
        ],
    )
}

const TIOCVHANGUP: u64 = 0x5437;

/// An ioctl(2) of a terminal that takes a number.
fn terminal_call(terminal: i32, command: u64, number: i64) -> io::Result<()> {
    call(libc::SYS_ioctl, &[terminal.into(), command as i64, number])
}

/// Goes through the door called `name` as a child that joins `cgroup`, of a process that has a terminal.
pub fn perform_as_child(name: &Path, cgroup: &Path) -> io::Result<()> {
    let _terminal = own_terminal()?;
    crate::guest::attack::in_child(|| {
        fs::write(cgroup.join("cgroup.procs"), "0")?;
        perform(name)
    })
}

/// Types a letter into the terminal that is open.
fn type_into(terminal: i32) -> io::Result<()> {
    // SAFETY: the call reads one byte, which is there.
    let done = unsafe { libc::ioctl(terminal, libc::TIOCSTI, c"x".as_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes the terminal at `terminal` its own, as the first of a session.
fn take_terminal(terminal: i32) -> io::Result<()> {
    nix::unistd::setsid()?;
    terminal_call(terminal, libc::TIOCSCTTY, 0)
}

/// By its own file, which other sessions can find as well.
fn open_session_terminal() -> io::Result<()> {
    const TIOCGDEV: u64 = 0x8004_5432;
    let mut device = 0_u32;
    let terminal = File::open("/dev/tty")?;
    terminal_call(terminal.as_raw_fd(), TIOCGDEV, &raw mut device as i64)?;
    let path = format!("/dev/pts/{}", libc::minor(device.into()));
    File::options().read(true).write(true).open(path).map(drop)
}

fn own_terminal() -> io::Result<nix::pty::OpenptyResult> {
    // The session is hung up when the other end goes away.
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
    let pair = nix::pty::openpty(None, None)?;
    take_terminal(pair.slave.as_raw_fd())?;
    Ok(pair)
}

fn type_into_own() -> io::Result<()> {
    type_into(own_terminal()?.slave.as_raw_fd())
}

/// Makes standard input its terminal, and waits until it is killed.
pub fn hold_terminal() -> io::Result<()> {
    take_terminal(0)?;
    loop {
        // SAFETY: it waits for a signal.
        unsafe { libc::pause() };
    }
}

/// A terminal: who holds it, and what is typed into it.
pub fn terminal() -> io::Result<(File, File)> {
    let pair = nix::pty::openpty(None, None)?;
    Ok((pair.master.into(), pair.slave.into()))
}

/// Waits until it is a session's; `holder` is the other end, which alone may ask.
pub fn taken(holder: &File) -> io::Result<()> {
    for _ in 0..500 {
        let mut session = 0_i32;
        let asked = &raw mut session as i64;
        if terminal_call(holder.as_raw_fd(), libc::TIOCGSID, asked).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(io::ErrorKind::TimedOut.into())
}
