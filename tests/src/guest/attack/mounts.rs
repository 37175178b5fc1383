//! Mounts: another path to a file, and another file at its path. And the namespaces they are in.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::aim::Aim;
use super::files::reads;
use super::handles;
use super::sys::{self, call, text};
use super::technique::{Against, Technique, node, zone};
use crate::guest::mounting;

pub const ALL: &[Technique] = &[
    zone("a bind mount of it", |it, own| {
        private()?;
        bind(&it.dir, &own.path("empty"))?;
        reads(File::open(own.path("empty/secret"))?)
    }),
    zone("a bind mount of its file", |it, own| {
        private()?;
        bind(&it.path("secret"), &own.path("other"))?;
        reads(File::open(own.path("other"))?)
    }),
    zone("a bind mount in a user namespace", |it, own| {
        own_user()?;
        bind(&it.dir, &own.path("empty"))?;
        reads(File::open(own.path("empty/secret"))?)
    })
    .lacking(&[libc::ENOSYS, libc::EINVAL]),
    zone("a copy of the tree with open_tree(2)", |it, _| {
        const OPEN_TREE_CLONE: i32 = 1;
        let path = text(&it.dir)?;
        let tree = sys::descriptor(
            libc::SYS_open_tree,
            [
                libc::AT_FDCWD.into(),
                (&path).into(),
                OPEN_TREE_CLONE.into(),
            ],
        )?;
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let file = sys::descriptor(
            libc::SYS_openat,
            [sys::fd(&tree), c"secret".into(), flags.into(), 0.into()],
        )?;
        reads(File::from(file))
    }),
    zone("an overlay over it", |it, own| {
        private()?;
        mounting::overlay(&it.dir, &scratch(own)?)?;
        reads(File::open(own.path("tmp/merged/secret"))?)
    }),
    zone("an overlay over it by fsopen(2)", |it, own| {
        private()?;
        mounting::overlay_configured(&it.dir, &scratch(own)?)?;
        reads(File::open(own.path("tmp/merged/secret"))?)
    }),
    zone("its file system, mounted again", |it, own| {
        private()?;
        let target = own.path("empty");
        mount(
            Some("/dev/vda"),
            &target,
            Some("ext4"),
            MsFlags::empty(),
            None::<&str>,
        )?;
        let inside = it.path("secret");
        let inside = inside.strip_prefix("/srv").map_err(io::Error::other)?;
        reads(File::open(target.join(inside))?)
    })
    .twin(|_, own| {
        private()?;
        mount_tmpfs(&own.path("empty"))
    }),
    Technique {
        against: Against::Zone,
        ..node(
            "something else mounted over it, for all to see",
            |it, _| {
                mount_tmpfs(&it.path("empty"))?;
                umount2(&it.path("empty"), MntFlags::MNT_DETACH)?;
                Ok(())
            },
            |_, own| {
                private()?;
                mount_tmpfs(&own.path("empty"))
            },
        )
    },
    Technique {
        against: Against::Zone,
        ..node(
            "one's own mounted over it, for all to see",
            |it, own| {
                bind(&own.path("folder"), &it.path("empty"))?;
                umount2(&it.path("empty"), MntFlags::MNT_DETACH)?;
                Ok(())
            },
            |_, own| {
                private()?;
                bind(&own.path("folder"), &own.path("empty"))
            },
        )
    },
    node(
        "a mount among the host's",
        |_, own| {
            let target = Path::new("/mnt");
            bind(&own.dir, target)?;
            umount2(target, MntFlags::MNT_DETACH)?;
            Ok(())
        },
        |_, own| {
            private()?;
            bind(&own.dir, Path::new("/mnt"))
        },
    ),
    node(
        "a mount among the host's by move_mount(2)",
        |_, own| {
            const OPEN_TREE_CLONE: i32 = 1;
            let path = text(&own.dir)?;
            let tree = sys::descriptor(
                libc::SYS_open_tree,
                [
                    libc::AT_FDCWD.into(),
                    (&path).into(),
                    OPEN_TREE_CLONE.into(),
                ],
            )?;
            const FROM_DESCRIPTOR: i32 = 4;
            call(
                libc::SYS_move_mount,
                [
                    sys::fd(&tree),
                    c"".into(),
                    libc::AT_FDCWD.into(),
                    c"/mnt".into(),
                    FROM_DESCRIPTOR.into(),
                ],
            )?;
            umount2("/mnt", MntFlags::MNT_DETACH)?;
            Ok(())
        },
        |_, own| {
            private()?;
            bind(&own.dir, Path::new("/mnt"))
        },
    ),
    node(
        "remounting the host's read-only",
        |_, _| {
            remount(SPARE, MsFlags::MS_RDONLY)?;
            remount(SPARE, MsFlags::empty())
        },
        remounts_own,
    ),
    node(
        "remounting what the host has mounted as well, in a namespace of one's own",
        |_, _| {
            private()?;
            remount(SPARE, MsFlags::MS_RDONLY)?;
            remount(SPARE, MsFlags::empty())
        },
        remounts_own,
    ),
    node(
        "the same with fspick(2)",
        |_, _| {
            private()?;
            reconfigure(Path::new(SPARE), "ro")?;
            reconfigure(Path::new(SPARE), "rw")
        },
        |_, own| {
            private()?;
            mount_tmpfs(&own.path("empty"))?;
            reconfigure(&own.path("empty"), "ro")
        },
    ),
    node(
        "unmounting the host's",
        |_, _| {
            umount2(SPARE, MntFlags::MNT_DETACH)?;
            Ok(())
        },
        |_, own| {
            private()?;
            mount_tmpfs(&own.path("empty"))?;
            Ok(umount2(&own.path("empty"), MntFlags::MNT_DETACH)?)
        },
    ),
    zone("setns(2) to its mounts", |it, _| {
        let namespace = File::open(it.proc("ns/mnt"))?;
        enters(&namespace, CloneFlags::CLONE_NEWNS)
    })
    .twin(|_, _| {
        let namespace = File::open("/proc/self/ns/mnt")?;
        enters(&namespace, CloneFlags::CLONE_NEWNS)
    })
    .refused_with(NO_NAMESPACE),
    zone("setns(2) by its pidfd", |it, _| {
        let process = sys::descriptor(libc::SYS_pidfd_open, [it.pid.into(), 0.into()])?;
        enters(&process, CloneFlags::CLONE_NEWNS)
    }),
    zone("setns(2) to a namespace that its pidfd gives", |it, _| {
        let process = sys::descriptor(libc::SYS_pidfd_open, [it.pid.into(), 0.into()])?;
        let given = [sys::fd(&process), PIDFD_GET_MNT_NAMESPACE.into(), 0.into()];
        let namespace = sys::descriptor(libc::SYS_ioctl, given)?;
        enters(&namespace, CloneFlags::CLONE_NEWNS)
    })
    .lacking(&[libc::ENOTTY, libc::EINVAL]),
    node(
        "setns(2) to the next namespace of mounts",
        |_, _| {
            let own = File::open("/proc/self/ns/mnt")?;
            let mut info = sys::words(&[0, 0]);
            let beside = [NS_MNT_GET_NEXT, NS_MNT_GET_PREV].into_iter().map(|way| {
                let asked = [sys::fd(&own), way.into(), info.as_mut_slice().into()];
                sys::descriptor(libc::SYS_ioctl, asked)
            });
            // One of the two may be the end of the list.
            let found: io::Result<Vec<_>> = beside
                .filter(|found| {
                    !found
                        .as_ref()
                        .is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT))
                })
                .collect();
            let namespace = found?.pop().ok_or(io::ErrorKind::NotFound)?;
            enters(&namespace, CloneFlags::CLONE_NEWNS)
        },
        |_, _| enters(&File::open("/proc/self/ns/mnt")?, CloneFlags::CLONE_NEWNS),
    )
    .lacking(&[libc::ENOTTY]),
    node(
        "setns(2) to a namespace opened by a handle",
        |_, _| {
            enters(
                &handles::namespace(handles::plainly)?,
                CloneFlags::CLONE_NEWNS,
            )
        },
        |_, _| enters(&File::open("/proc/self/ns/mnt")?, CloneFlags::CLONE_NEWNS),
    )
    .refused_with(handles::REFUSALS),
    node(
        "setns(2) to a namespace opened by a handle with O_PATH, and again",
        |_, _| {
            enters(
                &handles::namespace(handles::reopened)?,
                CloneFlags::CLONE_NEWNS,
            )
        },
        |_, _| enters(&File::open("/proc/self/ns/mnt")?, CloneFlags::CLONE_NEWNS),
    )
    .refused_with(handles::REFUSALS),
    node(
        "setns(2) to a namespace opened by a handle, by a number of more than 32 bits",
        |_, _| {
            enters(
                &handles::namespace(handles::above)?,
                CloneFlags::CLONE_NEWNS,
            )
        },
        |_, _| enters(&File::open("/proc/self/ns/mnt")?, CloneFlags::CLONE_NEWNS),
    )
    .refused_with(handles::REFUSALS),
    node(
        "setns(2) to a namespace opened by a handle, by int $0x80",
        |_, _| {
            enters(
                &handles::namespace(handles::narrowly)?,
                CloneFlags::CLONE_NEWNS,
            )
        },
        |_, _| enters(&File::open("/proc/self/ns/mnt")?, CloneFlags::CLONE_NEWNS),
    )
    .refused_with(handles::REFUSALS),
    node(
        "setns(2) to the host's mounts",
        |_, _| {
            let namespace = File::open("/proc/1/ns/mnt")?;
            enters(&namespace, CloneFlags::CLONE_NEWNS)
        },
        |_, _| {
            let namespace = File::open("/proc/self/ns/mnt")?;
            enters(&namespace, CloneFlags::CLONE_NEWNS)
        },
    )
    .refused_with(NO_NAMESPACE),
];

/// `_IO(0xff, 3)`, since 6.11.
const PIDFD_GET_MNT_NAMESPACE: u32 = 0xff03;
/// `_IOR(0xb7, 11, struct mnt_ns_info)` and the one after it, since 6.12.
const NS_MNT_GET_NEXT: u32 = 0x8010_b70b;
const NS_MNT_GET_PREV: u32 = 0x8010_b70c;
/// Refused at the link, for which 5.10.262 opens the directory it is in, so that setns(2) finds no namespace.
const NO_NAMESPACE: &[i32] = &[libc::EPERM, libc::EACCES, libc::EINVAL];

/// A mount of the host's that nobody needs.
pub const SPARE: &str = "/run/spare";

/// What the suite does between attacks: takes away what was mounted where none should be.
pub fn as_it_was() -> io::Result<()> {
    let mounted = fs::read_to_string("/proc/self/mounts")?;
    let points = || mounted.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points().filter(|point| point.starts_with("/srv/") || *point == "/mnt") {
        umount2(point, MntFlags::MNT_DETACH)?;
    }
    if !points().any(|point| point == SPARE) {
        mount_tmpfs(Path::new(SPARE))?;
    }
    Ok(())
}

/// A place for mounts that nobody else sees.
pub fn private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

fn own_user() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    fs::write("/proc/self/uid_map", "0 0 1")?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", "0 0 1")
}

pub fn bind(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )?)
}

pub fn mount_tmpfs(at: &Path) -> io::Result<()> {
    let flags = MsFlags::empty();
    Ok(mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        flags,
        None::<&str>,
    )?)
}

fn remount(at: impl AsRef<Path>, flags: MsFlags) -> io::Result<()> {
    let (at, flags) = (at.as_ref(), MsFlags::MS_REMOUNT | flags);
    Ok(mount(None::<&str>, at, None::<&str>, flags, None::<&str>)?)
}

fn remounts_own(_: &Aim, own: &Aim) -> io::Result<()> {
    private()?;
    mount_tmpfs(&own.path("empty"))?;
    remount(own.path("empty"), MsFlags::MS_RDONLY)
}

/// The same by the newer calls.
fn reconfigure(at: &Path, flag: &str) -> io::Result<()> {
    use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};
    let context = fspick(rustix::fs::CWD, at, FsPickFlags::FSPICK_CLOEXEC)?;
    fsconfig_set_flag(&context, flag)?;
    Ok(fsconfig_reconfigure(&context)?)
}

/// Removes a file of an overlay's lower layer, for which the kernel writes attributes that take CAP_SYS_ADMIN.
pub fn unlinks_behind_overlay(own: &Aim) -> io::Result<()> {
    mounting::overlay(&own.dir, &scratch(own)?)?;
    let path = own.text("tmp/merged/folder/inner")?;
    call(libc::SYS_unlink, [(&path).into()]).map(drop)
}

/// An overlay's upper layer must not lie in another overlay, nor on what the lower one is.
fn scratch(own: &Aim) -> io::Result<std::path::PathBuf> {
    let scratch = own.path("tmp");
    fs::create_dir_all(&scratch)?;
    mount_tmpfs(&scratch)?;
    Ok(scratch)
}

fn enters(namespace: &impl std::os::fd::AsFd, kind: CloneFlags) -> io::Result<()> {
    // Whoever shares its directories with another may not enter.
    unshare(CloneFlags::CLONE_FS)?;
    Ok(nix::sched::setns(namespace.as_fd(), kind)?)
}
