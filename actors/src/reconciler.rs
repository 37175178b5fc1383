//! The reconciler: owns the desired image and makes the kernel's maps agree with it — by a plan for
//! each batch of entries, and by comparison at start, after a failure, on a timer and on demand (D14).
//! What it decides is in [`work`].

pub mod maps;
pub mod own;
mod owners;
pub mod work;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{CgroupId, Mode};
use syva_model::kernel::KernelError;
use syva_model::plan::Diff;
use tokio::task::block_in_place;
use tracing::Span;

use crate::address::{Address, answer};
use crate::drift::Drift;
use crate::fanout::FanoutMsg;
use crate::health::HealthMsg;
use crate::standing::Standing;
use crate::writer::{Look, WriterMsg};
pub use own::OwnFiles;
pub use owners::Owners;
pub use work::{BEHIND, Desired, Notices, Report, Work};

/// What may be asked.
#[derive(Debug)]
pub enum ReconcilerMsg {
    /// This is what is desired from now on; compare everything.
    Adopt(Box<Desired>, RpcReplyPort<Result<Report, KernelError>>),
    /// This changes, with these entries, in this trace.
    Apply(
        Box<Diff>,
        u64,
        Mode,
        Span,
        RpcReplyPort<Result<(), KernelError>>,
    ),
    /// Compare everything now.
    Compare(RpcReplyPort<Result<Report, KernelError>>),
    /// Answer, to show that nothing keeps it.
    Alive(RpcReplyPort<()>),
    /// An owner of a map was restarted: compare.
    Nudge,
    /// The timer.
    Tick,
    /// The pause after a failure is over.
    Retry,
}

/// Whom the reconciler tells. One that is being restarted misses it: health is told again by the next
/// comparison, and so is the writer; drift is in the log and counted, whether or not it is told.
pub struct Listeners {
    /// Who is told of failure.
    pub health: Address<HealthMsg>,
    /// Who is told that a member's cgroup is gone, and asked for the desired image after a restart.
    pub writer: Address<WriterMsg>,
    /// Who tells of drift.
    pub fanout: Address<FanoutMsg>,
}

impl Notices for Listeners {
    fn health(&self, message: HealthMsg) {
        let _ = self.health.cast(message);
    }

    fn gone(&self, cgroups: Vec<CgroupId>) {
        let _ = self.writer.cast(WriterMsg::CgroupsGone(cgroups));
    }

    fn drift(&self, rows: Vec<Drift>) {
        let _ = self.fanout.cast(FanoutMsg::Drift(rows));
    }

    fn wanted(&self) {
        let _ = self.writer.cast(WriterMsg::HandOver);
    }
}

/// What the actor needs.
pub struct ReconcilerArgs {
    /// Where to write.
    pub owners: Owners,
    /// Who is told.
    pub listeners: Listeners,
    /// What is claimed beside what commands claim.
    pub own: OwnFiles,
    /// How often to compare.
    pub interval: Duration,
    /// Differences repaired since the start, for Status.
    pub drift: Arc<AtomicU64>,
    /// Where the maps stand; written here alone.
    pub standing: Arc<Standing>,
}

/// The actor's state.
pub struct ReconcilerState {
    work: Work,
    owners: Owners,
    own: OwnFiles,
    writer: Address<WriterMsg>,
    interval: Duration,
    /// Whether a [`ReconcilerMsg::Retry`] is under way.
    retry_due: bool,
}

impl ReconcilerState {
    /// Sees to it that what is behind is not left to the timer.
    fn retry_soon(&mut self, myself: &ActorRef<ReconcilerMsg>) {
        if self.retry_due {
            return;
        }
        if let Some(pause) = self.work.retry_after(self.interval) {
            self.retry_due = true;
            myself.send_after(pause, || ReconcilerMsg::Retry);
        }
    }

    /// The image rests on what claims' paths are: that the maps hold it is only half of the comparison. The
    /// writer alone knows the paths; one that is being restarted looks by itself.
    fn have_paths_looked_at(&self, who: Look) {
        let _ = self.writer.cast(WriterMsg::Look(who));
    }

    fn take(&mut self, message: ReconcilerMsg, myself: &ActorRef<ReconcilerMsg>) {
        let (work, owners) = (&mut self.work, &mut self.owners);
        match message {
            ReconcilerMsg::Adopt(desired, reply) => answer(reply, work.adopt(owners, *desired)),
            ReconcilerMsg::Apply(diff, seq, mode, span, reply) => {
                let _span = span.entered();
                answer(reply, work.apply(owners, &diff, seq, mode));
            }
            ReconcilerMsg::Compare(reply) => {
                answer(reply, work.compare(owners));
                self.have_paths_looked_at(Look::Asked);
            }
            ReconcilerMsg::Alive(reply) => answer(reply, ()),
            ReconcilerMsg::Nudge => work.tick(owners),
            ReconcilerMsg::Tick => {
                work.tick(owners);
                self.have_paths_looked_at(Look::Routine);
                myself.send_after(self.interval, || ReconcilerMsg::Tick);
            }
            ReconcilerMsg::Retry => {
                self.retry_due = false;
                if work.is_dirty() {
                    work.tick(owners);
                }
            }
        }
    }
}

/// The actor.
#[derive(Debug)]
pub struct Reconciler;

impl Actor for Reconciler {
    type Msg = ReconcilerMsg;
    type State = ReconcilerState;
    type Arguments = ReconcilerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ReconcilerMsg>,
        args: ReconcilerArgs,
    ) -> Result<ReconcilerState, ActorProcessingErr> {
        // One tick at a time, so that they do not pile up behind a comparison that takes longer.
        myself.send_after(args.interval, || ReconcilerMsg::Tick);
        let writer = args.listeners.writer.clone();
        let listeners = Box::new(args.listeners);
        Ok(ReconcilerState {
            work: Work::new(listeners, args.standing, args.drift),
            owners: args.owners,
            own: args.own,
            writer,
            interval: args.interval,
            retry_due: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ReconcilerMsg>,
        mut message: ReconcilerMsg,
        state: &mut ReconcilerState,
    ) -> Result<(), ActorProcessingErr> {
        if let ReconcilerMsg::Adopt(desired, _) = &mut message {
            desired.image.claims.extend(state.own.rows().await);
        }
        block_in_place(|| state.take(message, &myself));
        state.retry_soon(&myself);
        Ok(())
    }
}
