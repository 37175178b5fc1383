//! Control groups: leaving one's own, and reaching into others.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::mount::{MsFlags, mount};

use super::aim::Aim;
use super::mounts::private;
use super::sys::{self, call, words};
use super::technique::{Technique, node, zone, zone_and_host};

/// Where an attacker who got out leaves a trace.
pub const EVIDENCE: &str = "/run/evidence";

const ROOT: &str = "/sys/fs/cgroup";

pub const ALL: &[Technique] = &[
    zone_and_host("writing oneself to its cgroup.procs", |it, own| {
        fs::write(it.cgroup.join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(into_a_child),
    zone_and_host("writing oneself to its cgroup.threads", |it, own| {
        // A threaded cgroup it is not, which the kernel says before anything else.
        File::options()
            .write(true)
            .open(it.cgroup.join("cgroup.threads"))?;
        fs::write(it.cgroup.join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(into_a_child),
    zone("writing oneself to the root's cgroup.procs", |_, own| {
        fs::write(Path::new(ROOT).join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(into_a_child),
    zone("writing oneself to the cgroup above", |_, own| {
        let above = own.cgroup.parent().ok_or(io::ErrorKind::NotFound)?;
        fs::write(above.join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(into_a_child),
    zone_and_host("the same from a nested cgroup", |it, own| {
        into_a_child(it, own)?;
        fs::write(it.cgroup.join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(into_a_child)
    // Whoever goes there is in the zone.
    .uncontrolled(),
    zone_and_host("writing a child to its cgroup.procs", |it, own| {
        moved_by_its_parent(&it.cgroup.join("cgroup.procs"), own)
    })
    .twin(into_a_child),
    zone_and_host("clone3(2) with CLONE_INTO_CGROUP", |it, own| {
        cloned_into(&it.cgroup, own)
    })
    .twin(|_, own| {
        let nested = nested(own)?;
        cloned_into(&nested, own).or_else(|error| {
            // Inside the own zone it is not outside.
            if error.raw_os_error() == Some(libc::EXDEV) {
                Ok(())
            } else {
                Err(error)
            }
        })
    })
    .lacking(&[libc::ENOSYS]),
    zone_and_host("a second mount of the hierarchy", |it, own| {
        let at = own.path("empty");
        private()?;
        mount(
            Some("cgroup2"),
            &at,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )?;
        let inside = it.cgroup.strip_prefix(ROOT).map_err(io::Error::other)?;
        fs::write(at.join(inside).join("cgroup.procs"), "0")?;
        outside(own)
    })
    .twin(|_, own| {
        let at = own.path("empty");
        private()?;
        mount(
            Some("cgroup2"),
            &at,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )?;
        let inside = nested(own)?;
        let inside = inside.strip_prefix(ROOT).map_err(io::Error::other)?;
        fs::write(at.join(inside).join("cgroup.procs"), "0")
    }),
    zone_and_host(
        "through a descriptor that was open before the zone",
        |_, own| {
            // Standard input: whoever runs the suite opened it, and joined the zone after that.
            rustix::io::write(io::stdin(), b"0")?;
            outside(own)
        },
    )
    .twin(into_a_child),
    zone_and_host("pulling its process into one's own", |it, own| {
        fs::write(own.cgroup.join("cgroup.procs"), it.pid.to_string())
    })
    .twin(|it, own| {
        let nested = nested(own)?;
        fs::write(nested.join("cgroup.procs"), it.pid.to_string())
    }),
    zone_and_host("freezing it", |it, _| {
        fs::write(it.cgroup.join("cgroup.freeze"), "0")
    })
    .lacking(&[libc::ENOENT]),
    zone_and_host("killing it by cgroup.kill", |it, _| {
        fs::write(it.cgroup.join("cgroup.kill"), "1")
    })
    .twin(|_, own| {
        let nested = nested(own)?;
        fs::write(nested.join("cgroup.kill"), "1")
    })
    .lacking(&[libc::ENOENT, libc::EACCES]),
    zone_and_host("changing its limits", |it, _| {
        fs::write(it.cgroup.join("cgroup.max.depth"), "max")
    })
    .twin(|_, own| fs::write(nested(own)?.join("cgroup.max.depth"), "max")),
    zone_and_host("its cgroup.subtree_control", |it, _| {
        fs::write(it.cgroup.join("cgroup.subtree_control"), "")
    })
    .twin(|_, own| fs::write(nested(own)?.join("cgroup.subtree_control"), "")),
    zone_and_host("making a cgroup in it", |it, _| {
        let new = it.cgroup.join("planted");
        fs::create_dir(&new)?;
        fs::remove_dir(new)
    }),
    zone_and_host("removing a cgroup of it", |it, _| {
        fs::remove_dir(it.cgroup.join("spare"))
    }),
    zone_and_host("chmod(2) of its cgroup.procs", |it, _| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(it.cgroup.join("cgroup.procs"), mode)
    })
    .twin(|_, own| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(nested(own)?.join("cgroup.procs"), mode)
    }),
    zone_and_host("chown(2) of its cgroup", |it, _| {
        std::os::unix::fs::chown(&it.cgroup, Some(1), Some(1))?;
        std::os::unix::fs::chown(&it.cgroup, Some(0), Some(0))
    })
    .twin(|_, own| std::os::unix::fs::chown(nested(own)?, Some(1), Some(1))),
    node(
        "release_agent of a hierarchy of version 1",
        |_, own| {
            let at = own.path("empty");
            private()?;
            let named = "none,name=attacker";
            mount(
                Some("cgroup"),
                &at,
                Some("cgroup"),
                MsFlags::empty(),
                Some(named),
            )?;
            fs::write(at.join("release_agent"), "/run/evidence")
        },
        into_a_child,
    )
    .lacking(&[libc::EINVAL, libc::ENODEV]),
];

fn nested(own: &Aim) -> io::Result<PathBuf> {
    let nested = own.cgroup.join("nested");
    match fs::create_dir(&nested) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(nested),
    }
}

/// What everybody may: a cgroup of one's own, below one's own.
fn into_a_child(_: &Aim, own: &Aim) -> io::Result<()> {
    fs::write(nested(own)?.join("cgroup.procs"), "0")
}

/// Whether this process is outside its zone's cgroup; then it says so where it can be found.
fn outside(own: &Aim) -> io::Result<()> {
    let here = fs::read_to_string("/proc/self/cgroup")?;
    let inside = own.cgroup.strip_prefix(ROOT).map_err(io::Error::other)?;
    let inside = format!("0::/{}", inside.display());
    if here.lines().any(|line| line.starts_with(&inside)) {
        return Err(io::Error::from_raw_os_error(libc::EXDEV));
    }
    fs::write(EVIDENCE, here)
}

fn moved_by_its_parent(procs: &Path, own: &Aim) -> io::Result<()> {
    let (wait, go) = io::pipe()?;
    let child = sys::fork()?;
    if child == 0 {
        drop(go);
        let mut byte = [0];
        // Its end says as much as a byte.
        let _ = io::Read::read(&mut &wait, &mut byte);
        let status = outside(own)
            .err()
            .map_or(0, |error| error.raw_os_error().unwrap_or(1));
        sys::exit(status);
    }
    let moved = fs::write(procs, child.to_string());
    drop(go);
    let ended = sys::wait(child);
    moved.and(ended)
}

/// A child that begins in the cgroup.
fn cloned_into(cgroup: &Path, own: &Aim) -> io::Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let dir = sys::open(cgroup, libc::O_RDONLY | libc::O_DIRECTORY)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&dir);
    let mut arguments = [0_u64; 11];
    arguments[0] = CLONE_INTO_CGROUP;
    arguments[4] = libc::SIGCHLD as u64;
    arguments[10] = number as u64;
    let arguments = words(&arguments);
    let size = arguments.len();
    let child = call(libc::SYS_clone3, [arguments.as_slice().into(), size.into()])?;
    if child == 0 {
        let status = outside(own)
            .err()
            .map_or(0, |error| error.raw_os_error().unwrap_or(1));
        sys::exit(status);
    }
    sys::wait(i32::try_from(child).map_err(io::Error::other)?)
}
