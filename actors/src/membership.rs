//! The membership actor: what a membership means for the cgroups below the attached one.
//!
//! The journal knows roots; what lies below them is kernel-born. The kernel labels a cgroup as it is
//! made (it copies the parent's row), so only those that are there already are walked here, parents
//! first: once a parent is labelled, whatever is made below it is labelled too, and a second walk
//! finds what was made meanwhile.

pub mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{CgroupId, MapWrite, MemberRow, ZoneId};
use syva_model::kernel::{KernelError, Recounted, Rows};
use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::cgroups::{self, CgroupTree, Cgroups, Hierarchy as _};
use crate::map::MapMsg;
pub use walk::{Members, Survey, Walker};

/// What may be asked.
#[derive(Debug)]
pub enum MembershipMsg {
    /// Apply `PutMember` and `DropMember` steps in order, of a plan that names those cgroups.
    Write(
        Vec<MapWrite>,
        BTreeSet<CgroupId>,
        RpcReplyPort<Result<(), KernelError>>,
    ),
    /// A zone pulled a process of another's into a cgroup of its own: move it back to that one.
    Return(u32, CgroupId),
    /// Which rows do those cgroups have from the roots above them?
    Inherited(
        BTreeMap<CgroupId, MemberRow>,
        Vec<CgroupId>,
        RpcReplyPort<Result<BTreeMap<CgroupId, MemberRow>, KernelError>>,
    ),
    /// Compare what zones are counted to have with the rows, and correct it.
    Recount(RpcReplyPort<Result<Vec<Recounted>, KernelError>>),
    /// Look at every row and every cgroup, given the roots there should be.
    Survey(
        BTreeMap<CgroupId, MemberRow>,
        RpcReplyPort<Result<Survey, KernelError>>,
    ),
}

/// What the actor needs.
pub struct MembershipArgs {
    /// Who owns the members map.
    pub members: Address<MapMsg>,
    /// The cgroup tree.
    pub tree: CgroupTree,
}

/// The actor's state.
pub struct MembershipState {
    members: Owner,
    walker: Walker<CgroupTree>,
    tree: CgroupTree,
}

/// The members map, by way of its owner.
struct Owner(Address<MapMsg>);

impl Members for Owner {
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        self.0.wait(|reply| MapMsg::Member(id, reply))?
    }

    fn write(&mut self, step: MapWrite) -> Result<(), KernelError> {
        self.0.wait(|reply| MapMsg::Write(vec![step], reply))?
    }

    fn room(&mut self, zone: ZoneId) -> Result<u64, KernelError> {
        self.0.wait(|reply| MapMsg::Room(zone, reply))?
    }

    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        self.0.wait(MapMsg::Recount)?
    }

    fn rows(&mut self) -> Result<Vec<(CgroupId, MemberRow)>, KernelError> {
        match self.0.wait(MapMsg::Rows)?? {
            Rows::Members(rows) => Ok(rows),
            _ => Err(KernelError {
                operation: "read",
                on: "members".into(),
                said: "the map holds other rows".into(),
                errno: None,
                remedy: String::new(),
            }),
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Membership;

impl Actor for Membership {
    type Msg = MembershipMsg;
    type State = MembershipState;
    type Arguments = MembershipArgs;

    async fn pre_start(
        &self,
        _: ActorRef<MembershipMsg>,
        args: MembershipArgs,
    ) -> Result<MembershipState, ActorProcessingErr> {
        Ok(MembershipState {
            members: Owner(args.members),
            walker: Walker::new(args.tree.clone()),
            tree: args.tree,
        })
    }

    async fn handle(
        &self,
        _: ActorRef<MembershipMsg>,
        message: MembershipMsg,
        state: &mut MembershipState,
    ) -> Result<(), ActorProcessingErr> {
        let MembershipState {
            members,
            walker,
            tree,
        } = state;
        block_in_place(|| match message {
            MembershipMsg::Write(steps, named, reply) => {
                answer(reply, walker.steps(members, &steps, &named));
            }
            MembershipMsg::Return(pid, home) => match give_back(members, tree, pid, home) {
                Ok(path) => {
                    tracing::warn!(
                        pid,
                        path,
                        "a process that a zone pulled in is back where it was"
                    );
                }
                Err(said) => {
                    tracing::error!(pid, %home, said, "a process that a zone pulled in is not back");
                }
            },
            MembershipMsg::Inherited(roots, cgroups, reply) => {
                answer(reply, walker.inherited(members, &roots, &cgroups));
            }
            MembershipMsg::Recount(reply) => answer(reply, members.recount()),
            MembershipMsg::Survey(roots, reply) => answer(reply, walker.survey(members, &roots)),
        });
        Ok(())
    }
}

/// Moves a process back to the cgroup it was pulled out of. Only one that is in some zone's cgroup, or in
/// one that is parked for its sake: its number may have been given to another process meanwhile.
fn give_back(
    members: &mut dyn Members,
    tree: &CgroupTree,
    pid: u32,
    home: CgroupId,
) -> Result<String, String> {
    let found = tree.all().map_err(|said| said.to_string())?;
    if !is_in_a_zone(members, tree, &found, pid)? {
        return Err("it is in no zone's cgroup".into());
    }
    let path = found.path(home).ok_or("the cgroup it was in is gone")?;
    tree.move_process(pid, &found, home)
        .map_err(|said| said.to_string())?;
    Ok(path)
}

/// Whether the cgroup that a process is in has a row. Where its path is longer than `PATH_MAX` the kernel does not
/// say it (ENAMETOOLONG), or cuts it off (as 6.12 does: `kernfs_path_from_node_locked()` in fs/kernfs/dir.c), and a zone can pull it
/// into such a cgroup. That is parked then.
fn is_in_a_zone(
    members: &mut dyn Members,
    tree: &CgroupTree,
    found: &Cgroups,
    pid: u32,
) -> Result<bool, String> {
    let there = match cgroups::of_process(&pid.to_string()) {
        Ok(path) => tree.id_at(&path),
        Err(said) if said.kind() == io::ErrorKind::InvalidFilename => Ok(None),
        Err(said) => Err(said),
    };
    let there = there.map_err(|said| said.to_string())?;
    let row = there.map(|id| members.member(id)).transpose();
    if row.map_err(|said| said.to_string())?.flatten().is_some() {
        return Ok(true);
    }
    let rows = members.rows().map_err(|said| said.to_string())?;
    let parked = rows.iter().filter(|(_, row)| row.zone == ZoneId::LIMBO);
    let holds = |(id, _): &(CgroupId, MemberRow)| tree.holds(found, *id, pid);
    let held: io::Result<Vec<bool>> = parked.map(holds).collect();
    Ok(held.map_err(|said| said.to_string())?.contains(&true))
}
