//! The loader: owns the kernel object, and hands its parts to their owners.

use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::Table;
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, EventSource, Kernel, KernelError, LinkStore, Prober,
    TableStore,
};

use tokio::task::block_in_place;

use crate::address::{Address, answer};
use crate::atlas::Atlas;
use crate::failures::{Failures, LOOK, Trouble};
use crate::health::HealthMsg;
use crate::park::{Lent, Park};

/// A kernel side, whichever.
pub type BoxedKernel = Box<dyn Kernel>;

/// What the owners of the parts ask for.
pub enum LoaderMsg {
    /// A policy map.
    Table(
        Table,
        RpcReplyPort<Result<Box<dyn TableStore>, KernelError>>,
    ),
    /// The control map.
    Control(RpcReplyPort<Result<Box<dyn ControlStore>, KernelError>>),
    /// The ring buffer.
    Events(RpcReplyPort<Result<Box<dyn EventSource>, KernelError>>),
    /// The prober.
    Prober(RpcReplyPort<Result<Arc<dyn Prober>, KernelError>>),
    /// The counters.
    Counters(RpcReplyPort<Result<Arc<dyn CounterSource>, KernelError>>),
    /// The files that were linked out of claims.
    Links(RpcReplyPort<Result<Arc<dyn LinkStore>, KernelError>>),
    /// Detach everything.
    Unload(RpcReplyPort<Result<(), KernelError>>),
    /// Look for failures in the kernel, and again after a while.
    Look,
}

/// What a loader needs. The kernel is parked, so that programs stay attached while it restarts.
pub struct LoaderArgs {
    /// The kernel side.
    pub kernel: Park<BoxedKernel>,
    /// How large its maps must be.
    pub capacity: Capacity,
    /// Who is told what was achieved.
    pub health: Address<HealthMsg>,
    /// What zones are called.
    pub atlas: Atlas,
    /// What health was told of the kernel's counts. Parked, so that it can be taken back by whoever is here then.
    pub failures: Park<Failures>,
}

/// The actor's state.
pub struct LoaderState {
    kernel: Lent<BoxedKernel>,
    health: Address<HealthMsg>,
    atlas: Atlas,
    failures: Lent<Failures>,
}

impl LoaderState {
    /// What the kernel counts that health is to know of.
    fn troubles(&self) -> Result<Vec<Trouble>, KernelError> {
        let counters = self.kernel.counters()?;
        let mut all: Vec<_> = counters
            .let_through()?
            .into_iter()
            .map(Trouble::from)
            .collect();
        let usage = counters.usage()?;
        all.extend(
            usage
                .iter()
                .map(|usage| Trouble::quota(&self.atlas.zone(usage.zone), usage)),
        );
        Ok(all)
    }

    fn look(&mut self) {
        match self.troubles() {
            Ok(found) => {
                for told in self.failures.look(found, Instant::now()) {
                    // While health is being restarted it misses a reason, but not the log.
                    let _ = self.health.cast(told);
                }
            }
            // After an unload there is nothing to read.
            Err(error) => tracing::debug!(%error, "looking for failures in the kernel"),
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Loader;

impl Actor for Loader {
    type Msg = LoaderMsg;
    type State = LoaderState;
    type Arguments = LoaderArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<LoaderMsg>,
        args: LoaderArgs,
    ) -> Result<LoaderState, ActorProcessingErr> {
        let mut kernel = args
            .kernel
            .lend()
            .ok_or("the kernel object is still in use")?;
        let failures = args.failures.lend().ok_or("the counts are still in use")?;
        let capacity = args.capacity;
        // Loading verifies programs: seconds under emulation, and it blocks.
        let (kernel, loaded) = tokio::task::spawn_blocking(move || {
            let loaded = kernel.load(&capacity);
            (kernel, loaded)
        })
        .await?;
        args.health.cast(HealthMsg::Loaded(Box::new(loaded?)))?;
        myself.cast(LoaderMsg::Look)?;
        Ok(LoaderState {
            kernel,
            health: args.health,
            atlas: args.atlas,
            failures,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<LoaderMsg>,
        message: LoaderMsg,
        state: &mut LoaderState,
    ) -> Result<(), ActorProcessingErr> {
        let kernel = &mut state.kernel;
        match message {
            LoaderMsg::Table(table, reply) => answer(reply, kernel.table(table)),
            LoaderMsg::Control(reply) => answer(reply, kernel.control()),
            LoaderMsg::Events(reply) => answer(reply, kernel.events()),
            LoaderMsg::Prober(reply) => answer(reply, kernel.prober()),
            LoaderMsg::Counters(reply) => answer(reply, kernel.counters()),
            LoaderMsg::Links(reply) => answer(reply, kernel.links()),
            LoaderMsg::Unload(reply) => answer(reply, kernel.unload()),
            LoaderMsg::Look => {
                block_in_place(|| state.look());
                myself.send_after(LOOK, || LoaderMsg::Look);
            }
        }
        Ok(())
    }
}
