//! The walk: what the membership actor decides, without ractor. Which cgroups below a root get which
//! row, and which kernel-born rows are wrong.

use std::collections::{BTreeMap, BTreeSet};

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

    /// Whether the zone may have another row that the kernel makes.
    ///
    /// # Errors
    /// The kernel side's.
    fn has_room(&mut self, _zone: ZoneId) -> Result<bool, KernelError> {
        Ok(true)
    }

    /// Compares what zones are counted to have with the rows, and corrects the counts.
    ///
    /// # Errors
    /// The kernel side's.
    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        Ok(Vec::new())
    }
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were missing or wrong, now right.
    pub relabelled: Vec<CgroupId>,
    /// Rows whose root is no member, or not above them, or whose own cgroup is gone; now gone too.
    pub removed: Vec<CgroupId>,
    /// Counts of what zones have that were not the numbers of the rows, and are now.
    pub recounted: Vec<Recounted>,
    /// Roots whose cgroup is gone.
    pub gone: Vec<CgroupId>,
}

/// Whether what has no row gets one beyond its zone's quota, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// The host says what is in the zone.
    None,
    /// Neither the kernel nor the daemon gives a zone more than it may have. Such a cgroup is closed to it.
    Quota,
}

/// Walks one hierarchy.
pub struct Walker<H> {
    tree: H,
    /// Cgroups with a kernel-born row that the last check did not find. The kernel writes the row just
    /// before the cgroup can be seen, so only the next check is sure.
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

    /// Applies `PutMember` and `DropMember` steps in order.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said; the steps before are done.
    pub fn steps(&self, members: &mut dyn Members, steps: &[MapWrite]) -> Result<(), KernelError> {
        let paths = self.paths()?;
        for step in steps {
            match *step {
                MapWrite::PutMember(id, row) => {
                    members.write(*step)?;
                    if let Some(path) = paths.get(&id) {
                        self.label_below(members, id, path, row, Bound::None)?;
                    }
                }
                MapWrite::DropMember(id) => self.drop_member(members, id, paths.get(&id))?,
                _ => {
                    return Err(error(
                        "label",
                        "a cgroup",
                        "the step is no membership's".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Labels what lies below a root, other roots and what is theirs left alone.
    fn label_below(
        &self,
        members: &mut dyn Members,
        root: CgroupId,
        path: &str,
        row: MemberRow,
        bound: Bound,
    ) -> Result<Vec<CgroupId>, KernelError> {
        let row = MemberRow {
            root,
            origin: Origin::Kernel,
            ..row
        };
        let mut changed = Vec::new();
        for _ in 0..ROUNDS {
            let before = changed.len();
            let mut waiting: Vec<Found> = self.children(path)?;
            while let Some((id, inner)) = waiting.pop() {
                match members.member(id)? {
                    Some(held) if held.origin == Origin::Journal => continue,
                    Some(held) if held == row => {}
                    None if bound == Bound::Quota && !members.has_room(row.zone)? => continue,
                    _ => {
                        self.put_born(members, id, &inner, row)?;
                        changed.push(id);
                    }
                }
                waiting.extend(self.children(&inner)?);
            }
            if changed.len() == before {
                return Ok(changed);
            }
        }
        Err(error(
            "label",
            path,
            format!("cgroups kept appearing for {ROUNDS} rounds"),
        ))
    }

    /// Takes a root's subtree out of its zone: into the zone of the member above it, or into none.
    /// Parents first, so that nothing new is made under the old label.
    fn drop_member(
        &self,
        members: &mut dyn Members,
        root: CgroupId,
        path: Option<&String>,
    ) -> Result<(), KernelError> {
        let Some(path) = path else {
            return members.write(MapWrite::DropMember(root));
        };
        let heir = self.heir(members, path)?;
        self.hand_over(members, root, path, heir)?;
        for _ in 0..ROUNDS {
            let mut changed = false;
            let mut waiting = self.children(path)?;
            while let Some((id, inner)) = waiting.pop() {
                let held = members.member(id)?;
                if held.is_some_and(|held| held.origin == Origin::Journal) {
                    continue;
                }
                if held.is_some_and(|held| held.root == root) {
                    self.hand_over(members, id, &inner, heir)?;
                    changed = true;
                }
                waiting.extend(self.children(&inner)?);
            }
            if !changed {
                return Ok(());
            }
        }
        Err(error(
            "unlabel",
            path,
            format!("cgroups kept appearing for {ROUNDS} rounds"),
        ))
    }

    /// The row that what lies at `path` inherits from above.
    fn heir(
        &self,
        members: &mut dyn Members,
        path: &str,
    ) -> Result<Option<MemberRow>, KernelError> {
        for id in self.tree.above(path) {
            if let Some(row) = members.member(id)? {
                return Ok(Some(MemberRow {
                    origin: Origin::Kernel,
                    ..row
                }));
            }
        }
        Ok(None)
    }

    fn hand_over(
        &self,
        members: &mut dyn Members,
        id: CgroupId,
        path: &str,
        heir: Option<MemberRow>,
    ) -> Result<(), KernelError> {
        match heir {
            Some(row) => self.put_born(members, id, path, row),
            None => members.write(MapWrite::DropMember(id)),
        }
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

    /// Checks the kernel-born rows against the hierarchy, given the roots there should be, and puts
    /// them right.
    ///
    /// # Errors
    /// The kernel side's, or what reading the hierarchy said.
    pub fn check(
        &mut self,
        members: &mut dyn Members,
        roots: &BTreeMap<CgroupId, MemberRow>,
    ) -> Result<Checked, KernelError> {
        let mut checked = Checked::default();
        let rows = members.rows()?;
        // After the rows: a cgroup that has one and is not found is gone, or is just being made.
        let paths = self.paths()?;
        for (root, row) in roots {
            match paths.get(root) {
                Some(path) => {
                    let changed = self.label_below(members, *root, path, *row, Bound::Quota)?;
                    checked.relabelled.extend(changed);
                }
                None => checked.gone.push(*root),
            }
        }
        let mut unseen = BTreeSet::new();
        for (id, row) in rows {
            if row.origin == Origin::Journal {
                continue;
            }
            let rooted = roots
                .get(&row.root)
                .is_some_and(|root| root.zone == row.zone);
            let stray = match (paths.get(&row.root), paths.get(&id)) {
                _ if !rooted => true,
                (_, None) => {
                    unseen.insert(id);
                    self.unseen.contains(&id)
                }
                (Some(root), Some(path)) => !lies_below(path, root),
                (None, Some(_)) => false,
            };
            // What was relabelled above is no stray any more.
            if stray && members.member(id)? == Some(row) {
                members.write(MapWrite::DropMember(id))?;
                checked.removed.push(id);
            }
        }
        self.unseen = unseen;
        checked.recounted = members.recount()?;
        Ok(checked)
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

fn lies_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.starts_with('/'))
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
