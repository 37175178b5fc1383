//! The doors through which root in a container becomes root on the host. Each is tried so that it does no
//! harm where it opens: by writing what is there already, or nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;
use nix::mount::{MsFlags, mount};

use super::aim::Aim;
use super::mounts::private;
use super::sys::{self, call, text};
use super::tasks::perf;
use super::technique::{Technique, node};

pub const ALL: &[Technique] = &[
    node(
        "init_module(2)",
        |_, _| {
            // Not a module, which is seen after the hooks were asked.
            let image = [0_u8; 64];
            let done = call(
                libc::SYS_init_module,
                [image.as_slice().into(), 64.into(), c"".into()],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    ),
    node(
        "finit_module(2)",
        |_, own| {
            let file = File::open(own.path("other"))?;
            let done = call(
                libc::SYS_finit_module,
                [sys::fd(&file), c"".into(), 0.into()],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    ),
    node(
        "delete_module(2)",
        |_, _| {
            let none = c"syva_no_such_module".into();
            let done = call(libc::SYS_delete_module, [none, 0.into()]);
            after_the_hooks(done.map(drop), libc::ENOENT)
        },
        uses_files,
    ),
    node(
        "kexec_load(2)",
        |_, _| {
            call(
                libc::SYS_kexec_load,
                [0.into(), 0.into(), 0.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "kexec_file_load(2)",
        |_, own| {
            let file = File::open(own.path("other"))?;
            let no_initrd = 4;
            let done = call(
                libc::SYS_kexec_file_load,
                [
                    sys::fd(&file),
                    (-1).into(),
                    1.into(),
                    c"".into(),
                    no_initrd.into(),
                ],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
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
        "a loop device",
        |_, _| opens("/dev/loop-control"),
        |_, _| opens("/dev/zero"),
    )
    .lacking(&[libc::ENOENT, libc::ENODEV]),
    node(
        "mounting a disk",
        |_, own| {
            private()?;
            let at = own.path("empty");
            Ok(mount(
                Some("/dev/vda"),
                &at,
                Some("ext4"),
                MsFlags::empty(),
                None::<&str>,
            )?)
        },
        mounts_tmpfs,
    ),
    node(
        "mounting a disk by fsopen(2)",
        |_, own| {
            private()?;
            configured(own)
        },
        mounts_tmpfs,
    ),
    node(
        "tracefs",
        |_, _| {
            let events = tracing("kprobe_events");
            File::options().append(true).open(events).map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "a mount of debugfs",
        |_, own| {
            private()?;
            let at = own.path("empty");
            mount(
                Some("debugfs"),
                &at,
                Some("debugfs"),
                MsFlags::empty(),
                None::<&str>,
            )?;
            fs::read(at.join("sched/debug"))
                .or_else(|_| fs::read(at.join("fault_around_bytes")))
                .map(drop)
        },
        mounts_tmpfs,
    )
    .lacking(&[libc::ENOENT, libc::ENODEV]),
    node(
        "/proc/kcore",
        |_, _| opens("/proc/kcore"),
        |_, _| opens("/proc/version"),
    )
    .lacking(&[libc::ENOENT]),
    node(
        "/proc/sysrq-trigger",
        |_, _| fs::write("/proc/sysrq-trigger", "h"),
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "kernel.core_pattern",
        |_, _| rewrite("/proc/sys/kernel/core_pattern"),
        own_sysctl,
    ),
    node(
        "kernel.modprobe",
        |_, _| rewrite("/proc/sys/kernel/modprobe"),
        own_sysctl,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "kernel.panic",
        |_, _| rewrite("/proc/sys/kernel/panic"),
        own_sysctl,
    ),
    node(
        "kernel.kptr_restrict",
        |_, _| rewrite("/proc/sys/kernel/kptr_restrict"),
        own_sysctl,
    ),
    node(
        "kernel.core_pattern, by a mount of one's own",
        |_, own| {
            private()?;
            let at = own.path("empty");
            mount(
                Some("proc"),
                &at,
                Some("proc"),
                MsFlags::empty(),
                None::<&str>,
            )?;
            rewrite_at(&at.join("sys/kernel/core_pattern"))
        },
        own_sysctl,
    ),
    node(
        "vm.overcommit_memory",
        |_, _| rewrite("/proc/sys/vm/overcommit_memory"),
        own_sysctl,
    ),
    node(
        "vm.drop_caches",
        |_, _| fs::write("/proc/sys/vm/drop_caches", "1"),
        own_sysctl,
    ),
    node(
        "fs.suid_dumpable",
        |_, _| rewrite("/proc/sys/fs/suid_dumpable"),
        own_sysctl,
    ),
    node(
        "/sys/kernel/uevent_helper",
        |_, _| rewrite("/sys/kernel/uevent_helper"),
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "a device's uevent",
        |_, _| fs::write("/sys/class/mem/null/uevent", "change"),
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "/sys/module parameters",
        |_, _| rewrite("/sys/module/printk/parameters/time"),
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "/sys/power/state",
        |_, _| {
            File::options()
                .write(true)
                .open("/sys/power/state")
                .map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "the configuration of a PCI device",
        |_, _| {
            let config = pci("config")?;
            File::options().write(true).open(config).map(drop)
        },
        |_, _| {
            let vendor = pci("vendor")?;
            fs::read(vendor).map(drop)
        },
    )
    .lacking(&[libc::ENOENT]),
    node(
        "the memory of a PCI device",
        |_, _| {
            let resource = pci("resource0")?;
            File::options()
                .read(true)
                .write(true)
                .open(resource)
                .map(drop)
        },
        |_, _| {
            let vendor = pci("vendor")?;
            fs::read(vendor).map(drop)
        },
    )
    .lacking(&[libc::ENOENT]),
    node(
        "securityfs",
        |_, _| {
            let lockdown = "/sys/kernel/security/lockdown";
            File::options().write(true).open(lockdown).map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::ENOENT]),
    node(
        "perf_event_open(2) of a processor",
        |_, _| perf(-1, 0),
        |_, _| perf(0, -1),
    ),
    node(
        "TIOCSTI on the host's terminal",
        |_, _| {
            let terminal = sys::open(Path::new(TERMINAL), libc::O_RDWR | libc::O_NOCTTY)?;
            call(
                libc::SYS_ioctl,
                [
                    sys::fd(&terminal),
                    sys::Arg::Number(libc::TIOCSTI as i64),
                    c"x".into(),
                ],
            )
            .map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::EIO]),
    node(
        "iopl(2)",
        |_, _| call(libc::SYS_iopl, [3.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "ioperm(2)",
        |_, _| call(libc::SYS_ioperm, [0x80.into(), 1.into(), 1.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "reboot(2) from a process whose children are to have another pid namespace",
        |_, _| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)?;
            let (one, two, off) = (0xfee1_dead_u32, 672_274_793, 0);
            call(
                libc::SYS_reboot,
                [one.into(), two.into(), off.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    ),
    node(
        "reboot(2)",
        |_, _| {
            // Only what Ctrl-Alt-Del does.
            let (one, two, off) = (0xfee1_dead_u32, 672_274_793, 0);
            call(
                libc::SYS_reboot,
                [one.into(), two.into(), off.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    ),
    node(
        "clock_settime(2)",
        |_, _| {
            let mut now = [0; 16];
            call(
                libc::SYS_clock_gettime,
                [0.into(), now.as_mut_slice().into()],
            )?;
            call(libc::SYS_clock_settime, [0.into(), now.as_slice().into()]).map(drop)
        },
        |_, _| {
            let mut now = [0; 16];
            call(
                libc::SYS_clock_gettime,
                [0.into(), now.as_mut_slice().into()],
            )
            .map(drop)
        },
    ),
    node(
        "sethostname(2) of the host",
        |_, _| {
            let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
            let name = name.trim_end();
            let length = name.len();
            let name = text(name)?;
            call(libc::SYS_sethostname, [(&name).into(), length.into()]).map(drop)
        },
        |_, _| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;
            call(libc::SYS_sethostname, [c"own".into(), 3.into()]).map(drop)
        },
    )
    .known("the name of a zone that shares the namespace of names with the host"),
    node(
        "syslog(2), clearing",
        |_, _| {
            const CLEAR: i32 = 5;
            call(libc::SYS_syslog, [CLEAR.into(), 0.into(), 0.into()]).map(drop)
        },
        uses_files,
    ),
    node(
        "acct(2)",
        |_, _| call(libc::SYS_acct, [0.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "swapoff(2)",
        |_, _| {
            let done = call(libc::SYS_swapoff, [c"/dev/vda".into()]);
            after_the_hooks(done.map(drop), libc::EINVAL)
        },
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "binfmt_misc, by a mount of one's own",
        |_, own| {
            private()?;
            let at = own.path("empty");
            mount(
                Some("binfmt_misc"),
                &at,
                Some("binfmt_misc"),
                MsFlags::empty(),
                None::<&str>,
            )?;
            fs::write(at.join("register"), ":attack:M::SYVA::/bin/busybox:")
        },
        mounts_tmpfs,
    )
    .lacking(&[libc::ENODEV]),
];

/// A terminal of the host's.
pub const TERMINAL: &str = "/run/attack/terminal";

/// An error that comes after the question whether it may be done: it might have been.
fn after_the_hooks(done: io::Result<()>, then: i32) -> io::Result<()> {
    match done {
        Err(error) if error.raw_os_error() == Some(then) => Ok(()),
        done => done,
    }
}

fn opens(path: &str) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Writes what it holds.
fn rewrite(path: &str) -> io::Result<()> {
    rewrite_at(Path::new(path))
}

fn rewrite_at(path: &Path) -> io::Result<()> {
    let held = fs::read(path)?;
    fs::write(path, held)
}

/// A setting of a namespace of one's own.
fn own_sysctl(_: &Aim, _: &Aim) -> io::Result<()> {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)?;
    rewrite("/proc/sys/net/ipv4/ip_forward")?;
    rewrite("/proc/sys/kernel/hostname")?;
    rewrite("/proc/sys/kernel/shmmax")
}

/// What a program does all day.
fn uses_files(it: &Aim, own: &Aim) -> io::Result<()> {
    fs::read(it.path("secret"))?;
    fs::write(own.path("new"), "text")
}

fn mounts_tmpfs(_: &Aim, own: &Aim) -> io::Result<()> {
    private()?;
    let at = own.path("empty");
    Ok(mount(
        Some("tmpfs"),
        &at,
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )?)
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

fn configured(_: &Aim) -> io::Result<()> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
    use rustix::mount::{fsconfig_create, fsconfig_set_string, fsmount, fsopen};
    let context = fsopen("ext4", FsOpenFlags::empty())?;
    fsconfig_set_string(&context, "source", "/dev/vda")?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::empty(), MountAttrFlags::empty())?;
    Ok(())
}

fn tracing(name: &str) -> std::path::PathBuf {
    Path::new("/sys/kernel/tracing").join(name)
}

/// A file of the first PCI device that has it.
fn pci(name: &str) -> io::Result<std::path::PathBuf> {
    for device in fs::read_dir("/sys/bus/pci/devices")? {
        let path = device?.path().join(name);
        if path.exists() {
            return Ok(path);
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOENT))
}
