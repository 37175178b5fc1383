//! The fan-out: gives every denial to every subscriber, under a bound a subscriber. One that lags
//! loses events, is told how many, and slows nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::hook::ObjectKind;
use syva_model::kernel::KernelEvent;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::address::answer;
use crate::atlas::Atlas;

/// How many past events a new subscriber can have.
const RECENT: usize = 1024;

/// How many events one subscriber may be behind: whatever may be under way from the ring at once, so
/// that a burst alone loses nothing to one that keeps up.
const BEHIND: usize = crate::ring::IN_FLIGHT;

/// A kernel event, with what its ids are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What the kernel told.
    pub kernel: KernelEvent,
    /// The caller's zone.
    pub zone: String,
    /// The object's zone.
    pub target: String,
    /// The object's path, as far as the claim and the object's own name tell it; empty without one.
    pub path: String,
}

/// An event on its way to one subscriber.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub denial: Arc<Denial>,
    /// How many events this subscriber lost just before it.
    pub lost_before: u64,
}

/// What may be asked.
pub enum FanoutMsg {
    /// Events from the ring.
    Events(Vec<KernelEvent>, OwnedSemaphorePermit),
    /// Recent events, and with `true` those to come.
    Subscribe(bool, RpcReplyPort<mpsc::Receiver<Delivery>>),
}

/// What the actor needs.
pub struct FanoutArgs {
    /// Names.
    pub atlas: Atlas,
    /// Events dropped in user space.
    pub dropped: Arc<AtomicU64>,
}

struct Subscriber {
    sender: mpsc::Sender<Delivery>,
    lost: u64,
}

/// The subscribers, and what a new one gets first.
pub struct Hub {
    args: FanoutArgs,
    recent: VecDeque<Arc<Denial>>,
    subscribers: Vec<Subscriber>,
}

impl Hub {
    /// A hub without subscribers.
    pub fn new(args: FanoutArgs) -> Hub {
        Hub {
            args,
            recent: VecDeque::new(),
            subscribers: Vec::new(),
        }
    }

    /// Gives an event to everyone.
    pub fn publish(&mut self, kernel: KernelEvent) {
        let denial = Arc::new(describe(kernel, &self.args.atlas));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(&denial));
        let dropped = &self.args.dropped;
        self.subscribers.retain_mut(|subscriber| {
            let lost_before = subscriber.lost;
            match subscriber.sender.try_send(Delivery {
                denial: Arc::clone(&denial),
                lost_before,
            }) {
                Ok(()) => subscriber.lost = 0,
                Err(TrySendError::Full(_)) => {
                    subscriber.lost += 1;
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(TrySendError::Closed(_)) => return false,
            }
            true
        });
    }

    /// A stream of the recent events, and with `follow` of those to come.
    pub fn subscribe(&mut self, follow: bool) -> mpsc::Receiver<Delivery> {
        let (sender, receiver) = mpsc::channel(BEHIND);
        for denial in &self.recent {
            // It holds more than the recent events are.
            let _ = sender.try_send(Delivery {
                denial: Arc::clone(denial),
                lost_before: 0,
            });
        }
        if follow {
            self.subscribers.push(Subscriber { sender, lost: 0 });
        }
        receiver
    }
}

fn describe(kernel: KernelEvent, atlas: &Atlas) -> Denial {
    let claimed = kernel.claim.and_then(|key| atlas.claim(&key));
    let path = match claimed {
        Some(claim) if kernel.depth == 0 => claim,
        Some(claim) if kernel.depth == 1 => format!("{claim}/{}", kernel.name),
        // What lies between is not in the event.
        Some(claim) => format!("{claim}/…/{}", kernel.name),
        None if kernel.hook.object_kind() == ObjectKind::Task => String::new(),
        None => kernel.name.clone(),
    };
    let (zone, target) = (atlas.zone(kernel.subject), atlas.zone(kernel.object));
    Denial {
        kernel,
        zone,
        target,
        path,
    }
}

/// The actor.
#[derive(Debug)]
pub struct Fanout;

impl Actor for Fanout {
    type Msg = FanoutMsg;
    type State = Hub;
    type Arguments = FanoutArgs;

    async fn pre_start(
        &self,
        _: ActorRef<FanoutMsg>,
        args: FanoutArgs,
    ) -> Result<Hub, ActorProcessingErr> {
        Ok(Hub::new(args))
    }

    async fn handle(
        &self,
        _: ActorRef<FanoutMsg>,
        message: FanoutMsg,
        hub: &mut Hub,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FanoutMsg::Events(events, permit) => {
                events.into_iter().for_each(|event| hub.publish(event));
                drop(permit);
            }
            FanoutMsg::Subscribe(follow, reply) => answer(reply, hub.subscribe(follow)),
        }
        Ok(())
    }
}
