//! The BPF file system that pins lie on, and the mount that keeps it.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use syva_model::hook::Hook;

use crate::guest::actor::{Outcome, act};
use crate::guest::enforce::world::World;
use crate::guest::{Checks, Failure};

const BPF: &str = "/tmp/engine-bpf";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let root = Path::new(BPF);
    fs::create_dir_all(root)?;
    checks.allowed("a host task mounts it", &act(&free, "mount-bpf", &[root]));
    let (dir, pin, other) = (root.join("dir"), root.join("dir/pin"), root.join("other"));
    fs::create_dir(&dir)?;
    let pinned = act(&free, "bpf", &[Path::new("pin"), &pin]);
    checks.allowed("a host task pins a map", &pinned);
    for (claim, hook, action, args) in [
        ("lists it", Hook::FileOpen, "open", vec![dir.as_path()]),
        ("opens the pin", Hook::FileOpen, "open", vec![pin.as_path()]),
        (
            "removes the pin",
            Hook::InodeUnlink,
            "unlink",
            vec![pin.as_path()],
        ),
        (
            "renames the pin",
            Hook::InodeRename,
            "rename",
            vec![pin.as_path(), other.as_path()],
        ),
        (
            "renames the directory",
            Hook::InodeRename,
            "rename",
            vec![dir.as_path(), other.as_path()],
        ),
        (
            "removes the directory",
            Hook::InodeRmdir,
            "rmdir",
            vec![dir.as_path()],
        ),
        (
            "makes a directory",
            Hook::InodeMkdir,
            "mkdir",
            vec![other.as_path()],
        ),
        (
            "makes a link",
            Hook::InodeSymlink,
            "symlink",
            vec![other.as_path()],
        ),
        (
            "changes the mode",
            Hook::InodeSetattr,
            "chmod",
            vec![dir.as_path()],
        ),
        (
            "changes the owner",
            Hook::InodeSetattr,
            "chown",
            vec![pin.as_path()],
        ),
        ("unmounts it", Hook::SbUmount, "unmount", vec![root]),
        (
            "unmounts it lazily",
            Hook::SbUmount,
            "unmount-lazily",
            vec![root],
        ),
        (
            "gets the pin",
            Hook::Bpf,
            "bpf",
            vec![Path::new("get"), pin.as_path()],
        ),
    ] {
        let claim = format!("zone two, the BPF file system: {claim}");
        world.refused(checks, &claim, hook, &two, action, &args)?;
    }
    // A map is made first, which is allowed.
    let claim = "zone two, the BPF file system: pins a map of its own";
    let attempt = || act(&two, "bpf", &[Path::new("pin"), &other]);
    world.refused_as(checks, claim, Hook::Bpf, Errno::PERM, attempt)?;
    checks.that("the pin is there", pin.exists(), "it is gone");

    let above = Path::new("/tmp/engine-mounts");
    fs::create_dir_all(above)?;
    let mount = || act(&free, "mount-tmpfs", &[above]);
    checks.allowed("a host task mounts something else", &mount());
    for action in ["unmount", "unmount-lazily"] {
        let claim = format!("zone two, a mount in the host's namespace: {action}");
        world.refused(checks, &claim, Hook::SbUmount, &two, action, &[above])?;
    }
    let propagation =
        |flags| nix::mount::mount(None::<&str>, above, None::<&str>, flags, None::<&str>);
    let child = above.join("child");
    fs::create_dir(&child)?;
    propagation(nix::mount::MsFlags::MS_SHARED)?;
    checks.allowed(
        "a host task mounts below that",
        &act(&free, "mount-tmpfs", &[&child]),
    );
    let claim = "zone two, in a copy of the host's namespace, a mount that is shared with it";
    world.refused(
        checks,
        claim,
        Hook::SbUmount,
        &two,
        "unmount-in-copy",
        &[&child],
    )?;
    propagation(nix::mount::MsFlags::MS_PRIVATE)?;
    let claim = "zone two, in a copy of the host's namespace, a mount that is not shared with it";
    world.allowed(checks, claim, &two, "unmount-in-copy", &[&child])?;
    checks.allowed("a host task unmounts it", &act(&free, "unmount", &[&child]));
    let claim = "zone two mounts and unmounts in a namespace of its own";
    world.allowed(checks, claim, &two, "mount-and-unmount", &[above])?;
    let privileged = world.privileged.clone();
    let claim = "a privileged zone unmounts in the host's namespace";
    world.allowed(checks, claim, &privileged, "unmount", &[above])?;

    for (claim, action, args) in [
        (
            "renames the pin",
            "rename",
            vec![pin.as_path(), other.as_path()],
        ),
        ("removes the pin", "unlink", vec![other.as_path()]),
        ("unmounts it", "unmount", vec![root]),
    ] {
        let claim = format!("a host task, the BPF file system: {claim}");
        let attempt = || -> Outcome { act(&free, action, &args) };
        world.goes_on(checks, &claim, attempt)?;
    }
    Ok(())
}
