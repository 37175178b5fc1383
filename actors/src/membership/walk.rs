//! The walk: what the membership actor decides, without ractor. Which row every cgroup should have, and
//! how a row that is written reaches what lies below.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, ZoneId};
use syva_model::kernel::{KernelError, Pulled, Recounted};

use super::foreign::Foreign;
use crate::cgroups::{Cgroups, Hierarchy, born_of};

/// How often a walk is repeated until it finds nothing to change. Each round needs a cgroup made
/// between its parent's reading and its parent's labelling, so two do in practice.
const ROUNDS: usize = 8;

/// How many lists a cgroup must be missing from to be gone. A list leaves out what is there if its neighbour is
/// removed at that moment.
const LISTS: usize = 3;

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

    /// The processes that zones have pulled into cgroups of their own.
    ///
    /// # Errors
    /// The kernel side's.
    fn pulled(&mut self) -> Result<Vec<Pulled>, KernelError> {
        Ok(Vec::new())
    }

    /// One of them needs nothing any more.
    ///
    /// # Errors
    /// The kernel side's.
    fn forget_pulled(&mut self, _pulled: &Pulled) -> Result<(), KernelError> {
        Ok(())
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
    /// Cgroups that are nobody's because foreign processes are in them.
    pub foreign: Foreign,
}

/// Walks one hierarchy.
pub struct Walker<H> {
    tree: H,
}

impl<H: Hierarchy> Walker<H> {
    /// A walker of that hierarchy.
    pub fn new(tree: H) -> Walker<H> {
        Walker { tree }
    }

    /// Applies `PutMember` and `DropMember` steps in order, each with what it means for the cgroups below. Left
    /// alone are roots, those the plan has `named`, which have steps of their own, and what lies below either. Those
    /// that are `kept` are given to no zone: foreign processes are in them.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said; the steps before are done.
    pub fn steps(
        &self,
        members: &mut dyn Members,
        steps: &[MapWrite],
        named: &BTreeSet<CgroupId>,
        kept: &BTreeSet<CgroupId>,
    ) -> Result<(), KernelError> {
        // What lies below a root is to be found now. What is dropped is mostly gone.
        let root = |step: &MapWrite| match step {
            MapWrite::PutMember(id, row) if row.origin == Origin::Journal => Some(*id),
            _ => None,
        };
        let found = self.find(steps.iter().filter_map(root))?;
        for step in steps {
            let Some((id, row)) = of(step) else {
                return Err(error(
                    "label",
                    "a cgroup",
                    "the step is no membership's".into(),
                ));
            };
            // Parents first, so that nothing new is made under the old label.
            if !kept.contains(&id) || !opens(row) {
                settle(members, id, row, &|| self.tree.is_there(&found, id))?;
            }
            self.settle_below(members, &found, id, row, named, kept)?;
        }
        Ok(())
    }

    /// Gives what lies below a cgroup what it has from that one's row. What is below a root the host says is
    /// in the zone; what is below another gets no row beyond the zone's quota.
    fn settle_below(
        &self,
        members: &mut dyn Members,
        found: &Cgroups,
        cgroup: CgroupId,
        above: Option<MemberRow>,
        named: &BTreeSet<CgroupId>,
        kept: &BTreeSet<CgroupId>,
    ) -> Result<(), KernelError> {
        let row = above.map(born_of);
        let is_bound = above == row;
        for _ in 0..ROUNDS {
            let mut changed = false;
            self.tree.below(found, cgroup, &mut |sight| {
                let id = sight.id();
                let held = members.member(id)?;
                let is_root = held.is_some_and(|held| held.origin == Origin::Journal);
                if is_root || named.contains(&id) {
                    return Ok(false);
                }
                if let (None, Some(row)) = (held, row)
                    && is_bound
                    && members.room(row.zone)? == 0
                {
                    return Ok(false);
                }
                let stays = kept.contains(&id) && opens(row);
                if held != row && !stays {
                    settle(members, id, row, &|| sight.is_there())?;
                    changed = true;
                }
                Ok(true)
            })?;
            if !changed {
                return Ok(());
            }
        }
        Err(error(
            "label",
            &format!("what lies below cgroup {cgroup}"),
            format!("cgroups kept appearing for {ROUNDS} rounds"),
        ))
    }

    /// The rows that cgroups have from the roots above them, as far as there are any.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said.
    pub fn inherited(
        &self,
        members: &mut dyn Members,
        roots: &BTreeMap<CgroupId, MemberRow>,
        cgroups: &[CgroupId],
    ) -> Result<BTreeMap<CgroupId, MemberRow>, KernelError> {
        // Whose row the kernel has taken away is gone: no list will show it.
        let mut there = Vec::new();
        for id in cgroups {
            if members.member(*id)?.is_some() {
                there.push(*id);
            }
        }
        let mut born = self.find(there.into_iter())?.born(roots);
        born.retain(|id, _| cgroups.contains(id));
        Ok(born)
    }

    /// Looks at every row, and at every cgroup, given the roots there should be. Writes nothing: what is
    /// wrong is put right by the plan that puts everything else right, in its order.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said.
    pub fn survey(
        &self,
        members: &mut dyn Members,
        roots: &BTreeMap<CgroupId, MemberRow>,
    ) -> Result<Survey, KernelError> {
        let mut held: BTreeMap<_, _> = members.rows()?.into_iter().collect();
        let found = self.find(roots.keys().copied())?;
        let mut wanted = roots.clone();
        let mut room = BTreeMap::new();
        for (id, row) in found.born(roots) {
            // If it was made since the rows were read, it has one by now.
            if !held.contains_key(&id)
                && let Some(row) = members.member(id)?
            {
                held.insert(id, row);
            }
            if !held.contains_key(&id) {
                let room = match room.entry(row.zone) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(members.room(row.zone)?),
                };
                match room.checked_sub(1) {
                    Some(left) => *room = left,
                    None => continue,
                }
            }
            wanted.insert(id, row);
        }
        // That a cgroup was not found says nothing of it: the kernel writes the row before there is anything to
        // be found, keeps what was removed for as long as it has a socket or a task that has ended, and may leave
        // out of a list what is there. It takes the row away with the cgroup. Of a root that is none a row is
        // nobody's.
        for (id, row) in &held {
            if row.origin == Origin::Kernel
                && !found.contains(*id)
                && !roots.contains_key(id)
                && let Some(root) = roots.get(&row.root)
            {
                wanted.insert(*id, born_of(*root));
            }
        }
        let gone = roots.keys().filter(|root| !found.contains(**root));
        let gone = gone.copied().collect();
        let foreign = Foreign::new();
        Ok(Survey {
            held,
            wanted,
            gone,
            foreign,
        })
    }

    /// Every cgroup. Those that are `needed` are gone only if they are in no list of several.
    fn find(&self, needed: impl Iterator<Item = CgroupId>) -> Result<Cgroups, KernelError> {
        let mut needed: Vec<CgroupId> = needed.collect();
        let mut found = self.all()?;
        for _ in 1..LISTS {
            needed.retain(|id| !found.contains(*id));
            if needed.is_empty() {
                break;
            }
            let again = self.all()?;
            if needed.iter().any(|id| again.contains(*id)) {
                found = again;
            }
        }
        Ok(found)
    }

    fn all(&self) -> Result<Cgroups, KernelError> {
        let below = || format!("cgroups below {}", self.tree.root().display());
        self.tree
            .all()
            .map_err(|said| error("list", &below(), said.to_string()))
    }
}

/// Whether the row lets a zone into the cgroup.
fn opens(row: Option<MemberRow>) -> bool {
    row.is_some_and(|row| row.zone != ZoneId::LIMBO)
}

/// Which cgroup a step is about, and the row it gives it.
fn of(step: &MapWrite) -> Option<(CgroupId, Option<MemberRow>)> {
    match *step {
        MapWrite::PutMember(id, row) => Some((id, Some(row))),
        MapWrite::DropMember(id) => Some((id, None)),
        _ => None,
    }
}

/// Writes the row of one cgroup. The kernel takes a row away with the cgroup, but not one that comes later: so a
/// row that the kernel would have made is written anew only where there is a cgroup, and taken back if that
/// went meanwhile. One that is there already the kernel knows of, and it stays its to take away: a
/// cgroup that is not there may still have sockets.
fn settle(
    members: &mut dyn Members,
    id: CgroupId,
    row: Option<MemberRow>,
    is_there: &dyn Fn() -> io::Result<bool>,
) -> Result<(), KernelError> {
    let Some(row) = row else {
        return members.write(MapWrite::DropMember(id));
    };
    if row.origin == Origin::Journal || members.member(id)?.is_some() {
        return members.write(MapWrite::PutMember(id, row));
    }
    let is_there = || {
        let failed = |said: io::Error| error("look for", &format!("cgroup {id}"), said.to_string());
        is_there().map_err(failed)
    };
    if !is_there()? {
        return Ok(());
    }
    members.write(MapWrite::PutMember(id, row))?;
    if is_there()? {
        return Ok(());
    }
    members.write(MapWrite::DropMember(id))
}

pub(super) fn error(operation: &'static str, on: &str, said: String) -> KernelError {
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
