//! The membership actor: what a membership means for the cgroups below the attached one.
//!
//! The journal knows roots; what lies below them is kernel-born. The kernel labels a cgroup as it is
//! made (it copies the parent's row), so only those that are there already are walked here, parents
//! first: once a parent is labelled, whatever is made below it is labelled too, and a second walk
//! finds what was made meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin};
use syva_model::kernel::{KernelError, Rows};
use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::cgroups::{CgroupTree, Found};
use crate::map::MapMsg;

/// How often a walk is repeated until it finds nothing to change. Each round needs a cgroup made
/// between its parent's reading and its parent's labelling, so two do in practice.
const ROUNDS: usize = 8;

/// What may be asked.
#[derive(Debug)]
pub enum MembershipMsg {
    /// Apply `PutMember` and `DropMember` steps in order.
    Write(Vec<MapWrite>, RpcReplyPort<Result<(), KernelError>>),
    /// Check the kernel-born rows against cgroupfs, given the roots there should be.
    Check(
        BTreeMap<CgroupId, MemberRow>,
        RpcReplyPort<Result<Checked, KernelError>>,
    ),
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were missing or wrong, now right.
    pub relabelled: Vec<CgroupId>,
    /// Rows whose root is no member, or not above them, or whose own cgroup is gone; now gone too.
    pub removed: Vec<CgroupId>,
    /// Roots whose cgroup is gone.
    pub gone: Vec<CgroupId>,
}

/// What the actor needs.
pub struct MembershipArgs {
    /// Who owns the members map.
    pub members: Address<MapMsg>,
    /// The cgroup tree.
    pub tree: CgroupTree,
}

/// The actor's state.
pub struct Walker {
    members: Address<MapMsg>,
    tree: CgroupTree,
    /// Cgroups with a kernel-born row that the last check did not find. The kernel writes the row just
    /// before the cgroup can be seen, so only the next check is sure.
    unseen: BTreeSet<CgroupId>,
}

impl Walker {
    async fn steps(&self, steps: &[MapWrite]) -> Result<(), KernelError> {
        let paths = self.paths()?;
        for step in steps {
            match *step {
                MapWrite::PutMember(id, row) => {
                    self.put(id, row).await?;
                    if let Some(path) = paths.get(&id) {
                        self.label_below(id, path, row).await?;
                    }
                }
                MapWrite::DropMember(id) => self.drop_member(id, paths.get(&id)).await?,
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
    async fn label_below(
        &self,
        root: CgroupId,
        path: &str,
        row: MemberRow,
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
                match self.member(id).await? {
                    Some(held) if held.origin == Origin::Journal => continue,
                    Some(held) if held == row => {}
                    _ => {
                        self.put_born(id, &inner, row).await?;
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
    async fn drop_member(&self, root: CgroupId, path: Option<&String>) -> Result<(), KernelError> {
        let heir = match path {
            Some(path) => self.heir(path).await?,
            None => None,
        };
        let Some(path) = path else {
            return self.write(MapWrite::DropMember(root)).await;
        };
        self.hand_over(root, path, heir).await?;
        for _ in 0..ROUNDS {
            let mut changed = false;
            let mut waiting = self.children(path)?;
            while let Some((id, inner)) = waiting.pop() {
                let held = self.member(id).await?;
                if held.is_some_and(|held| held.origin == Origin::Journal) {
                    continue;
                }
                if held.is_some_and(|held| held.root == root) {
                    self.hand_over(id, &inner, heir).await?;
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
    async fn heir(&self, path: &str) -> Result<Option<MemberRow>, KernelError> {
        for id in self.tree.above(path) {
            if let Some(row) = self.member(id).await? {
                return Ok(Some(MemberRow {
                    origin: Origin::Kernel,
                    ..row
                }));
            }
        }
        Ok(None)
    }

    async fn hand_over(
        &self,
        id: CgroupId,
        path: &str,
        heir: Option<MemberRow>,
    ) -> Result<(), KernelError> {
        match heir {
            Some(row) => self.put_born(id, path, row).await,
            None => self.write(MapWrite::DropMember(id)).await,
        }
    }

    /// Writes the row that the kernel would have. The kernel removes it with the cgroup; if that went
    /// before the row came, nobody would.
    async fn put_born(&self, id: CgroupId, path: &str, row: MemberRow) -> Result<(), KernelError> {
        self.put(id, row).await?;
        if self.tree.id_at(path) == Some(id) {
            return Ok(());
        }
        self.write(MapWrite::DropMember(id)).await
    }

    async fn check(
        &mut self,
        roots: &BTreeMap<CgroupId, MemberRow>,
    ) -> Result<Checked, KernelError> {
        let mut checked = Checked::default();
        let Rows::Members(rows) = self.members.call(MapMsg::Rows).await?? else {
            return Err(error("read", "members", "the map holds other rows".into()));
        };
        // After the rows: a cgroup that has one and is not found is gone, or is just being made.
        let paths = self.paths()?;
        for (root, row) in roots {
            match paths.get(root) {
                Some(path) => {
                    let changed = self.label_below(*root, path, *row).await?;
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
            if stray && self.member(id).await? == Some(row) {
                self.write(MapWrite::DropMember(id)).await?;
                checked.removed.push(id);
            }
        }
        self.unseen = unseen;
        Ok(checked)
    }

    async fn put(&self, id: CgroupId, row: MemberRow) -> Result<(), KernelError> {
        self.write(MapWrite::PutMember(id, row)).await
    }

    async fn write(&self, step: MapWrite) -> Result<(), KernelError> {
        self.members
            .call(|reply| MapMsg::Write(vec![step], reply))
            .await?
    }

    async fn member(&self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        self.members.call(|reply| MapMsg::Member(id, reply)).await?
    }

    fn paths(&self) -> Result<BTreeMap<CgroupId, String>, KernelError> {
        let root = self.tree.root().display();
        block_in_place(|| self.tree.all())
            .map_err(|said| error("list", &format!("cgroups below {root}"), said.to_string()))
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

/// The actor.
#[derive(Debug)]
pub struct Membership;

impl Actor for Membership {
    type Msg = MembershipMsg;
    type State = Walker;
    type Arguments = MembershipArgs;

    async fn pre_start(
        &self,
        _: ActorRef<MembershipMsg>,
        args: MembershipArgs,
    ) -> Result<Walker, ActorProcessingErr> {
        Ok(Walker {
            members: args.members,
            tree: args.tree,
            unseen: BTreeSet::new(),
        })
    }

    async fn handle(
        &self,
        _: ActorRef<MembershipMsg>,
        message: MembershipMsg,
        walker: &mut Walker,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MembershipMsg::Write(steps, reply) => {
                answer(reply, walker.steps(&steps).await);
            }
            MembershipMsg::Check(roots, reply) => {
                answer(reply, walker.check(&roots).await);
            }
        }
        Ok(())
    }
}
