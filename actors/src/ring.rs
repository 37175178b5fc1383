//! The ring reader: the one consumer of the kernel's ring buffer. A thread of its own waits on it,
//! since waiting blocks, and hands what came to the fan-out under a bound.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use syva_model::hook::Hook;
use syva_model::kernel::{EventSource, KernelError, KernelEvent, Verdict};
use tokio::sync::Semaphore;

use crate::address::Address;
use crate::fanout::{Batch, FanoutMsg, Losses};
use crate::loader::LoaderMsg;
use crate::membership::MembershipMsg;
use crate::reconciler::ReconcilerMsg;

/// How long one wait on the ring lasts at most; so long may a stop take.
pub(crate) const WAIT: Duration = Duration::from_millis(100);

/// How many events may be under way to the fan-out. What comes beyond that is counted and dropped.
pub const IN_FLIGHT: usize = 16_384;

/// How many go to the fan-out at once: what one poll brings may be more than may be under way.
const PORTION: usize = 512;

/// What the thread reports.
#[derive(Debug)]
pub enum RingMsg {
    /// Reading failed, in words; the actor restarts with a fresh handle.
    Failed(String),
}

/// What the actor needs.
pub struct RingArgs {
    /// Who has the handle.
    pub loader: Address<LoaderMsg>,
    /// Who gets the events.
    pub fanout: Address<FanoutMsg>,
    /// Who moves back what a zone has pulled in.
    pub membership: Address<MembershipMsg>,
    /// Who then writes anew what the kernel has parked.
    pub reconciler: Address<ReconcilerMsg>,
    /// How many may be under way.
    pub in_flight: Arc<Semaphore>,
    /// Events dropped in user space.
    pub losses: Losses,
    /// Held by the thread that reads: the ring has one consumer, across restarts of this actor.
    pub consumer: Arc<Mutex<()>>,
}

/// Stops the thread when the actor ends, however it ends.
pub struct Reading(Arc<AtomicBool>);

impl Reading {
    fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The actor.
#[derive(Debug)]
pub struct Ring;

impl Actor for Ring {
    type Msg = RingMsg;
    type State = Reading;
    type Arguments = RingArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<RingMsg>,
        args: RingArgs,
    ) -> Result<Reading, ActorProcessingErr> {
        let source = args.loader.call(LoaderMsg::Events).await??;
        let stop = Arc::new(AtomicBool::new(false));
        let reading = Reading(Arc::clone(&stop));
        std::thread::Builder::new()
            .name("syva-ring".into())
            .spawn(move || {
                let _only = args.consumer.lock().unwrap_or_else(PoisonError::into_inner);
                let mut lost = 0;
                let read = || read(source, &args, &stop, &mut lost);
                let read = catch_unwind(AssertUnwindSafe(read));
                args.losses.untold(lost);
                let failed = match read {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "the reading thread panicked".into(),
                };
                // If the actor is gone already there is nobody to restart.
                let _ = myself.cast(RingMsg::Failed(failed));
            })?;
        Ok(reading)
    }

    /// ractor hands the state on to the supervisor, who waits for the thread.
    async fn post_stop(
        &self,
        _: ActorRef<RingMsg>,
        reading: &mut Reading,
    ) -> Result<(), ActorProcessingErr> {
        reading.stop();
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<RingMsg>,
        message: RingMsg,
        _: &mut Reading,
    ) -> Result<(), ActorProcessingErr> {
        let RingMsg::Failed(error) = message;
        Err(error.into())
    }
}

fn read(
    mut source: Box<dyn EventSource>,
    args: &RingArgs,
    stop: &AtomicBool,
    lost: &mut u64,
) -> Result<(), KernelError> {
    while !stop.load(Ordering::Acquire) {
        let mut portion: Vec<KernelEvent> = Vec::new();
        let polled = source.poll(WAIT, &mut |event| {
            give_back(&event, args);
            portion.push(event);
            if portion.len() == PORTION {
                hand_on(std::mem::take(&mut portion), lost, args);
            }
        });
        hand_on(portion, lost, args);
        let unreadable = polled?;
        args.losses.count(unreadable);
        *lost += unreadable;
    }
    Ok(())
}

/// A zone was killed for pulling another's process into a cgroup of its own, which the kernel could only
/// park.
fn give_back(event: &KernelEvent, args: &RingArgs) {
    let pulled = event.hook == Hook::CgroupAttachTask
        && event.verdict == Verdict::Deny
        && event.object != event.subject;
    if !pulled {
        return;
    }
    // The kernel has noted it: whoever is being restarted does it with the next comparison.
    let _ = args.membership.cast(MembershipMsg::BringBack);
    let _ = args.reconciler.cast(ReconcilerMsg::Nudge);
}

/// Hands events on, with how many were `lost` since the last that were; or loses these too.
fn hand_on(events: Vec<KernelEvent>, lost: &mut u64, args: &RingArgs) {
    let Some(count) = u32::try_from(events.len()).ok().filter(|count| *count > 0) else {
        return;
    };
    let Ok(permit) = Arc::clone(&args.in_flight).try_acquire_many_owned(count) else {
        args.losses.count(u64::from(count));
        *lost += u64::from(count);
        return;
    };
    let batch = Batch::new(events, std::mem::take(lost), args.losses.clone(), permit);
    // If nobody takes it, it counts itself as lost.
    let _ = args.fanout.cast(FanoutMsg::Events(batch));
}
