//! The ring reader: the one consumer of the kernel's ring buffer. A thread of its own waits on it,
//! since waiting blocks, and hands what came to the fan-out under a bound.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use syva_model::kernel::{EventSource, KernelError, KernelEvent};
use tokio::sync::Semaphore;

use crate::address::Address;
use crate::fanout::FanoutMsg;
use crate::loader::LoaderMsg;

/// How long one wait on the ring lasts at most; so long may a stop take.
const WAIT: Duration = Duration::from_millis(100);

/// How many events may be under way to the fan-out. What comes beyond that is counted and dropped.
pub const IN_FLIGHT: usize = 16_384;

/// What the thread reports.
#[derive(Debug)]
pub enum RingMsg {
    /// Reading failed; the actor restarts with a fresh handle.
    Failed(KernelError),
}

/// What the actor needs.
pub struct RingArgs {
    /// Who has the handle.
    pub loader: Address<LoaderMsg>,
    /// Who gets the events.
    pub fanout: Address<FanoutMsg>,
    /// How many may be under way.
    pub in_flight: Arc<Semaphore>,
    /// Events dropped in user space.
    pub dropped: Arc<AtomicU64>,
    /// Held by the thread that reads: the ring has one consumer, across restarts of this actor.
    pub consumer: Arc<Mutex<()>>,
}

/// Stops the thread when the actor ends, however it ends.
pub struct Reading(Arc<AtomicBool>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
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
                if let Err(error) = read(source, &args, &stop) {
                    // If the actor is gone already there is nobody to restart.
                    let _ = myself.cast(RingMsg::Failed(error));
                }
            })?;
        Ok(reading)
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
) -> Result<(), KernelError> {
    while !stop.load(Ordering::Acquire) {
        let mut events: Vec<KernelEvent> = Vec::new();
        let bad = source.poll(WAIT, &mut |event| events.push(event))?;
        args.dropped.fetch_add(bad, Ordering::Relaxed);
        hand_on(events, args);
    }
    Ok(())
}

fn hand_on(events: Vec<KernelEvent>, args: &RingArgs) {
    let Ok(count) = u32::try_from(events.len()) else {
        return;
    };
    if count == 0 {
        return;
    }
    let sent = Arc::clone(&args.in_flight)
        .try_acquire_many_owned(count)
        .is_ok_and(|permit| args.fanout.cast(FanoutMsg::Events(events, permit)).is_ok());
    if !sent {
        args.dropped.fetch_add(u64::from(count), Ordering::Relaxed);
    }
}
