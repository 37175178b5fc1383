//! The control map's actor: epoch, applied and applying sequence, and the wait for running programs.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{Control, Mode, SCHEMA};
use syva_model::kernel::{ControlStore, KernelError};
use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::loader::LoaderMsg;

/// What may be asked of the control map.
#[derive(Debug)]
pub enum ControlMsg {
    /// What does it hold?
    Read(RpcReplyPort<Control>),
    /// A plan up to that entry begins.
    Begin(u64, RpcReplyPort<Result<(), KernelError>>),
    /// Labels cached so far are stale.
    AdvanceEpoch(RpcReplyPort<Result<(), KernelError>>),
    /// The plan up to that entry is written; answered once programs that began before have ended.
    Finish(u64, Mode, RpcReplyPort<Result<(), KernelError>>),
}

/// What the actor needs.
pub struct ControlArgs {
    /// Who has the handle.
    pub loader: Address<LoaderMsg>,
}

/// The map and what it holds.
pub struct ControlState {
    store: Box<dyn ControlStore>,
    row: Control,
}

impl ControlState {
    /// Reads the row, whoever wrote it.
    ///
    /// # Errors
    /// The kernel side's.
    pub fn open(mut store: Box<dyn ControlStore>) -> Result<ControlState, KernelError> {
        let row = Control {
            schema: SCHEMA,
            ..store.read()?
        };
        Ok(ControlState { store, row })
    }

    /// A plan up to that entry begins.
    ///
    /// # Errors
    /// The kernel side's; the row is as before.
    pub fn begin(&mut self, seq: u64) -> Result<(), KernelError> {
        self.set(|row| row.applying = seq)
    }

    /// Labels cached so far are stale.
    ///
    /// # Errors
    /// The kernel side's; the row is as before.
    pub fn advance_epoch(&mut self) -> Result<(), KernelError> {
        self.set(|row| row.epoch += 1)
    }

    /// The plan up to that entry is written: waits until programs that began before have ended.
    ///
    /// # Errors
    /// The kernel side's; the row is as before.
    pub fn finish(&mut self, seq: u64, mode: Mode) -> Result<(), KernelError> {
        self.store.settle()?;
        self.set(|row| (row.applied, row.applying, row.mode) = (seq, seq, mode))
    }

    fn set(&mut self, change: impl FnOnce(&mut Control)) -> Result<(), KernelError> {
        let mut row = self.row;
        change(&mut row);
        self.store.write(&row)?;
        self.row = row;
        Ok(())
    }
}

/// The actor.
#[derive(Debug)]
pub struct ControlActor;

impl Actor for ControlActor {
    type Msg = ControlMsg;
    type State = ControlState;
    type Arguments = ControlArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ControlMsg>,
        args: ControlArgs,
    ) -> Result<ControlState, ActorProcessingErr> {
        let store = args.loader.call(LoaderMsg::Control).await??;
        Ok(ControlState::open(store)?)
    }

    async fn handle(
        &self,
        _: ActorRef<ControlMsg>,
        message: ControlMsg,
        state: &mut ControlState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ControlMsg::Read(reply) => answer(reply, state.row),
            ControlMsg::Begin(seq, reply) => answer(reply, state.begin(seq)),
            ControlMsg::AdvanceEpoch(reply) => answer(reply, state.advance_epoch()),
            ControlMsg::Finish(seq, mode, reply) => {
                answer(reply, block_in_place(|| state.finish(seq, mode)));
            }
        }
        Ok(())
    }
}
