//! The walk: what the membership actor decides, without ractor. Which row every cgroup should have, and
//! how a row that is written reaches what lies below.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, ZoneId};
use syva_model::kernel::{KernelError, Recounted};

use crate::cgroups::{Found, Hierarchy};

/// How often a walk is repeated until it finds nothing to change. Each round needs a cgroup made
/// between its parent's reading and its parent's labelling, so two do in practice.
const ROUNDS: usize = 8;

/// The members map, row by row.
pub trait Members {
    /// Reads one row.
    ///
    /// # Errors
    /// The kernel side's.
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError>;

    /// Writes one row, and none below it.
    ///
    /// # Errors
    /// The kernel side's.
    fn write(&mut self, step: MapWrite) -> Result<(), KernelError>;

    /// Reads every row.
    ///
    /// # Errors
    /// The kernel side's.
    fn rows(&mut self) -> Result<Vec<(CgroupId, MemberRow)>, KernelError>;

    /// How many more rows that the kernel makes the zone may have.
    ///
    /// # Errors
    /// The kernel side's.
    fn room(&mut self, _zone: ZoneId) -> Result<u64, KernelError> {
        Ok(u64::MAX)
    }

    /// Compares what zones are counted to have with the rows, and corrects the counts.
    ///
    /// # Errors
    /// The kernel side's.
    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        Ok(Vec::new())
    }
}

/// What the map holds, and what it should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Every row, kernel-born ones included.
    pub held: BTreeMap<CgroupId, MemberRow>,
    /// Every row there should be: the roots', and those that the cgroups below have from them. Neither the
    /// kernel nor the daemon gives a zone more than it may have: what has no row gets none beyond that, and
    /// is closed to the zone.
    pub wanted: BTreeMap<CgroupId, MemberRow>,
    /// Roots whose cgroup is gone.
    pub gone: Vec<CgroupId>,
}

/// Walks one hierarchy.
pub struct Walker<H> {
    tree: H,
    /// Cgroups with a kernel-born row that the last survey did not find. The kernel writes the row just
    /// before the cgroup can be seen, so only the next survey is sure.
    unseen: BTreeSet<CgroupId>,
}

impl<H: Hierarchy> Walker<H> {
    /// A walker that has seen nothing yet.
    pub fn new(tree: H) -> Walker<H> {
        Walker {
            tree,
            unseen: BTreeSet::new(),
        }
    }

    /// Applies `PutMember` and `DropMember` steps in order, each with what it means for the cgroups below. Left
    /// alone are roots, those the plan has `named`, which have steps of their own, and what lies below either.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said; the steps before are done.
    pub fn steps(
        &self,
        members: &mut dyn Members,
        steps: &[MapWrite],
        named: &BTreeSet<CgroupId>,
    ) -> Result<(), KernelError> {
        let paths = self.paths()?;
        for step in steps {
            let (id, row) = match *step {
                MapWrite::PutMember(id, row) => (id, Some(row)),
                MapWrite::DropMember(id) => (id, None),
                _ => {
                    return Err(error(
                        "label",
                        "a cgroup",
                        "the step is no membership's".into(),
                    ));
                }
            };
            // Parents first, so that nothing new is made under the old label.
            self.settle(members, id, paths.get(&id), row)?;
            if let Some(path) = paths.get(&id) {
                self.settle_below(members, path, row, named)?;
            }
        }
        Ok(())
    }

    fn settle(
        &self,
        members: &mut dyn Members,
        id: CgroupId,
        path: Option<&String>,
        row: Option<MemberRow>,
    ) -> Result<(), KernelError> {
        let Some(row) = row else {
            return members.write(MapWrite::DropMember(id));
        };
        match (row.origin, path) {
            (Origin::Kernel, Some(path)) => self.put_born(members, id, path, row),
            // It is just being made, or it is gone and its row went with it: nobody would remove another.
            (Origin::Kernel, None) if members.member(id)?.is_none() => Ok(()),
            _ => members.write(MapWrite::PutMember(id, row)),
        }
    }

    /// Gives what lies below a cgroup what it has from that one's row. What is below a root the host says is
    /// in the zone; what is below another gets no row beyond the zone's quota.
    fn settle_below(
        &self,
        members: &mut dyn Members,
        path: &str,
        above: Option<MemberRow>,
        named: &BTreeSet<CgroupId>,
    ) -> Result<(), KernelError> {
        let row = above.map(born_of);
        let is_bound = above == row;
        for _ in 0..ROUNDS {
            let mut changed = false;
            let mut waiting: Vec<Found> = self.children(path)?;
            while let Some((id, inner)) = waiting.pop() {
                let held = members.member(id)?;
                let is_root = held.is_some_and(|held| held.origin == Origin::Journal);
                if is_root || named.contains(&id) {
                    continue;
                }
                if let (None, Some(row)) = (held, row)
                    && is_bound
                    && members.room(row.zone)? == 0
                {
                    continue;
                }
                if held != row {
                    self.settle(members, id, Some(&inner), row)?;
                    changed = true;
                }
                waiting.extend(self.children(&inner)?);
            }
            if !changed {
                return Ok(());
            }
        }
        Err(error(
            "label",
            path,
            format!("cgroups kept appearing for {ROUNDS} rounds"),
        ))
    }

    /// Writes the row that the kernel would have. The kernel removes it with the cgroup; if that went
    /// before the row came, nobody would.
    fn put_born(
        &self,
        members: &mut dyn Members,
        id: CgroupId,
        path: &str,
        row: MemberRow,
    ) -> Result<(), KernelError> {
        members.write(MapWrite::PutMember(id, row))?;
        if self.tree.id_at(path) == Some(id) {
            return Ok(());
        }
        members.write(MapWrite::DropMember(id))
    }

    /// The rows that cgroups have from the roots above them, as far as there are any.
    ///
    /// # Errors
    /// What reading the hierarchy said.
    pub fn inherited(
        &self,
        roots: &BTreeMap<CgroupId, MemberRow>,
        cgroups: &[CgroupId],
    ) -> Result<BTreeMap<CgroupId, MemberRow>, KernelError> {
        let paths = self.paths()?;
        let estate = Estate::of(&paths, roots);
        let row = |id: &CgroupId| Some((*id, estate.below(paths.get(id)?)?));
        Ok(cgroups.iter().filter_map(row).collect())
    }

    /// Looks at every row, and at every cgroup, given the roots there should be. Writes nothing: what is
    /// wrong is put right by the plan that puts everything else right, in its order.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said.
    pub fn survey(
        &mut self,
        members: &mut dyn Members,
        roots: &BTreeMap<CgroupId, MemberRow>,
    ) -> Result<Survey, KernelError> {
        let mut held: BTreeMap<_, _> = members.rows()?.into_iter().collect();
        // After the rows: a cgroup that has one and is not found is gone, or is just being made.
        let paths = self.paths()?;
        let estate = Estate::of(&paths, roots);
        let mut wanted = roots.clone();
        let mut room = BTreeMap::new();
        for (id, path) in paths.iter().filter(|(id, _)| !roots.contains_key(id)) {
            let Some(row) = estate.below(path) else {
                continue;
            };
            // If it was made since the rows were read, it has one by now.
            if !held.contains_key(id)
                && let Some(row) = members.member(*id)?
            {
                held.insert(*id, row);
            }
            if !held.contains_key(id) {
                let room = match room.entry(row.zone) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(members.room(row.zone)?),
                };
                match room.checked_sub(1) {
                    Some(left) => *room = left,
                    None => continue,
                }
            }
            wanted.insert(*id, row);
        }
        let mut unseen = BTreeSet::new();
        for (id, row) in &held {
            if row.origin == Origin::Journal || paths.contains_key(id) || roots.contains_key(id) {
                continue;
            }
            // Of a root that is none it is nobody's, seen or not.
            if let Some(root) = roots.get(&row.root)
                && !self.unseen.contains(id)
            {
                wanted.insert(*id, born_of(*root));
                unseen.insert(*id);
            }
        }
        self.unseen = unseen;
        let gone = roots.keys().filter(|root| !paths.contains_key(root));
        let gone = gone.copied().collect();
        Ok(Survey { held, wanted, gone })
    }

    fn paths(&self) -> Result<BTreeMap<CgroupId, String>, KernelError> {
        let below = || format!("cgroups below {}", self.tree.root().display());
        self.tree
            .all()
            .map_err(|said| error("list", &below(), said.to_string()))
    }

    fn children(&self, path: &str) -> Result<Vec<Found>, KernelError> {
        self.tree
            .children(path)
            .map_err(|said| error("list", &format!("cgroup {path}"), said.to_string()))
    }
}

/// The rows of roots, by the roots' paths.
struct Estate<'a>(BTreeMap<&'a Path, MemberRow>);

impl<'a> Estate<'a> {
    fn of(
        paths: &'a BTreeMap<CgroupId, String>,
        roots: &BTreeMap<CgroupId, MemberRow>,
    ) -> Estate<'a> {
        let found = roots
            .iter()
            .filter_map(|(id, row)| Some((paths.get(id)?, *row)));
        Estate(found.map(|(path, row)| (Path::new(path), row)).collect())
    }

    /// The row that what lies at `path` has from the nearest root above it.
    fn below(&self, path: &str) -> Option<MemberRow> {
        let mut above = Path::new(path).ancestors().skip(1);
        above
            .find_map(|above| self.0.get(above))
            .copied()
            .map(born_of)
    }
}

/// The row that the kernel gives what is made below a cgroup with that one.
fn born_of(row: MemberRow) -> MemberRow {
    MemberRow {
        origin: Origin::Kernel,
        ..row
    }
}

fn error(operation: &'static str, on: &str, said: String) -> KernelError {
    KernelError {
        operation,
        on: on.to_owned(),
        said,
        errno: None,
        remedy: String::new(),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;
