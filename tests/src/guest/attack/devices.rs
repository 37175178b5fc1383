//! Devices: disks, memory, what the host's user sees and types.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;

use super::aim::Aim;
use super::calls::after_the_hooks;
use super::host::opens;
use super::sys::{self, call, text};
use super::technique::{Technique, node};
use crate::guest::disk_commands;
use crate::guest::uevents::{self, From};

pub const ALL: &[Technique] = &[
    node(
        "/dev/mem",
        |_, _| opens("/dev/mem"),
        |_, _| opens("/dev/zero"),
    )
    .lacking(&[libc::ENOENT]),
    node(
        "/dev/port",
        |_, _| opens("/dev/port"),
        |_, _| opens("/dev/zero"),
    )
    .lacking(&[libc::ENOENT]),
    node(
        "/dev/kmsg, to write",
        |_, _| fs::write("/dev/kmsg", "a line\n"),
        |_, _| fs::write("/dev/null", "a line\n"),
    )
    .known("lines in the log, marked as user space"),
    node(
        "a disk's device, to read",
        |_, _| opens("/dev/vda"),
        |_, _| opens("/dev/urandom"),
    ),
    node(
        "a disk's device, to write",
        |_, _| sys::open(Path::new("/dev/vda"), libc::O_RDWR).map(drop),
        |_, _| sys::open(Path::new("/dev/null"), libc::O_RDWR).map(drop),
    ),
    node(
        "a device file of a disk, made by mknod(2)",
        |_, own| {
            use std::os::unix::fs::MetadataExt as _;
            let number = fs::metadata("/dev/vda")?.rdev();
            mknod(&own.path("new"), libc::S_IFBLK | 0o600, number)?;
            File::open(own.path("new")).map(drop)
        },
        |_, own| {
            mknod(&own.path("new"), libc::S_IFCHR | 0o600, libc::makedev(1, 5))?;
            File::open(own.path("new")).map(drop)
        },
    ),
    node(
        "the image for hibernation, by a device file made by mknod(2)",
        |_, own| opens_new(own, libc::makedev(10, 231)),
        |_, own| opens_new(own, NULL),
    )
    .lacking(&[libc::ENXIO, libc::ENODEV]),
    node(
        "a loop device",
        |_, _| opens("/dev/loop-control"),
        |_, _| opens("/dev/zero"),
    )
    .lacking(&[libc::ENOENT, libc::ENODEV]),
    node(
        "the device mapper, which makes disks of disks",
        |_, _| opens("/dev/mapper/control"),
        |_, _| opens("/dev/full"),
    )
    .lacking(NOWHERE),
    node(
        "the device mapper, by a device file made by mknod(2)",
        |_, own| opens_new(own, libc::makedev(10, 236)),
        |_, own| opens_new(own, NULL),
    )
    .lacking(NOWHERE),
    node(
        "what is typed at the host's keyboard",
        |_, _| opens("/dev/input/event0"),
        |_, _| opens("/dev/full"),
    )
    .lacking(NOWHERE),
    node(
        "typing at the host's keyboard",
        |_, _| sys::open(Path::new("/dev/input/event0"), libc::O_WRONLY).map(drop),
        |_, _| sys::open(Path::new("/dev/full"), libc::O_WRONLY).map(drop),
    )
    .lacking(NOWHERE),
    node(
        "a keyboard of one's own, by a device file made by mknod(2)",
        |_, own| opens_new(own, libc::makedev(10, 223)),
        |_, own| opens_new(own, NULL),
    )
    .lacking(NOWHERE),
    node(
        "a keyboard at a terminal of one's own (TIOCSETD)",
        |_, _| {
            const N_MOUSE: i32 = 2;
            sets_line(N_MOUSE)
        },
        |_, _| {
            const N_TTY: i32 = 0;
            sets_line(N_TTY)
        },
    )
    .lacking(&[libc::EINVAL]),
    node(
        "what a key of the host's consoles types (KDSKBSENT)",
        |_, _| {
            names_key(&sys::open(
                Path::new("/dev/tty1"),
                libc::O_RDWR | libc::O_NOCTTY,
            )?)
        },
        |_, _| {
            after_the_hooks(
                names_key(&nix::pty::openpty(None, None)?.slave),
                libc::ENOTTY,
            )
        },
    )
    .lacking(NOWHERE),
    node(
        "what is on the host's screen",
        |_, _| opens("/dev/vcs"),
        |_, _| opens("/dev/full"),
    )
    .lacking(NOWHERE),
    node(
        "a watchdog, which has the machine start anew",
        |_, _| {
            use std::io::Write as _;
            // So that it does not, where this opens.
            File::options()
                .write(true)
                .open("/dev/watchdog")?
                .write_all(b"V")
        },
        |_, _| fs::write("/dev/null", "V"),
    )
    .lacking(NOWHERE),
    node(
        "a processor's registers",
        |_, own| opens_new(own, libc::makedev(202, 0)),
        |_, own| opens_new(own, NULL),
    )
    .lacking(NOWHERE),
    node(
        "a command to an NVMe disk by ioctl(2)",
        |_, _| disk_commands::read(Path::new("/dev/nvme0")),
        |_, _| disk_commands::scanners(Path::new("/dev/null")),
    )
    .lacking(NOWHERE),
    node(
        "a command to an NVMe disk by io_uring",
        |_, _| disk_commands::read_by_ring(Path::new("/dev/ng0n1")),
        // Until 6.2 it takes none.
        |_, _| {
            let done = disk_commands::read_by_ring(Path::new("/dev/null"));
            after_the_hooks(done, libc::EOPNOTSUPP)
        },
    )
    .lacking(NOWHERE),
    node(
        "a device's event by netlink, as if udev said it",
        |_, _| uevents::forge(From::Udev),
        |_, _| in_own_network(|| uevents::forge(From::Udev)),
    ),
    node(
        "a device's event by netlink, as if the kernel said it",
        |_, _| uevents::forge(From::Kernel),
        |_, _| in_own_network(|| uevents::forge(From::Kernel)),
    ),
];

/// Has a pseudo-terminal of its own treated as that kind of line.
fn sets_line(discipline: i32) -> io::Result<()> {
    let own = nix::pty::openpty(None, None)?;
    let discipline = discipline.to_ne_bytes();
    let asked = [
        sys::fd(&own.slave),
        (libc::TIOCSETD as u32).into(),
        discipline.as_slice().into(),
    ];
    call(libc::SYS_ioctl, asked).map(drop)
}

/// Gives a key that no keyboard has something to type.
fn names_key(console: &std::os::fd::OwnedFd) -> io::Result<()> {
    const KDSKBSENT: u32 = 0x4b49;
    // `struct kbsentry`: the function's number, and what it types.
    let mut entry = [0_u8; 513];
    (entry[0], entry[1]) = (200, b'x');
    let asked = [sys::fd(console), KDSKBSENT.into(), entry.as_slice().into()];
    call(libc::SYS_ioctl, asked).map(drop)
}

fn in_own_network(act: fn() -> io::Result<()>) -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    act()
}

/// This kernel, or this machine, has no such device.
const NOWHERE: &[i32] = &[libc::ENOENT, libc::ENXIO, libc::ENODEV];

const NULL: u64 = libc::makedev(1, 3);

/// By a device file of its own making.
fn opens_new(own: &Aim, device: u64) -> io::Result<()> {
    mknod(&own.path("new"), libc::S_IFCHR | 0o600, device)?;
    File::open(own.path("new")).map(drop)
}

fn mknod(path: &Path, mode: u32, device: u64) -> io::Result<()> {
    let path = text(path)?;
    call(
        libc::SYS_mknodat,
        [
            libc::AT_FDCWD.into(),
            (&path).into(),
            mode.into(),
            (device as i64).into(),
        ],
    )
    .map(drop)
}
