//! A map's actor: owns one policy map, applies runs of plan steps to it, reads it back.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{CgroupId, MapWrite, MemberRow, Table, ZoneId};
use syva_model::kernel::{KernelError, Pulled, Recounted, Rows, TableStore};
use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::loader::LoaderMsg;

/// So many steps are written without giving the thread's other tasks away first: a write to a map
/// takes about a microsecond.
const FEW: usize = 64;

/// What may be asked of a map.
#[derive(Debug)]
pub enum MapMsg {
    /// Apply steps in order; stops at the first that fails.
    Write(Vec<MapWrite>, RpcReplyPort<Result<(), KernelError>>),
    /// Read one membership.
    Member(
        CgroupId,
        RpcReplyPort<Result<Option<MemberRow>, KernelError>>,
    ),
    /// How many more rows that the kernel makes the zone may have.
    Room(ZoneId, RpcReplyPort<Result<u64, KernelError>>),
    /// Compare what is counted by zone with the rows, and correct it.
    Recount(RpcReplyPort<Result<Vec<Recounted>, KernelError>>),
    /// The processes that zones have pulled in.
    Pulled(RpcReplyPort<Result<Vec<Pulled>, KernelError>>),
    /// One of them needs nothing any more.
    ForgetPulled(Pulled, RpcReplyPort<Result<(), KernelError>>),
    /// Read everything.
    Rows(RpcReplyPort<Result<Rows, KernelError>>),
}

/// What a map's actor needs.
pub struct MapArgs {
    /// Which map.
    pub table: Table,
    /// Who has the handle.
    pub loader: Address<LoaderMsg>,
}

/// Applies steps in order, up to the first that fails.
///
/// # Errors
/// The kernel side's.
pub fn write(store: &mut dyn TableStore, steps: &[MapWrite]) -> Result<(), KernelError> {
    steps.iter().try_for_each(|step| {
        fail::fail_point!("map-before-write", |_| std::process::abort());
        store.write(step)
    })
}

/// The actor.
#[derive(Debug)]
pub struct Map;

impl Actor for Map {
    type Msg = MapMsg;
    type State = Box<dyn TableStore>;
    type Arguments = MapArgs;

    async fn pre_start(
        &self,
        _: ActorRef<MapMsg>,
        args: MapArgs,
    ) -> Result<Box<dyn TableStore>, ActorProcessingErr> {
        Ok(args
            .loader
            .call(|reply| LoaderMsg::Table(args.table, reply))
            .await??)
    }

    async fn handle(
        &self,
        _: ActorRef<MapMsg>,
        message: MapMsg,
        store: &mut Box<dyn TableStore>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MapMsg::Write(steps, reply) => {
                let outcome = match steps.len() {
                    0..=FEW => write(&mut **store, &steps),
                    _ => block_in_place(|| write(&mut **store, &steps)),
                };
                answer(reply, outcome);
            }
            MapMsg::Member(id, reply) => answer(reply, store.member(id)),
            MapMsg::Room(zone, reply) => answer(reply, store.room(zone)),
            MapMsg::Recount(reply) => answer(reply, block_in_place(|| store.recount())),
            MapMsg::Pulled(reply) => answer(reply, store.pulled()),
            MapMsg::ForgetPulled(pulled, reply) => answer(reply, store.forget_pulled(&pulled)),
            MapMsg::Rows(reply) => answer(reply, block_in_place(|| store.rows())),
        }
        Ok(())
    }
}
