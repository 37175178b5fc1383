//! System calls about whole file systems, and about what others do with files.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, unshare};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};
use nix::sys::quota::{QuotaType, quotactl_off, quotactl_sync};
use rustix::fs::CWD;
use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};

use super::acting::private;

/// What the host has mounted, and every copy of its mount namespace.
pub const HOSTS: &str = "/run";

/// The disk that suite `engine` has made a file system on.
const DISK: &str = "/dev/vda";

/// Mounts the disk for the host.
pub fn mount_disk() -> io::Result<()> {
    let at = "/tmp/engine-mounted";
    fs::create_dir_all(at)?;
    let (flags, data) = (MsFlags::empty(), None::<&str>);
    Ok(nix::mount::mount(
        Some(DISK),
        at,
        Some("ext4"),
        flags,
        data,
    )?)
}

pub fn quotas_off() -> io::Result<()> {
    Ok(quotactl_off(QuotaType::USRQUOTA, DISK)?)
}

pub fn sync_quotas() -> io::Result<()> {
    Ok(quotactl_sync(QuotaType::USRQUOTA, Some(DISK))?)
}

/// In a copy of the mount namespace: what is done to a mount there stays there.
pub fn in_copy(act: impl FnOnce(&str) -> io::Result<()>) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    act(HOSTS)
}

/// The same on a file system that nobody else has.
pub fn in_own_tmpfs(act: impl FnOnce(&str) -> io::Result<()>) -> io::Result<()> {
    private()?;
    let own = "/tmp/engine-own";
    fs::create_dir_all(own)?;
    let (flags, data) = (MsFlags::empty(), None::<&str>);
    nix::mount::mount(Some("tmpfs"), own, Some("tmpfs"), flags, data)?;
    act(own)?;
    Ok(nix::mount::umount2(own, MntFlags::MNT_DETACH)?)
}

/// Gives a file system the options that it has.
pub fn remount(at: &str) -> io::Result<()> {
    let (none, flags) = (None::<&str>, MsFlags::MS_REMOUNT);
    Ok(nix::mount::mount(none, at, none, flags, none)?)
}

/// The same by the newer calls.
pub fn reconfigure(at: &str) -> io::Result<()> {
    let context = fspick(CWD, at, FsPickFlags::FSPICK_CLOEXEC)?;
    fsconfig_set_flag(&context, "rw")?;
    Ok(fsconfig_reconfigure(&context)?)
}

/// Over whose opening a listener decides.
#[derive(Clone, Copy)]
pub enum Over {
    File,
    Mount,
    FileSystem,
}

/// Decides over what is opened there, until the listener is closed, which lets everyone go on.
pub fn decide(at: &str, over: Over) -> io::Result<()> {
    let flags = match over {
        Over::File => MarkFlags::empty(),
        Over::Mount => MarkFlags::FAN_MARK_MOUNT,
        Over::FileSystem => MarkFlags::FAN_MARK_FILESYSTEM,
    };
    let listener = listener(InitFlags::FAN_CLASS_CONTENT)?;
    let flags = MarkFlags::FAN_MARK_ADD | flags;
    let path = Some(Path::new(at));
    Ok(listener.mark(flags, MaskFlags::FAN_OPEN_PERM, CWD, path)?)
}

/// Is told of what is opened there, and decides nothing.
pub fn watch(at: &str) -> io::Result<()> {
    let listener = listener(InitFlags::FAN_CLASS_NOTIF)?;
    let (flags, mask) = (MarkFlags::FAN_MARK_ADD, MaskFlags::FAN_OPEN);
    Ok(listener.mark(flags, mask, CWD, Some(Path::new(at)))?)
}

fn listener(class: InitFlags) -> io::Result<Fanotify> {
    Ok(Fanotify::init(class, EventFFlags::O_RDONLY)?)
}
