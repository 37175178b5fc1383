//! Devices that are the node's: disks, opened raw and mounted, and what leads to them, to the screen and to what
//! is typed.

use std::path::Path;
use std::process::Command;

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};

use crate::guest::enforce::world::{TWO, World};
use crate::guest::{Checks, Failure};

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, free) = (world.two.clone(), world.free.clone());
    let privileged = world.privileged.clone();
    let (disk, mount) = (Path::new("/dev/vda"), Path::new("/tmp/engine-disk"));
    std::fs::create_dir_all(mount)?;
    let made = Command::new("mke2fs").arg(disk).output()?;
    if !made.status.success() {
        return Err(format!("mke2fs: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    // A node of its own making, elsewhere, leads to the same disk.
    let node = Path::new("/tmp/engine-node");
    let device = std::os::unix::fs::MetadataExt::rdev(&std::fs::metadata(disk)?);
    let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
    nix::sys::stat::mknod(node, nix::sys::stat::SFlag::S_IFBLK, mode, device)?;
    let others = ["/dev/mapper/control", "/dev/input/event0", "/dev/vcs"].map(Path::new);
    for path in [disk, node].into_iter().chain(others) {
        if !path.exists() {
            checks.note(format!("this kernel has no {}", path.display()));
            continue;
        }
        for (action, how) in [("open", "read"), ("write", "write")] {
            let claim = format!("zone two opens {} to {how}", path.display());
            world.refused(checks, &claim, Hook::FileOpen, &two, action, &[path])?;
            for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
                let claim = format!("{who} opens {} to {how}", path.display());
                world.allowed(checks, &claim, cgroup, action, &[path])?;
            }
        }
    }
    for action in ["mount-disk", "configure-disk"] {
        let args = [disk, mount];
        let claim = format!("zone two: {action}");
        world.refused(checks, &claim, Hook::SbSetMntOpts, &two, action, &args)?;
        for (who, cgroup) in [("a host task", &free), ("a privileged zone", &privileged)] {
            world.allowed(checks, &format!("{who}: {action}"), cgroup, action, &args)?;
        }
    }
    let pair = Pair::new(ZoneId::HOST, TWO);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    let claim = "a pair with the host opens a disk";
    world.allowed(checks, claim, &two, "open", &[disk])?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    let claim = "zone two mounts what is on no disk";
    world.allowed(checks, claim, &two, "mount-and-unmount", &[mount])
}
