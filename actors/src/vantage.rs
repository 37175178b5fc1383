//! The vantage point: from which root paths are looked up. Paths of claims and of cgroups are the host's,
//! and the daemon's own mount namespace may show something else under the same name (D19).

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// How often a look-up that a rename disturbed is tried: openat2(2) then says EAGAIN.
const TRIES: usize = 16;

/// The root from which paths are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    root: PathBuf,
}

impl Vantage {
    /// This process' own root directory.
    pub fn own() -> Vantage {
        Vantage::of("/")
    }

    /// Another root directory, such as `/proc/1/root`.
    pub fn of(root: impl Into<PathBuf>) -> Vantage {
        Vantage { root: root.into() }
    }

    /// Where this process finds a directory; symbolic links on the way lead to its own files.
    pub fn place(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows every symbolic link of an absolute path, within the root, and returns what it leads to.
    ///
    /// # Errors
    /// The system's.
    pub fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let found = self.open(path, ResolveFlags::NO_MAGICLINKS)?;
        let link = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
        let canonical = std::fs::read_link(link)?;
        // The kernel says paths from the top of the mount namespace: if the root is another directory,
        // or something was renamed meanwhile, the name leads elsewhere.
        let again = rustix::fs::fstat(self.open_exactly(&canonical)?)?;
        let found = rustix::fs::fstat(found)?;
        if (found.st_dev, found.st_ino) == (again.st_dev, again.st_ino) {
            return Ok(canonical);
        }
        let name = canonical.display();
        Err(io::Error::other(format!(
            "it leads to {name}, which is something else: it was renamed meanwhile"
        )))
    }

    /// Opens a path without any effect on what is opened (`O_PATH`); symbolic links are an error.
    ///
    /// # Errors
    /// The system's.
    pub fn open_exactly(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(
            path,
            ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
    }

    fn open(&self, path: &Path, how: ResolveFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = openat(CWD, &self.root, flags | OFlags::DIRECTORY, Mode::empty())?;
        let how = how | ResolveFlags::IN_ROOT;
        for _ in 1..TRIES {
            match openat2(&root, path, flags, Mode::empty(), how) {
                Err(rustix::io::Errno::AGAIN) => {}
                opened => return Ok(opened?),
            }
        }
        Ok(openat2(&root, path, flags, Mode::empty(), how)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_within_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().canonicalize().expect("there");
        fs::create_dir(dir.join("real")).expect("made");
        fs::write(dir.join("real/file"), "").expect("written");
        symlink("/real", dir.join("link")).expect("linked");
        let vantage = Vantage::of(&dir);
        // The kernel names the file from its own root, which is not the one looked up from: noticed.
        let said = vantage.canonical(Path::new("/link/file"));
        assert!(said.is_err(), "{said:?}");
        let opened = vantage.open(Path::new("/link/file"), ResolveFlags::empty());
        assert!(opened.is_ok(), "{opened:?}");
        let exactly = vantage.open_exactly(Path::new("/link/file"));
        assert!(exactly.is_err(), "a symbolic link is on the way");
        assert!(vantage.open_exactly(Path::new("/real/file")).is_ok());

        symlink(dir.join("real"), dir.join("whole")).expect("linked");
        let own = Vantage::own().canonical(&dir.join("whole/file"));
        assert_eq!(own.expect("found"), dir.join("real/file"));
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("etc"), "").expect("written");
        let vantage = Vantage::of(dir.path());
        assert!(vantage.open_exactly(Path::new("/../../etc")).is_ok());
        assert!(vantage.open_exactly(Path::new("/etc/passwd")).is_err());
        assert_eq!(vantage.place(Path::new("/etc")), dir.path().join("etc"));
    }
}
