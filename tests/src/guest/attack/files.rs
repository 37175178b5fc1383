//! Every way to open a file that is another's.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::libc;

use super::aim::{Aim, SECRET};
use super::handles;
use super::mounts::{SPARE, bind, mount_tmpfs, private};
use super::sys::{self, call, text, words};
use super::technique::{Technique, node, zone};
use crate::guest::{raw, uring};

pub const ALL: &[Technique] = &[
    zone("open(2), to read", |it, _| {
        reads(File::open(it.path("secret"))?)
    }),
    zone("open(2), to write", |it, _| {
        fs::write(it.path("secret"), SECRET)
    }),
    zone("open(2), to write and execute nothing", |it, _| {
        sys::open(&it.path("secret"), libc::O_WRONLY | libc::O_APPEND).map(drop)
    }),
    zone(
        "open(2) with O_PATH, then through /proc/self/fd",
        |it, _| {
            let file = sys::open(&it.path("secret"), libc::O_PATH)?;
            reads(File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
        },
    ),
    zone(
        "open(2) by a name outside that the host gave it",
        |it, _| reads(File::open(it.published())?),
    ),
    zone("openat2(2)", |it, _| {
        let how = words(&[0, 0, 0]);
        let size = how.len();
        let path = it.text("secret")?;
        let file = sys::descriptor(
            libc::SYS_openat2,
            [
                libc::AT_FDCWD.into(),
                (&path).into(),
                how.as_slice().into(),
                size.into(),
            ],
        )?;
        reads(File::from(file))
    }),
    zone("from inside its directory", |it, _| {
        std::env::set_current_dir(&it.dir)?;
        reads(File::open("secret")?)
    }),
    zone("through a symbolic link of one's own", |it, own| {
        let link = own.path("planted");
        std::os::unix::fs::symlink(it.path("secret"), &link)?;
        reads(File::open(link)?)
    }),
    zone("through a symbolic link of its own", |it, _| {
        reads(File::open(it.path("link"))?)
    }),
    zone("through chroot(2)", |it, _| {
        nix::unistd::chroot(&it.dir)?;
        reads(File::open("/secret")?)
    }),
    zone("by its handle", |it, _| {
        reads(by_handle(Path::new("/srv"), &it.path("secret"))?)
    })
    .twin(opens_own),
    zone("by the handle of its directory", |it, _| {
        let dir = by_handle(Path::new("/srv"), &it.dir)?;
        reads(at(&dir, c"secret")?)
    })
    .twin(opens_own),
    zone("by its handle with O_PATH, and again", |it, _| {
        let handle = raw::handle_of(&it.path("secret"))?;
        let file = handles::path(&File::open("/srv")?, &handle)?;
        reads(File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
    })
    .twin(opens_own),
    node(
        "leaving one's mounts by the handle of the root above",
        |_, own| {
            let root = raw::handle_of(Path::new("/srv"))?;
            // All that is left to be seen is the own directory.
            private()?;
            bind(&own.dir, &own.dir)?;
            let own = File::open(&own.dir)?;
            let dir = File::from(handles::path(&own, &root)?);
            at(&dir, c"pods").map(drop)
        },
        opens_own,
    ),
    zone("by io_uring", |it, _| {
        uring::open(&it.path("secret"), false)
    }),
    zone("by a worker of io_uring", |it, _| {
        uring::open(&it.path("secret"), true)
    }),
    zone("through its process' /proc/PID/root", |it, _| {
        let inside = it.path("secret");
        let inside = inside.strip_prefix("/").map_err(io::Error::other)?;
        reads(File::open(it.proc("root").join(inside))?)
    }),
    zone("through its process' /proc/PID/fd", |it, _| {
        reads(File::open(it.proc(&format!("fd/{}", it.secret)))?)
    }),
    zone("through the root of a host's process", |it, _| {
        let inside = it.path("secret");
        let inside = inside.strip_prefix("/").map_err(io::Error::other)?;
        reads(File::open(Path::new("/proc/1/root").join(inside))?)
    })
    .twin(|_, own| {
        let inside = own.path("secret");
        let inside = inside.strip_prefix("/").map_err(io::Error::other)?;
        reads(File::open(Path::new("/proc/self/root").join(inside))?)
    }),
    zone("listing its directory", |it, _| {
        let mut names = fs::read_dir(it.path("folder"))?;
        names.try_for_each(|name| name.map(drop))
    }),
    zone("a new file in it", |it, _| {
        File::create_new(it.path("new")).map(drop)
    }),
    zone("O_CREAT of what is there", |it, _| {
        sys::open(&it.path("secret"), libc::O_CREAT | libc::O_RDONLY).map(drop)
    }),
    zone("O_TRUNC", |it, _| {
        sys::open(&it.path("secret"), libc::O_TRUNC | libc::O_WRONLY).map(drop)
    }),
    zone("O_TMPFILE in it", |it, _| {
        sys::open(&it.path("folder"), libc::O_TMPFILE | libc::O_RDWR).map(drop)
    }),
    zone("a file made after it was claimed", |it, _| {
        reads(File::open(it.path("folder/inner"))?)
    }),
    zone("inotify(7) of it", |it, _| {
        let watcher = sys::descriptor(libc::SYS_inotify_init1, [0.into()])?;
        let path = it.text("secret")?;
        call(
            libc::SYS_inotify_add_watch,
            [sys::fd(&watcher), (&path).into(), libc::IN_OPEN.into()],
        )
        .map(drop)
    }),
    zone("inotify(7) of its directory", |it, _| {
        let watcher = sys::descriptor(libc::SYS_inotify_init1, [0.into()])?;
        let path = text(&it.dir)?;
        call(
            libc::SYS_inotify_add_watch,
            [sys::fd(&watcher), (&path).into(), libc::IN_OPEN.into()],
        )
        .map(drop)
    }),
    zone("fanotify(7) of it", |it, _| {
        fanotify(libc::FAN_CLASS_NOTIF, 0, libc::FAN_OPEN, &it.path("secret"))
    }),
    zone("fanotify(7) of it, to decide over its opening", |it, _| {
        let mask = libc::FAN_OPEN_PERM;
        fanotify(libc::FAN_CLASS_CONTENT, 0, mask, &it.path("secret"))
    })
    .lacking(&[libc::EINVAL]),
    zone("fanotify(7) of all that is mounted with it", |_, _| {
        let mark = libc::FAN_MARK_MOUNT;
        fanotify(
            libc::FAN_CLASS_NOTIF,
            mark,
            libc::FAN_OPEN,
            Path::new("/srv"),
        )
    })
    .twin(|_, own| fanotify(libc::FAN_CLASS_NOTIF, 0, libc::FAN_OPEN, &own.dir)),
    zone("fanotify(7) of its file system", |_, _| {
        let mark = libc::FAN_MARK_FILESYSTEM;
        fanotify(
            libc::FAN_CLASS_NOTIF,
            mark,
            libc::FAN_OPEN,
            Path::new("/srv"),
        )
    })
    .twin(|_, own| fanotify(libc::FAN_CLASS_NOTIF, 0, libc::FAN_OPEN, &own.dir)),
    node(
        "fanotify(7) of an unclaimed file of the host's, to decide over its opening",
        |_, _| decides(0, Path::new(SPARE)),
        |_, own| decides_on_own(0, own),
    )
    .lacking(&[libc::EINVAL]),
    node(
        "fanotify(7) of a file system of the host's, to decide over what is opened there",
        |_, _| decides(libc::FAN_MARK_FILESYSTEM, Path::new(SPARE)),
        |_, own| decides_on_own(libc::FAN_MARK_FILESYSTEM, own),
    )
    .lacking(&[libc::EINVAL]),
    node(
        "fanotify(7) of a mount of the host's, to decide over what is opened there",
        |_, _| decides(libc::FAN_MARK_MOUNT, Path::new(SPARE)),
        |_, _| {
            private()?;
            decides(libc::FAN_MARK_MOUNT, Path::new(SPARE))
        },
    )
    .lacking(&[libc::EINVAL]),
];

fn by_handle(mount: &Path, path: &Path) -> io::Result<File> {
    let handle = crate::guest::mutating::digits(&raw::handle_of(path)?);
    raw::open_by_handle(mount, &handle)
}

fn opens_own(_: &Aim, own: &Aim) -> io::Result<()> {
    reads(File::open(own.path("secret"))?)
}

/// Of a file system that nobody else has mounted.
fn decides_on_own(mark: u32, own: &Aim) -> io::Result<()> {
    private()?;
    mount_tmpfs(&own.path("empty"))?;
    decides(mark, &own.path("empty"))
}

fn decides(mark: u32, path: &Path) -> io::Result<()> {
    fanotify(libc::FAN_CLASS_CONTENT, mark, libc::FAN_OPEN_PERM, path)
}

/// Whether what is open is the secret.
pub fn reads(mut file: File) -> io::Result<()> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    if text == SECRET {
        return Ok(());
    }
    Err(io::Error::other("opened, but it is not the secret"))
}

fn at(dir: &File, name: &std::ffi::CStr) -> io::Result<File> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let file = sys::descriptor(
        libc::SYS_openat,
        [sys::fd(dir), name.into(), flags.into(), 0.into()],
    )?;
    Ok(File::from(file))
}

fn fanotify(class: u32, mark: u32, mask: u64, path: &Path) -> io::Result<()> {
    let listener = sys::descriptor(
        libc::SYS_fanotify_init,
        [class.into(), libc::O_RDONLY.into()],
    )?;
    let path = text(path)?;
    let mark = mark | libc::FAN_MARK_ADD;
    call(
        libc::SYS_fanotify_mark,
        [
            sys::fd(&listener),
            mark.into(),
            (mask as i64).into(),
            libc::AT_FDCWD.into(),
            (&path).into(),
        ],
    )
    .map(drop)
}
