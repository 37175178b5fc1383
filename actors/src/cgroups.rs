//! The cgroups of a node, as a walk finds them. A cgroup is told by its id, which is its directory's inode
//! number: names are bytes that whoever made it chose, and a path may be longer than the kernel takes one. So
//! nothing is looked up by a path, and what is said of one is for people.

pub mod tree;

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use syva_model::image::{CgroupId, MemberRow, Origin};
use syva_model::kernel::KernelError;

pub use tree::CgroupTree;

/// A cgroup that a walk has come to.
pub trait Sight {
    /// Its id.
    fn id(&self) -> CgroupId;

    /// Whether it is there, asked of the kernel now.
    ///
    /// # Errors
    /// The system's: then nobody can tell.
    fn is_there(&self) -> io::Result<bool>;
}

/// Is told of each cgroup before what lies in it is read, and says whether that is to be.
pub type Enter<'a> = dyn FnMut(&dyn Sight) -> Result<bool, KernelError> + 'a;

/// What a walk asks of a cgroup hierarchy. A cgroup that goes while it is read is no error; one that is there
/// and cannot be read is, since whoever is in it would be taken for gone.
pub trait Hierarchy {
    /// Where it is mounted, as errors name it.
    fn root(&self) -> &Path;

    /// Every cgroup. One may be left out though it is there: kernfs skips an entry whose neighbour is removed
    /// while they are listed (`kernfs_dir_next_pos()` in fs/kernfs/dir.c, 5.10 to 7.3).
    ///
    /// # Errors
    /// The system's.
    fn all(&self) -> io::Result<Cgroups>;

    /// Whether a cgroup that was found is there now.
    ///
    /// # Errors
    /// The system's.
    fn is_there(&self, found: &Cgroups, id: CgroupId) -> io::Result<bool>;

    /// Goes through what lies below a cgroup that was found, each behind the one it lies in. Nothing lies below
    /// one that is gone.
    ///
    /// # Errors
    /// The system's, and what `enter` says.
    fn below(
        &self,
        found: &Cgroups,
        id: CgroupId,
        enter: &mut Enter<'_>,
    ) -> Result<(), KernelError>;
}

/// What a walk found.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    /// Each behind the one it lies in, the root first.
    found: Vec<Found>,
    places: HashMap<CgroupId, usize>,
}

#[derive(Clone, Debug)]
struct Found {
    id: CgroupId,
    /// Where the one it lies in is; the root's is its own.
    above: usize,
    name: OsString,
}

impl Cgroups {
    /// The root, and nothing in it yet.
    pub fn below(root: CgroupId) -> Cgroups {
        let mut cgroups = Cgroups::default();
        cgroups.push(root, 0, OsString::new());
        cgroups
    }

    /// Adds what lies in one that is there. Whether it was not.
    pub fn add(&mut self, id: CgroupId, above: CgroupId, name: &OsStr) -> bool {
        match self.places.get(&above) {
            Some(above) if !self.contains(id) => {
                self.push(id, *above, name.to_owned());
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, id: CgroupId, above: usize, name: OsString) {
        self.places.insert(id, self.found.len());
        self.found.push(Found { id, above, name });
    }

    /// Whether it was found.
    pub fn contains(&self, id: CgroupId) -> bool {
        self.places.contains_key(&id)
    }

    /// How many were.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether not even the root was.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The names on the way there, the root's (which has none) left out.
    pub fn way(&self, id: CgroupId) -> Option<Vec<&OsStr>> {
        let mut place = *self.places.get(&id)?;
        let mut way = Vec::new();
        while let Some(found) = self.found.get(place).filter(|_| place != 0) {
            way.push(found.name.as_os_str());
            place = found.above;
        }
        way.reverse();
        Some(way)
    }

    /// Its path below the root (`/` for the root itself), for people: two may have the same.
    pub fn path(&self, id: CgroupId) -> Option<String> {
        let way = self.way(id)?;
        let names = way.iter().map(|name| name.to_string_lossy());
        Some(format!("/{}", names.collect::<Vec<_>>().join("/")))
    }

    /// The row that each has from the nearest root above it, roots and those below none left out.
    pub fn born(&self, roots: &BTreeMap<CgroupId, MemberRow>) -> BTreeMap<CgroupId, MemberRow> {
        // By place: what lies in it has this row, if any.
        let mut inside: Vec<Option<MemberRow>> = Vec::with_capacity(self.found.len());
        let mut born = BTreeMap::new();
        for found in &self.found {
            let above = inside.get(found.above).copied().flatten();
            let own = roots.get(&found.id).copied().map(born_of);
            if let (None, Some(row)) = (own, above) {
                born.insert(found.id, row);
            }
            inside.push(own.or(above));
        }
        born
    }
}

/// The row that the kernel gives what is made below a cgroup with that one.
pub fn born_of(row: MemberRow) -> MemberRow {
    MemberRow {
        origin: Origin::Kernel,
        ..row
    }
}

/// The cgroup-v2 path of a process, from `/proc/PID/cgroup`.
///
/// # Errors
/// The system's (some kernels say ENAMETOOLONG of a path that is too long, others cut it off); `InvalidData` if
/// the process has no cgroup-v2 line.
pub fn of_process(pid: &str) -> io::Result<OsString> {
    let text = fs::read(format!("/proc/{pid}/cgroup"))?;
    v2_line(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "no cgroup-v2 line (0::PATH) in it",
        )
    })
}

fn v2_line(text: &[u8]) -> Option<OsString> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let path = lines.find_map(|line| line.strip_prefix(b"0::"))?;
    Some(OsString::from_vec(path.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syva_model::image::ZoneId;

    #[test]
    fn the_v2_line_is_found_among_v1_lines_whatever_its_bytes() {
        let of = |text: &[u8]| v2_line(text).map(OsString::into_vec);
        assert_eq!(
            of(b"4:memory:/x\n0::/user.slice\n"),
            Some(b"/user.slice".to_vec())
        );
        assert_eq!(of(b"0::/a/\xff\n"), Some(b"/a/\xff".to_vec()));
        assert_eq!(of(b"4:memory:/x\n"), None);
    }

    #[test]
    fn what_lies_below_a_root_has_the_nearest_ones_row() {
        let [root, a, b, c, beside] = [1, 2, 3, 4, 5].map(CgroupId);
        let mut cgroups = Cgroups::below(root);
        for (id, above, name) in [
            (a, root, "a"),
            (b, a, "b"),
            (c, b, "c"),
            (beside, root, "d"),
        ] {
            assert!(cgroups.add(id, above, OsStr::new(name)));
        }
        assert!(!cgroups.add(c, a, OsStr::new("c")), "it is there already");
        let row = |zone, root| MemberRow {
            zone: ZoneId(zone),
            root,
            origin: Origin::Journal,
        };
        let (outer, inner) = (row(1, a), row(2, c));
        let mut roots = BTreeMap::from([(a, outer)]);
        assert_eq!(
            cgroups.born(&roots),
            [(b, born_of(outer)), (c, born_of(outer))].into()
        );
        roots.insert(c, inner);
        assert_eq!(cgroups.born(&roots), [(b, born_of(outer))].into());
        assert_eq!(cgroups.path(c).as_deref(), Some("/a/b/c"));
        assert_eq!(cgroups.path(root).as_deref(), Some("/"));
        assert_eq!(cgroups.path(CgroupId(9)), None);
    }
}
