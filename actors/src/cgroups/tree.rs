//! The mounted hierarchy, read by descriptors: a directory is opened by its name in the one it lies in, which is
//! open already. So no name is too strange and no path too long, and what was opened lies where it was found.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, fstat, openat, openat2, statat,
};
use rustix::io::Errno;
use syva_model::image::CgroupId;
use syva_model::kernel::KernelError;

use super::{Cgroups, Enter, Hierarchy, Sight};
use crate::vantage::Vantage;

/// How many directories a walk has open, the deepest ones: cgroups may lie in each other by the thousand, and
/// those further up are opened again from below.
const OPEN: usize = 32;

/// How much of a directory is listed at once: a cgroup's is some 4 KiB.
const LISTED: usize = 32 * 1024;

/// `PATH_MAX` in include/uapi/linux/limits.h, its last byte included.
const PATH_MAX: usize = 4096;

/// A mounted cgroup-v2 hierarchy (or, for the in-memory backend, any directory tree).
#[derive(Clone, Debug)]
pub struct CgroupTree {
    root: PathBuf,
    /// Where this process finds it.
    place: PathBuf,
}

impl CgroupTree {
    /// The tree mounted at `root`.
    pub fn at(root: impl Into<PathBuf>) -> CgroupTree {
        CgroupTree::seen_from(&Vantage::own(), root)
    }

    /// The tree mounted at `root`, seen from there.
    pub fn seen_from(vantage: &Vantage, root: impl Into<PathBuf>) -> CgroupTree {
        let root = root.into();
        let place = vantage.place(&root);
        CgroupTree { root, place }
    }

    /// The path of the cgroup with that id, for people; nothing if there is none (any more).
    ///
    /// # Errors
    /// As [`Hierarchy::all`]; that it lies deeper than the kernel says paths, where no container's does.
    pub fn find(&self, id: CgroupId) -> io::Result<Option<String>> {
        let path = self.all()?.path(id);
        match path.as_ref().map_or(0, String::len) {
            0..PATH_MAX => Ok(path),
            bytes => Err(io::Error::other(format!(
                "cgroup {id} lies too deep: its path has {bytes} bytes, and fewer than {PATH_MAX} can be \
                 recorded"
            ))),
        }
    }

    /// The cgroup at that path, if it is there.
    #[cfg(test)]
    fn id_at(&self, path: &OsStr) -> io::Result<Option<CgroupId>> {
        let names = path.as_bytes().split(|byte| *byte == b'/');
        let names = names.filter(|name| !name.is_empty()).map(OsStr::from_bytes);
        let opened = self.follow(&names.collect::<Vec<_>>())?;
        opened.map(|dir| Ok(id_of(&dir)?.1)).transpose()
    }

    /// Moves a process, with all its threads, to a cgroup that was found.
    ///
    /// # Errors
    /// The system's: the process or the cgroup is gone, or the tree is mounted to be read only.
    pub fn move_process(&self, pid: u32, found: &Cgroups, to: CgroupId) -> io::Result<()> {
        let dir = self.open(found, to)?.ok_or(io::ErrorKind::NotFound)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let procs = openat(&dir, c"cgroup.procs", flags, Mode::empty())?;
        rustix::io::write(procs, pid.to_string().as_bytes())?;
        Ok(())
    }

    /// Whether a process is in a cgroup that was found.
    ///
    /// # Errors
    /// The system's.
    pub fn holds(&self, found: &Cgroups, id: CgroupId, pid: u32) -> io::Result<bool> {
        let Some(dir) = self.open(found, id)? else {
            return Ok(false);
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let procs = openat(&dir, c"cgroup.procs", flags, Mode::empty())?;
        let inside = io::read_to_string(std::fs::File::from(procs))?;
        Ok(inside.lines().any(|line| line.parse() == Ok(pid)))
    }

    fn top(&self) -> io::Result<OwnedFd> {
        // A symbolic link in what the operator says is his; below it there is none.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, &self.place, flags, Mode::empty())?)
    }

    /// Opens a cgroup that was found, unless it is gone.
    fn open(&self, found: &Cgroups, id: CgroupId) -> io::Result<Option<OwnedFd>> {
        let Some(way) = found.way(id) else {
            return Ok(None);
        };
        let Some(dir) = self.follow(&way)? else {
            return Ok(None);
        };
        // Another may have come in its place.
        Ok((id_of(&dir)?.1 == id).then_some(dir))
    }

    /// Opens what those names lead to, as many at a time as the kernel takes.
    fn follow(&self, names: &[&OsStr]) -> io::Result<Option<OwnedFd>> {
        let mut dir = self.top()?;
        let mut part = Vec::new();
        let mut names = names.iter().peekable();
        while let Some(name) = names.next() {
            part.extend_from_slice(name.as_bytes());
            part.push(b'/');
            let next = names.peek().map_or(0, |next| next.len());
            if next > 0 && part.len() + next + 2 < PATH_MAX {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            match openat2(&dir, part.as_slice(), flags, Mode::empty(), how) {
                Ok(opened) => dir = opened,
                Err(said) if is_gone(said) => return Ok(None),
                Err(said) => return Err(said.into()),
            }
            part.clear();
        }
        Ok(Some(dir))
    }
}

impl Hierarchy for CgroupTree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn all(&self) -> io::Result<Cgroups> {
        let top = self.top()?;
        let mut found = Cgroups::below(id_of(&top)?.1);
        let mut enter =
            |seen: &Seen<'_>| Ok::<_, io::Error>(found.add(seen.id, seen.above, seen.name()));
        walk(top, &mut enter)?;
        Ok(found)
    }

    fn is_there(&self, found: &Cgroups, id: CgroupId) -> io::Result<bool> {
        Ok(self.open(found, id)?.is_some())
    }

    fn below(
        &self,
        found: &Cgroups,
        id: CgroupId,
        enter: &mut Enter<'_>,
    ) -> Result<(), KernelError> {
        let failed = |said| Stopped::Unread(said).in_words(found, id);
        match self.open(found, id).map_err(failed)? {
            None => Ok(()),
            Some(dir) => walk(dir, &mut |seen| enter(seen).map_err(Stopped::Told))
                .map_err(|stopped| stopped.in_words(found, id)),
        }
    }
}

/// Why a walk went no further.
enum Stopped {
    Unread(io::Error),
    Told(KernelError),
}

impl From<io::Error> for Stopped {
    fn from(said: io::Error) -> Stopped {
        Stopped::Unread(said)
    }
}

impl Stopped {
    fn in_words(self, found: &Cgroups, id: CgroupId) -> KernelError {
        match self {
            Stopped::Told(error) => error,
            Stopped::Unread(said) => KernelError {
                operation: "list",
                on: match found.path(id).filter(|path| path.len() < PATH_MAX) {
                    Some(path) => format!("cgroups below {path}"),
                    None => format!("cgroups below cgroup {id}"),
                },
                said: said.to_string(),
                errno: said.raw_os_error(),
                remedy: String::new(),
            },
        }
    }
}

/// A cgroup that was opened, and where.
struct Seen<'a> {
    id: CgroupId,
    above: CgroupId,
    dir: BorrowedFd<'a>,
    name: &'a CStr,
}

impl Seen<'_> {
    fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.name.to_bytes())
    }
}

impl Sight for Seen<'_> {
    fn id(&self) -> CgroupId {
        self.id
    }

    fn is_there(&self) -> io::Result<bool> {
        match statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_ino == self.id.0),
            Err(said) if is_gone(said) => Ok(false),
            Err(said) => Err(said.into()),
        }
    }
}

/// A directory that a walk is in, and what is still to be gone through there.
struct Level {
    id: CgroupId,
    dir: Option<OwnedFd>,
    names: Vec<CString>,
}

/// Goes through what lies below a directory, each before what lies in it.
fn walk<E: From<io::Error>>(
    top: OwnedFd,
    enter: &mut dyn FnMut(&Seen<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let mut buffer = vec![MaybeUninit::uninit(); LISTED];
    let (device, id) = id_of(&top)?;
    let names = list(&top, &mut buffer)?;
    let mut levels = vec![Level {
        id,
        dir: Some(top),
        names,
    }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            let done = levels.pop();
            if let Some(above) = levels.last_mut() {
                above.open_from(done.and_then(|done| done.dir), device)?;
            }
            continue;
        };
        let (above, dir) = (level.id, level.dir()?);
        let Some(opened) = child(dir, &name)? else {
            continue;
        };
        let (on, id) = id_of(&opened)?;
        if on != device {
            return Err(unreadable(&name, above, "another file system is mounted on it").into());
        }
        let seen = Seen {
            id,
            above,
            dir,
            name: &name,
        };
        if !enter(&seen)? {
            continue;
        }
        let names = list(&opened, &mut buffer).map_err(|said| unreadable(&name, above, said))?;
        levels.push(Level {
            id,
            dir: Some(opened),
            names,
        });
        if let Some(far) = levels.len().checked_sub(OPEN + 1)
            && let Some(far) = levels.get_mut(far)
        {
            far.dir = None;
        }
    }
    Ok(())
}

impl Level {
    fn dir(&self) -> io::Result<BorrowedFd<'_>> {
        let dir = self.dir.as_ref().map(AsFd::as_fd);
        dir.ok_or_else(|| io::Error::other("a directory on the way was not kept open"))
    }

    /// Opens it again, from what lies in it, if it is not open.
    fn open_from(&mut self, inner: Option<OwnedFd>, device: u64) -> io::Result<()> {
        let (None, Some(inner)) = (&self.dir, inner) else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(inner, c"..", flags, Mode::empty())?;
        if id_of(&dir)? != (device, self.id) {
            return Err(io::Error::other(format!(
                "cgroup {} is not above what was found in it: it was moved meanwhile",
                self.id
            )));
        }
        self.dir = Some(dir);
        Ok(())
    }
}

/// Opens what was listed under that name; nothing if it is gone, or no directory.
fn child(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(said) if is_gone(said) || said == Errno::NOTDIR || said == Errno::LOOP => Ok(None),
        Err(said) => Err(unreadable(name, id_of(&dir)?.1, io::Error::from(said))),
    }
}

/// The names of the directories in one; none if that is gone.
fn list(dir: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    let mut entries = RawDir::new(dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(said) if is_gone(said) => break,
            Err(said) => return Err(said.into()),
        };
        let name = entry.file_name();
        let may_be_one = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
        if may_be_one && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The device and the inode number.
fn id_of(dir: &impl AsFd) -> io::Result<(u64, CgroupId)> {
    let stat = fstat(dir)?;
    Ok((stat.st_dev, CgroupId(stat.st_ino)))
}

/// Whether there is nothing under a name that was there when it was listed.
fn is_gone(said: Errno) -> bool {
    said == Errno::NOENT || said == Errno::NODEV
}

fn unreadable(name: &CStr, above: CgroupId, said: impl std::fmt::Display) -> io::Error {
    let name = name.to_string_lossy();
    io::Error::other(format!("reading {name:?} in cgroup {above}: {said}"))
}

#[cfg(test)]
mod tests;
