//! The membership actor: what a membership means for the cgroups below the attached one.
//!
//! The journal knows roots; what lies below them is kernel-born. The kernel labels a cgroup as it is
//! made (it copies the parent's row), so only those that are there already are walked here, parents
//! first: once a parent is labelled, whatever is made below it is labelled too, and a second walk
//! finds what was made meanwhile.

pub mod foreign;
pub mod walk;

use std::collections::{BTreeMap, BTreeSet};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{CgroupId, MapWrite, MemberRow, ZoneId};
use syva_model::kernel::{KernelError, Pulled, Recounted, Rows};
use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::cgroups::CgroupTree;
use crate::map::MapMsg;
use foreign::{bring_back, in_limbo, park};
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
    /// Zones have pulled processes into cgroups of their own: move them back.
    BringBack,
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
    fn pulled(&mut self) -> Result<Vec<Pulled>, KernelError> {
        self.0.wait(MapMsg::Pulled)?
    }

    fn forget_pulled(&mut self, pulled: &Pulled) -> Result<(), KernelError> {
        self.0.wait(|reply| MapMsg::ForgetPulled(*pulled, reply))?
    }

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
                answer(reply, write(members, walker, tree, &steps, &named));
            }
            MembershipMsg::BringBack => {
                if let Err(error) = bring_back(members, tree) {
                    tracing::error!(%error, "what zones pulled in is not moved back; trying again");
                }
            }
            MembershipMsg::Inherited(roots, cgroups, reply) => {
                answer(reply, walker.inherited(members, &roots, &cgroups));
            }
            MembershipMsg::Recount(reply) => answer(reply, members.recount()),
            MembershipMsg::Survey(roots, reply) => {
                answer(reply, survey(members, walker, tree, &roots));
            }
        });
        Ok(())
    }
}

/// Applies steps; what foreign processes are in is nobody's until they are out of it.
fn write(
    members: &mut Owner,
    walker: &Walker<CgroupTree>,
    tree: &CgroupTree,
    steps: &[MapWrite],
    named: &BTreeSet<CgroupId>,
) -> Result<(), KernelError> {
    let kept = bring_back(members, tree)?.into_keys().collect();
    walker.steps(members, steps, named, &kept)?;
    park(members)
}

fn survey(
    members: &mut Owner,
    walker: &Walker<CgroupTree>,
    tree: &CgroupTree,
    roots: &BTreeMap<CgroupId, MemberRow>,
) -> Result<Survey, KernelError> {
    let foreign = bring_back(members, tree)?;
    let mut survey = walker.survey(members, roots)?;
    for id in foreign.keys() {
        if let Some(row) = survey.held.get(id) {
            survey.wanted.insert(*id, in_limbo(*row));
        }
    }
    survey.foreign = foreign;
    Ok(survey)
}
