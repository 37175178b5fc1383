//! Every way to change what is another's, or to carry it away.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::libc;

use super::aim::{Aim, PROGRAM, SECRET};
use super::files::reads;
use super::sys::{self, call};
use super::technique::{Technique, zone};
use crate::guest::mutating;

pub const ALL: &[Technique] = &[
    zone("mkdir(2)", |it, _| fs::create_dir(it.path("new"))),
    zone("mknod(2) of a fifo", |it, _| does("fifo", it, &["new"])),
    zone("mknod(2) of a device", |it, _| {
        let path = it.text("new")?;
        let zero = libc::makedev(1, 5);
        let kind = libc::S_IFCHR | 0o600;
        call(
            libc::SYS_mknodat,
            [
                libc::AT_FDCWD.into(),
                (&path).into(),
                kind.into(),
                (zero as i64).into(),
            ],
        )
        .map(drop)
    }),
    zone("symlink(2)", |it, _| does("symlink", it, &["new"])),
    zone("bind(2) of a socket", |it, _| does("bind", it, &["new"])),
    zone("link(2) out of it, and opening that", |it, own| {
        fs::hard_link(it.path("secret"), own.path("new"))?;
        reads(File::open(own.path("new"))?)
    }),
    zone("link(2) into it", |it, own| {
        fs::hard_link(own.path("other"), it.path("new"))
    }),
    zone("linkat(2) of a descriptor into it", |it, own| {
        mutating::perform("name-later", &[own.path("folder"), it.path("new")])
            .unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into()))
    }),
    zone("rename(2) out of it, and opening that", |it, own| {
        fs::rename(it.path("secret"), own.path("new"))?;
        reads(File::open(own.path("new"))?)
    }),
    zone("rename(2) into it", |it, own| {
        fs::rename(own.path("other"), it.path("new"))
    }),
    zone("rename(2) over its file", |it, own| {
        fs::rename(own.path("other"), it.path("secret"))
    }),
    zone("rename(2) of its directory into one's own", |it, own| {
        fs::rename(it.path("folder"), own.path("new"))?;
        reads(File::open(own.path("new/inner"))?)
    }),
    zone("rename(2) within it", |it, _| {
        fs::rename(it.path("secret"), it.path("new"))
    }),
    zone("renameat2(2) with RENAME_EXCHANGE", |it, own| {
        exchange(&it.path("secret"), &own.path("other"))?;
        reads(File::open(own.path("other"))?)
    }),
    zone("rename(2) of what is claimed itself", |it, _| {
        let beside = Path::new("/srv/elsewhere");
        fs::rename(&it.dir, beside)?;
        fs::rename(beside, &it.dir)
    })
    .twin(|_, own| fs::rename(own.path("folder"), own.path("new"))),
    zone("rename(2) of a directory above what is claimed", |it, _| {
        let above = it.dir.parent().ok_or(io::ErrorKind::NotFound)?;
        let beside = Path::new("/srv/elsewhere");
        fs::rename(above, beside)?;
        fs::rename(beside, above)
    })
    .twin(|_, own| fs::rename(own.path("folder"), own.path("new"))),
    zone("unlink(2)", |it, _| fs::remove_file(it.path("secret"))),
    zone("rmdir(2)", |it, _| fs::remove_dir(it.path("empty"))),
    zone("truncate(2)", |it, _| does("truncate", it, &["secret"])),
    zone("chmod(2)", |it, _| does("chmod", it, &["secret"])),
    zone("chmod(2) of its directory", |it, _| {
        does("chmod", it, &["folder"])
    }),
    zone("fchmodat(2) of O_PATH through /proc/self/fd", |it, _| {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::PermissionsExt as _;
        let file = sys::open(&it.path("secret"), libc::O_PATH)?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))
    }),
    zone("chown(2)", |it, _| does("chown", it, &["secret"])),
    zone("fchownat(2) of O_PATH", |it, _| {
        let file = sys::open(&it.path("secret"), libc::O_PATH)?;
        call(
            libc::SYS_fchownat,
            [
                sys::fd(&file),
                c"".into(),
                1.into(),
                1.into(),
                libc::AT_EMPTY_PATH.into(),
            ],
        )
        .map(drop)
    }),
    zone("file_setattr(2)", |it, _| {
        // struct file_attr: its flags, here that it is left out of dumps, and four more numbers.
        let (path, attributes) = (it.text("secret")?, sys::words(&[FS_XFLAG_NODUMP, 0, 0]));
        let size = attributes.len();
        let at = libc::AT_FDCWD.into();
        let attributes = attributes.as_slice().into();
        call(
            SYS_FILE_SETATTR,
            [at, (&path).into(), attributes, size.into(), 0.into()],
        )
        .map(drop)
    }),
    zone("utimensat(2)", |it, _| does("times", it, &["secret"])),
    zone("setxattr(2)", |it, _| {
        does("set-attribute", it, &["secret"])
    }),
    zone("setxattr(2) of a capability", |it, _| {
        let path = it.text(PROGRAM)?;
        let all = sys::halves(&[0x0200_0001, u32::MAX, 0, 0, 0]);
        let size = all.len();
        call(
            libc::SYS_setxattr,
            [
                (&path).into(),
                c"security.capability".into(),
                all.as_slice().into(),
                size.into(),
                0.into(),
            ],
        )
        .map(drop)
    }),
    zone("setting an access control list", |it, _| {
        does("set-acl", it, &["secret"])
    }),
    zone("a request of io_uring to unlink", |it, _| {
        uring(OP_UNLINKAT, &it.path("secret"), None)
    })
    .lacking(&[libc::EINVAL, libc::ENOSYS]),
    zone("a request of io_uring to rename out of it", |it, own| {
        uring(OP_RENAMEAT, &it.path("secret"), Some(&own.path("new")))
    })
    .lacking(&[libc::EINVAL, libc::ENOSYS]),
    zone("a request of io_uring to make a directory", |it, _| {
        uring(OP_MKDIRAT, &it.path("new"), None)
    })
    .lacking(&[libc::EINVAL, libc::ENOSYS]),
    zone("writing through a descriptor of its process", |it, _| {
        let file = it.proc(&format!("fd/{}", it.secret));
        fs::write(file, SECRET)
    }),
];

/// Since 6.17.
const SYS_FILE_SETATTR: libc::c_long = 469;
const FS_XFLAG_NODUMP: u64 = 0x80;

const OP_RENAMEAT: u8 = 35;
const OP_UNLINKAT: u8 = 36;
const OP_MKDIRAT: u8 = 37;

fn uring(operation: u8, path: &Path, other: Option<&Path>) -> io::Result<()> {
    crate::guest::uring::with_paths(operation, path, other)
}

/// An action of the other suites, in its directory.
fn does(action: &str, it: &Aim, names: &[&str]) -> io::Result<()> {
    let paths: Vec<_> = names.iter().map(|name| it.path(name)).collect();
    mutating::perform(action, &paths).unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into()))
}

fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}
