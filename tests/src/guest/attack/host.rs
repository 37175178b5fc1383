//! The files through which root in a container becomes root on the host. Each is tried so that it does no
//! harm where it opens: by writing what is there already, or nothing.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;
use nix::mount::{MsFlags, mount};

use super::aim::Aim;
use super::mounts::private;
use super::technique::{Technique, node};

pub const ALL: &[Technique] = &[
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

pub fn opens(path: &str) -> io::Result<()> {
    File::open(path).map(drop)
}

/// Writes what it holds.
pub fn rewrite(path: &str) -> io::Result<()> {
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
pub fn uses_files(it: &Aim, own: &Aim) -> io::Result<()> {
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
