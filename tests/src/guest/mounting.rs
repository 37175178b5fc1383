//! Overlays mounted from inside a cgroup, in all the ways there are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
};

/// What an action answers when the overlay could not even be mounted, which is no verdict on a file.
pub const CANNOT_MOUNT: Errno = Errno::OPNOTSUPP;

/// The directories of an overlay over `lower`: `scratch` holds the rest.
struct Layers {
    options: [(&'static str, PathBuf); 3],
    merged: PathBuf,
}

impl Layers {
    fn make(lower: &Path, scratch: &Path) -> io::Result<Layers> {
        let made = |name| {
            let dir = scratch.join(name);
            fs::create_dir_all(&dir).map(|()| dir)
        };
        Ok(Layers {
            options: [
                ("lowerdir", lower.to_owned()),
                ("upperdir", made("upper")?),
                ("workdir", made("work")?),
            ],
            merged: made("merged")?,
        })
    }
}

/// Mounts an overlay over `lower` at `scratch`/merged, with mount(2).
pub fn overlay(lower: &Path, scratch: &Path) -> io::Result<()> {
    mounted(lower, scratch, "")
}

fn mounted(lower: &Path, scratch: &Path, more: &str) -> io::Result<()> {
    let layers = Layers::make(lower, scratch)?;
    let options = layers
        .options
        .iter()
        .map(|(name, dir)| format!("{name}={}", dir.display()));
    let options = options.collect::<Vec<_>>().join(",") + more;
    let options = std::ffi::CString::new(options)?;
    let flags = MountFlags::empty();
    Ok(rustix::mount::mount(
        "overlay",
        &layers.merged,
        "overlay",
        flags,
        options.as_c_str(),
    )?)
}

/// The same with fsopen(2), fsconfig(2), fsmount(2) and move_mount(2).
pub fn overlay_configured(lower: &Path, scratch: &Path) -> io::Result<()> {
    let layers = Layers::make(lower, scratch)?;
    let context = fsopen("overlay", FsOpenFlags::empty())?;
    for (name, dir) in &layers.options {
        fsconfig_set_string(&context, *name, dir.as_path())?;
    }
    fsconfig_create(&context)?;
    let detached = fsmount(&context, FsMountFlags::empty(), MountAttrFlags::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(&detached, "", CWD, &layers.merged, flags)?)
}

/// Mounts one in a user namespace of its own, and opens the file `name` through it.
pub fn in_user_namespace(lower: &Path, scratch: &Path, name: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/uid_map", "0 0 1")?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", "0 0 1")?;
    mounted(lower, scratch, ",userxattr").map_err(|error| {
        eprintln!("act: mounting an overlay in a user namespace: {error}");
        CANNOT_MOUNT
    })?;
    File::open(scratch.join("merged").join(name)).map(drop)
}

/// Mounts one in a mount namespace of its own, goes to the cgroup `later`, and opens the file `name`
/// through it once `scratch`/attached is there. `scratch`/mounted tells that it waits.
pub fn beforehand(lower: &Path, scratch: &Path, name: &Path, later: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    overlay(lower, scratch).map_err(|error| {
        eprintln!("act: mounting an overlay: {error}");
        CANNOT_MOUNT
    })?;
    fs::write(later.join("cgroup.procs"), "0")?;
    fs::write(scratch.join("mounted"), "")?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !scratch.join("attached").exists() {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    File::open(scratch.join("merged").join(name)).map(drop)
}
