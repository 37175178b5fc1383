//! A cgroup hierarchy in memory, with names that are no text.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syva_actors::cgroups::{Cgroups, Enter, Hierarchy, Sight};
use syva_model::image::CgroupId;
use syva_model::kernel::KernelError;

use crate::reach::is_below;

/// A cgroup hierarchy. Clones are the same.
#[derive(Clone, Default)]
pub struct Tree(Arc<Mutex<(BTreeMap<String, CgroupId>, u64)>>);

impl Tree {
    pub fn inside(&self) -> MutexGuard<'_, (BTreeMap<String, CgroupId>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a cgroup below one that is there. Ids are never used again.
    pub fn make(&self, path: &str) -> CgroupId {
        let mut inside = self.inside();
        inside.1 += 1;
        let id = CgroupId(100 + inside.1);
        inside.0.insert(path.into(), id);
        id
    }

    pub fn remove(&self, path: &str) {
        self.inside().0.remove(path);
    }

    pub fn paths(&self) -> Vec<(String, CgroupId)> {
        let inside = self.inside();
        inside.0.iter().map(|(p, id)| (p.clone(), *id)).collect()
    }
}

/// What a cgroup is really called: two of the names are no UTF-8, and read the same where they are shown.
fn name(part: &str) -> OsString {
    OsString::from_vec(match part {
        "b" => b"\xff".to_vec(),
        "c" => b"\xfe".to_vec(),
        other => other.into(),
    })
}

impl Tree {
    fn at(&self, id: CgroupId) -> Option<String> {
        let paths = self.paths().into_iter();
        paths
            .filter(|(_, there)| *there == id)
            .map(|(path, _)| path)
            .next()
    }
}

/// A cgroup that is being walked past.
struct Seen<'a>(&'a Tree, CgroupId);

impl Sight for Seen<'_> {
    fn id(&self) -> CgroupId {
        self.1
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(self.0.at(self.1).is_some())
    }
}

impl Hierarchy for Tree {
    fn root(&self) -> &Path {
        Path::new("(simulated)")
    }

    fn all(&self) -> io::Result<Cgroups> {
        // In the order of their paths, which puts each behind the one it lies in.
        let paths = self.paths();
        let mut found = paths.first().map(|(_, root)| Cgroups::below(*root));
        for (path, id) in paths.iter().skip(1) {
            let (above, last) = path.rsplit_once('/').unwrap_or_default();
            let above = if above.is_empty() { "/" } else { above };
            let above = self.inside().0.get(above).copied();
            if let (Some(found), Some(above)) = (&mut found, above) {
                found.add(*id, above, &name(last));
            }
        }
        Ok(found.unwrap_or_default())
    }

    fn is_there(&self, _: &Cgroups, id: CgroupId) -> io::Result<bool> {
        Ok(self.at(id).is_some())
    }

    fn below(&self, _: &Cgroups, id: CgroupId, enter: &mut Enter<'_>) -> Result<(), KernelError> {
        let Some(top) = self.at(id) else {
            return Ok(());
        };
        let mut skipped: Option<String> = None;
        for (path, id) in self.paths() {
            let left = skipped.as_ref().is_some_and(|above| is_below(&path, above));
            if !is_below(&path, &top) || left {
                continue;
            }
            if !enter(&Seen(self, id))? {
                skipped = Some(path);
            }
        }
        Ok(())
    }
}
