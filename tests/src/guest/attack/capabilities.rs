//! What nothing but a capability stands before, and no hook of its own. Each is tried so that it does no
//! harm where it opens: by asking for what cannot be, or for what is so already.

use std::fs::{self, File};
use std::io::{self, Write as _};

use nix::libc::{self, c_long};
use nix::sched::{CloneFlags, setns, unshare};

use super::calls::after_the_hooks;
use super::host::{rewrite, uses_files};
use super::mounts::{self, SPARE, private};
use super::narrow::{self, Low};
use super::sys::{self, Arg, call, text};
use super::technique::{Technique, node};

pub const ALL: &[Technique] = &[
    node("swapon(2)", |_, _| swaps(libc::SYS_swapon), reads_swaps).lacking(NOWHERE),
    node("swapoff(2)", |_, _| swaps(libc::SYS_swapoff), reads_swaps).lacking(NOWHERE),
    node(
        "swapoff(2) by a number of more than 32 bits",
        |_, _| swaps(sys::ABOVE | libc::SYS_swapoff),
        reads_swaps,
    )
    .lacking(NOWHERE),
    // In 64 bits, that number is the one of unlink(2), which asks for the capability too, behind an overlay.
    node(
        "swapon(2) by int $0x80",
        |_, _| swaps_narrowly(87),
        |_, own| {
            private()?;
            mounts::unlinks_behind_overlay(own)
        },
    )
    .lacking(NOWHERE),
    // In 32 bits, the number of swapoff(2) in 64 is the one of poll(2).
    node(
        "swapoff(2) by int $0x80",
        |_, _| swaps_narrowly(115),
        |_, _| narrowly(168, [0; 5]),
    )
    .lacking(NOWHERE),
    node(
        "quotactl(2)",
        |_, _| quotas(QUOTAOFF, Some(c"/dev/vda")),
        |_, _| {
            quotas(SYNC, None)?;
            after_the_hooks(quotas(GETQUOTA, Some(c"/dev/vda")), libc::ESRCH)
        },
    )
    .lacking(NOWHERE),
    node(
        "quotactl_fd(2)",
        |_, _| quotas_by_descriptor(QUOTAOFF),
        |_, _| after_the_hooks(quotas_by_descriptor(GETQUOTA), libc::ESRCH),
    )
    .lacking(NOWHERE),
    node(
        "adjtimex(2)",
        |_, _| adjusts(libc::SYS_adjtimex, None, TICK),
        |_, _| {
            adjusts(libc::SYS_adjtimex, None, NOTHING)?;
            sets_offsets()
        },
    ),
    node(
        "clock_adjtime(2)",
        |_, _| adjusts(libc::SYS_clock_adjtime, Some(libc::CLOCK_REALTIME), TICK),
        |_, _| adjusts(libc::SYS_clock_adjtime, Some(libc::CLOCK_REALTIME), NOTHING),
    ),
    // In 32 bits, the number of adjtimex(2) in 64 is the one of sched_get_priority_max(2).
    node(
        "adjtimex(2) by int $0x80",
        |_, _| adjusts_narrowly(124, false, TICK),
        |_, _| {
            adjusts_narrowly(124, false, NOTHING)?;
            narrowly(159, [0; 5])
        },
    )
    .lacking(NOWHERE),
    node(
        "clock_adjtime(2) by int $0x80",
        |_, _| adjusts_narrowly(343, true, TICK),
        |_, _| adjusts_narrowly(343, true, NOTHING),
    )
    .lacking(NOWHERE),
    node(
        "clock_adjtime64(2) by int $0x80",
        |_, _| adjusts_narrowly(405, true, TICK),
        |_, _| adjusts_narrowly(405, true, NOTHING),
    )
    .lacking(NOWHERE),
    node(
        "the hardware's clock",
        |_, _| hardware_clock(true),
        |_, _| hardware_clock(false),
    )
    .lacking(&[libc::ENOENT, libc::ENOTTY, libc::EINVAL]),
    node(
        "thawing the host's file system",
        |_, _| {
            let mounted = File::open("/srv")?;
            let asked = [sys::fd(&mounted), FITHAW.into(), 0.into()];
            // It is not frozen.
            let done = call(libc::SYS_ioctl, asked).map(drop);
            after_the_hooks(done, libc::EINVAL)
        },
        uses_files,
    ),
    node(
        "shutting the host's file system down",
        |_, _| {
            let mounted = File::open("/srv")?;
            // No flag that there is: what takes it says so.
            let flags = u32::MAX.to_ne_bytes();
            let asked = [sys::fd(&mounted), SHUTDOWN.into(), (&flags[..]).into()];
            let done = call(libc::SYS_ioctl, asked).map(drop);
            after_the_hooks(done, libc::EINVAL)
        },
        uses_files,
    )
    .lacking(&[libc::ENOTTY]),
    node(
        "making the host's file system larger",
        |_, _| {
            let mounted = File::open("/srv")?;
            // No larger than it is.
            let blocks = sys::words(&[0]);
            let asked = [
                sys::fd(&mounted),
                GROUP_EXTEND.into(),
                blocks.as_slice().into(),
            ];
            call(libc::SYS_ioctl, asked).map(drop)
        },
        uses_files,
    ),
    node(
        "the configuration of audit",
        |_, _| audits(AUDIT_SET, &[0; AUDIT_STATUS]),
        |_, _| audits(AUDIT_USER, b"of no consequence"),
    )
    .lacking(&[libc::EPROTONOSUPPORT, libc::ECONNREFUSED]),
    node(
        "sethostname(2) of the host",
        |_, _| names(libc::SYS_sethostname, HOST),
        |_, _| {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            names(libc::SYS_sethostname, HOST)
        },
    ),
    node(
        "setdomainname(2) of the host",
        |_, _| names(libc::SYS_setdomainname, DOMAIN),
        |_, _| {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            names(libc::SYS_setdomainname, DOMAIN)
        },
    ),
    // In 32 bits, the number of sethostname(2) in 64 is the one of setresgid(2).
    node(
        "sethostname(2) of the host by int $0x80",
        |_, _| names_narrowly(74, HOST),
        |_, _| {
            narrowly(170, [u32::MAX; 5])?;
            unshare(CloneFlags::CLONE_NEWUTS)?;
            names_narrowly(74, HOST)
        },
    )
    .lacking(NOWHERE),
    node(
        "setdomainname(2) of the host by int $0x80",
        |_, _| names_narrowly(121, DOMAIN),
        |_, _| {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            names_narrowly(121, DOMAIN)
        },
    )
    .lacking(NOWHERE),
    node(
        "kernel.hostname of the host",
        |_, _| rewrite(HOST),
        |_, _| {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            rewrite(HOST)
        },
    ),
    node(
        "kernel.domainname of the host",
        |_, _| rewrite(DOMAIN),
        |_, _| {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            rewrite(DOMAIN)
        },
    ),
    node(
        "kernel.hostname of the host, opened in a namespace of one's own",
        |_, _| renames_from_own(true),
        |_, _| renames_from_own(false),
    ),
    node(
        "mount_setattr(2) of the host's",
        |_, _| {
            attributes(
                libc::SYS_mount_setattr,
                0,
                &changing(0, libc::MOUNT_ATTR_RDONLY),
            )
        },
        |_, _| {
            private()?;
            attributes(
                libc::SYS_mount_setattr,
                0,
                &changing(libc::MOUNT_ATTR_RDONLY, 0),
            )
        },
    ),
    node(
        "mount_setattr(2) of the host's by int $0x80",
        |_, _| attributes_narrowly(&changing(0, libc::MOUNT_ATTR_RDONLY)),
        |_, _| {
            private()?;
            attributes_narrowly(&changing(libc::MOUNT_ATTR_RDONLY, 0))
        },
    )
    .lacking(NOWHERE),
    node(
        "open_tree_attr(2) of the host's",
        |_, _| {
            attributes(
                OPEN_TREE_ATTR,
                libc::O_CLOEXEC,
                &changing(0, libc::MOUNT_ATTR_RDONLY),
            )
        },
        |_, _| {
            private()?;
            attributes(
                OPEN_TREE_ATTR,
                libc::O_CLOEXEC,
                &changing(libc::MOUNT_ATTR_RDONLY, 0),
            )
        },
    ),
];

const NOWHERE: &[i32] = &[libc::ENOSYS];

/// What can neither be swapped to nor is.
const NO_SWAP: &std::ffi::CStr = c"/dev/null";

fn swaps(number: c_long) -> io::Result<()> {
    let done = call(number, [NO_SWAP.into(), 0.into()]);
    after_the_hooks(done.map(drop), libc::EINVAL)
}

fn swaps_narrowly(number: u32) -> io::Result<()> {
    let path = Low::holding(NO_SWAP.to_bytes())?;
    let done = narrowly(number, [path.address(), 0, 0, 0, 0]);
    after_the_hooks(done, libc::EINVAL)
}

fn reads_swaps(it: &super::aim::Aim, own: &super::aim::Aim) -> io::Result<()> {
    fs::read("/proc/swaps")?;
    uses_files(it, own)
}

fn narrowly(number: u32, args: [u32; 5]) -> io::Result<()> {
    narrow::call(number, args).map(drop)
}

/// Commands about users' quotas.
const SYNC: u32 = 0x80_0001 << 8;
const QUOTAOFF: u32 = 0x80_0003 << 8;
const GETQUOTA: u32 = 0x80_0007 << 8;

fn quotas(command: u32, device: Option<&std::ffi::CStr>) -> io::Result<()> {
    let mut quota = [0; 256];
    let device = device.map_or(Arg::from(0), Arg::from);
    let asked = [
        command.into(),
        device,
        0.into(),
        quota.as_mut_slice().into(),
    ];
    call(libc::SYS_quotactl, asked).map(drop)
}

fn quotas_by_descriptor(command: u32) -> io::Result<()> {
    let mut quota = [0; 256];
    let mounted = File::open("/srv")?;
    let asked = [
        sys::fd(&mounted),
        command.into(),
        0.into(),
        quota.as_mut_slice().into(),
    ];
    call(libc::SYS_quotactl_fd, asked).map(drop)
}

/// What `struct timex` begins with: what to change. A tick takes as long as it was just read to take.
const NOTHING: u32 = 0;
const TICK: u32 = libc::ADJ_TICK;

fn adjusts(number: c_long, clock: Option<i32>, modes: u32) -> io::Result<()> {
    let mut timex = [0; size_of::<libc::timex>()];
    for modes in [NOTHING, modes] {
        timex[..4].copy_from_slice(&modes.to_ne_bytes());
        let timex = Arg::from(timex.as_mut_slice());
        match clock {
            Some(clock) => call(number, [clock.into(), timex])?,
            None => call(number, [timex])?,
        };
    }
    Ok(())
}

fn adjusts_narrowly(number: u32, of_clock: bool, modes: u32) -> io::Result<()> {
    let mut timex = Low::holding(&[])?;
    for modes in [NOTHING, modes] {
        timex.begin_with(modes);
        let at = timex.address();
        let realtime = libc::CLOCK_REALTIME as u32;
        let args = if of_clock { [realtime, at] } else { [at, 0] };
        narrowly(number, [args[0], args[1], 0, 0, 0])?;
    }
    Ok(())
}

/// In a namespace of time of one's own, which takes the capability that setting the clock does.
fn sets_offsets() -> io::Result<()> {
    const NEWTIME: i32 = 0x80;
    call(libc::SYS_unshare, [NEWTIME.into()])?;
    fs::write("/proc/self/timens_offsets", "boottime 100 0")
}

/// Reads the clock of the hardware, and sets it to that.
fn hardware_clock(set: bool) -> io::Result<()> {
    const RTC_RD_TIME: u32 = 0x8024_7009;
    const RTC_SET_TIME: u32 = 0x4024_700a;
    let clock = File::open("/dev/rtc0")?;
    let mut time = [0; 36];
    let read = [
        sys::fd(&clock),
        RTC_RD_TIME.into(),
        time.as_mut_slice().into(),
    ];
    call(libc::SYS_ioctl, read)?;
    if set {
        let written = [sys::fd(&clock), RTC_SET_TIME.into(), time.as_slice().into()];
        call(libc::SYS_ioctl, written)?;
    }
    Ok(())
}

/// `_IOWR('X', 120, int)`: what FIFREEZE has frozen goes on.
const FITHAW: u32 = 0xc004_5878;
/// `_IOR('X', 125, __u32)`: `EXT4_IOC_SHUTDOWN`, and that of XFS and f2fs.
const SHUTDOWN: u32 = 0x8004_587d;

/// `_IOW('f', 7, unsigned long)`: `EXT4_IOC_GROUP_EXTEND`.
const GROUP_EXTEND: u32 = 0x4008_6607;

/// Changes what it says is to be changed: nothing, if it is zero.
const AUDIT_SET: u16 = 1001;
/// The size of `struct audit_status` in all kernels.
const AUDIT_STATUS: usize = 32;
/// A line of a program's own, as PAM writes them.
const AUDIT_USER: u16 = 1005;

/// Sends one message to audit, and takes the answer.
fn audits(kind: u16, body: &[u8]) -> io::Result<()> {
    const AUDIT: i32 = 9;
    const ANSWERED_REQUEST: u16 = 1 | 4;
    const HEADER: usize = 16;
    let kernel = sys::descriptor(
        libc::SYS_socket,
        [
            libc::AF_NETLINK.into(),
            (libc::SOCK_RAW | libc::SOCK_CLOEXEC).into(),
            AUDIT.into(),
        ],
    )?;
    let length = (HEADER + body.len()) as u32;
    let mut message = sys::halves(&[
        length,
        u32::from(kind) | u32::from(ANSWERED_REQUEST) << 16,
        1,
        0,
    ]);
    message.extend(body);
    let size = message.len();
    call(
        libc::SYS_sendto,
        [
            sys::fd(&kernel),
            message.as_slice().into(),
            size.into(),
            0.into(),
            0.into(),
            0.into(),
        ],
    )?;
    let mut answer = [0; 256];
    let room = answer.len();
    call(
        libc::SYS_read,
        [sys::fd(&kernel), answer.as_mut_slice().into(), room.into()],
    )?;
    // After the header of the answer: 0, or an error number, negative.
    let number = answer[HEADER..HEADER + 4].try_into();
    match i32::from_ne_bytes(number.map_err(io::Error::other)?) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

const HOST: &str = "/proc/sys/kernel/hostname";
const DOMAIN: &str = "/proc/sys/kernel/domainname";

/// Gives the name that is there.
fn names(number: c_long, file: &str) -> io::Result<()> {
    let name = fs::read_to_string(file)?;
    let name = name.trim_end();
    let (name, length) = (text(name)?, name.len());
    call(number, [(&name).into(), length.into()]).map(drop)
}

fn names_narrowly(number: u32, file: &str) -> io::Result<()> {
    let name = fs::read_to_string(file)?;
    let name = name.trim_end().as_bytes();
    let low = Low::holding(name)?;
    narrowly(number, [low.address(), name.len() as u32, 0, 0, 0])
}

/// Opens the file of the name in a namespace of its own, and writes to it there or back in the host's.
fn renames_from_own(back: bool) -> io::Result<()> {
    let name = fs::read(HOST)?;
    let hosts = File::open("/proc/self/ns/uts")?;
    unshare(CloneFlags::CLONE_NEWUTS)?;
    let mut file = File::options().write(true).open(HOST)?;
    if back {
        setns(&hosts, CloneFlags::CLONE_NEWUTS)?;
    }
    file.write_all(&name)
}

/// Since 6.15, without a name in `libc`.
const OPEN_TREE_ATTR: c_long = 467;

/// `struct mount_attr`.
fn changing(set: u64, clear: u64) -> Vec<u8> {
    sys::words(&[set, clear, 0, 0])
}

fn attributes(number: c_long, flags: i32, attributes: &[u8]) -> io::Result<()> {
    let path = text(SPARE)?;
    call(
        number,
        [
            libc::AT_FDCWD.into(),
            (&path).into(),
            flags.into(),
            attributes.into(),
            attributes.len().into(),
        ],
    )
    .map(drop)
}

fn attributes_narrowly(attributes: &[u8]) -> io::Result<()> {
    const MOUNT_SETATTR: u32 = 442;
    let (path, low) = (Low::holding(SPARE.as_bytes())?, Low::holding(attributes)?);
    let here = libc::AT_FDCWD as u32;
    let length = attributes.len() as u32;
    narrowly(
        MOUNT_SETATTR,
        [here, path.address(), 0, low.address(), length],
    )
}
