//! The cgroup tree as cgroupfs shows it: ids are the directories' inode numbers.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use syva_model::image::CgroupId;

use crate::vantage::Vantage;

/// A cgroup and its path below the root (`/` for the root itself).
pub type Found = (CgroupId, String);

/// What a walk asks of a cgroup hierarchy.
pub trait Hierarchy {
    /// Where it is mounted, as errors name it.
    fn root(&self) -> &Path;

    /// Every cgroup's path by its id.
    ///
    /// # Errors
    /// The system's, if the root cannot be read; a directory that goes while it is read is no error.
    fn all(&self) -> io::Result<BTreeMap<CgroupId, String>>;

    /// The cgroup at that path, if it is there.
    fn id_at(&self, path: &str) -> Option<CgroupId>;

    /// The cgroups right below one, in no particular order.
    ///
    /// # Errors
    /// The system's; a cgroup that is gone has no children.
    fn children(&self, path: &str) -> io::Result<Vec<Found>>;
}

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

    /// The root cgroup's id.
    ///
    /// # Errors
    /// The system's, if the root is not there.
    pub fn root_id(&self) -> io::Result<CgroupId> {
        fs::metadata(&self.place).map(|meta| CgroupId(meta.ino()))
    }

    /// The path of the cgroup with that id, or nothing if there is none (any more).
    ///
    /// # Errors
    /// As [`CgroupTree::all`].
    pub fn find(&self, id: CgroupId) -> io::Result<Option<String>> {
        Ok(self.all()?.remove(&id))
    }
}

impl CgroupTree {
    /// Moves a process, with all its threads, to the cgroup at that path.
    ///
    /// # Errors
    /// The system's: the process or the cgroup is gone, or the tree is mounted to be read only.
    pub fn move_process(&self, pid: u32, path: &str) -> io::Result<()> {
        let procs = self.place.join(path.trim_start_matches('/'));
        fs::write(procs.join("cgroup.procs"), pid.to_string())
    }
}

impl Hierarchy for CgroupTree {
    fn root(&self) -> &Path {
        &self.root
    }

    fn all(&self) -> io::Result<BTreeMap<CgroupId, String>> {
        let mut found = BTreeMap::from([(self.root_id()?, String::from("/"))]);
        let mut waiting = vec![String::from("/")];
        while let Some(path) = waiting.pop() {
            for (id, inner) in self.children(&path)? {
                waiting.push(inner.clone());
                found.insert(id, inner);
            }
        }
        Ok(found)
    }

    fn id_at(&self, path: &str) -> Option<CgroupId> {
        let meta = fs::metadata(self.place.join(path.trim_start_matches('/'))).ok()?;
        Some(CgroupId(meta.ino()))
    }

    fn children(&self, path: &str) -> io::Result<Vec<Found>> {
        let entries = match fs::read_dir(self.place.join(path.trim_start_matches('/'))) {
            Ok(entries) => entries,
            Err(error) if path != "/" && is_gone(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut children = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name();
                let separator = if path == "/" { "" } else { "/" };
                let inner = format!("{path}{separator}{}", name.to_string_lossy());
                children.push((CgroupId(entry.ino()), inner));
            }
        }
        Ok(children)
    }
}

/// Whether a directory went away while it was read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// The cgroup-v2 path of a process, from `/proc/PID/cgroup`.
///
/// # Errors
/// The system's; `InvalidData` if the process has no cgroup-v2 line.
pub fn of_process(pid: &str) -> io::Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    v2_line(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "no cgroup-v2 line (0::PATH) in it",
        )
    })
}

fn v2_line(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_found_by_id_and_listed_below() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("a/b/c")).expect("a tree");
        fs::write(dir.path().join("a/cgroup.procs"), "").expect("a file");
        let tree = CgroupTree::at(dir.path());
        let c = tree.id_at("/a/b/c").expect("there");
        assert_eq!(tree.find(c).expect("readable"), Some("/a/b/c".into()));
        assert_eq!(tree.find(CgroupId(u64::MAX)).expect("readable"), None);
        assert_eq!(
            tree.children("/a").expect("readable").len(),
            1,
            "files are no cgroups"
        );
        assert_eq!(tree.children("/gone").expect("no error"), []);
    }

    #[test]
    fn the_v2_line_is_found_among_v1_lines() {
        assert_eq!(
            v2_line("4:memory:/x\n0::/user.slice\n"),
            Some("/user.slice".into())
        );
        assert_eq!(v2_line("4:memory:/x\n"), None);
    }
}
