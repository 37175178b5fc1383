//! The fan-out: gives every denial to every subscriber, under a bound a subscriber. One that lags
//! loses events, is told how many, and slows nobody. Drift goes to the outlet alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::hook::ObjectKind;
use syva_model::kernel::{KernelEvent, LINKED};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::address::answer;
use crate::atlas::Atlas;
use crate::drift::{Drift, TOLD};
use crate::park::{Lent, Park};

/// How many past events a new subscriber can have.
const RECENT: usize = 1024;

/// How many events one subscriber may be behind: whatever may be under way from the ring at once, so
/// that a burst alone loses nothing to one that keeps up.
const BEHIND: usize = crate::ring::IN_FLIGHT;

/// How many comparisons full of drift a subscriber may be behind.
const COMPARISONS: usize = 16;

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

/// Where one subscriber, given to the engine before it starts, gets everything from the first event
/// on: what the ring held while no daemon ran comes out at once, and so does the drift of that time.
#[derive(Clone, Debug)]
pub struct Outlet {
    denials: mpsc::Sender<Delivery>,
    drift: mpsc::Sender<Drift>,
}

/// What comes out of an [`Outlet`].
#[derive(Debug)]
pub struct Outflow {
    /// Denials.
    pub denials: mpsc::Receiver<Delivery>,
    /// Rows that comparisons found to have drifted.
    pub drift: mpsc::Receiver<Drift>,
}

/// An outlet, bounded like every subscriber, and its other end.
pub fn outlet() -> (Outlet, Outflow) {
    let (to_denials, denials) = mpsc::channel(BEHIND);
    let (to_drift, drift) = mpsc::channel(COMPARISONS * TOLD);
    let outlet = Outlet {
        denials: to_denials,
        drift: to_drift,
    };
    (outlet, Outflow { denials, drift })
}

/// Events lost in user space. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Lost>);

#[derive(Debug, Default)]
struct Lost {
    total: AtomicU64,
    /// Those lost with a batch that nobody took, which no subscriber has been told of.
    untold: AtomicU64,
}

impl Losses {
    /// How many, since the start. An event that two subscribers lost counts twice.
    pub fn total(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// These will reach no subscriber. Whoever counts them sees to it that subscribers are told.
    pub fn count(&self, lost: u64) {
        self.0.total.fetch_add(lost, Ordering::Relaxed);
    }

    /// These were counted, and no subscriber has been told: the next event that reaches them tells.
    pub fn untold(&self, lost: u64) {
        self.0.untold.fetch_add(lost, Ordering::Relaxed);
    }
}

/// Events on their way from the ring. Those that nobody takes out count as lost.
pub struct Batch {
    events: std::vec::IntoIter<KernelEvent>,
    lost_before: u64,
    losses: Losses,
    _permit: OwnedSemaphorePermit,
}

impl Batch {
    /// Events, how many were lost (and counted) just before them, and the permit that bounds how many
    /// are under way.
    pub fn new(
        events: Vec<KernelEvent>,
        lost_before: u64,
        losses: Losses,
        permit: OwnedSemaphorePermit,
    ) -> Batch {
        let events = events.into_iter();
        Batch {
            events,
            lost_before,
            losses,
            _permit: permit,
        }
    }
}

impl Iterator for Batch {
    type Item = KernelEvent;

    fn next(&mut self) -> Option<KernelEvent> {
        self.events.next()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let left = self.events.len() as u64;
        self.losses.count(left);
        self.losses.untold(left + self.lost_before);
    }
}

/// What may be asked.
pub enum FanoutMsg {
    /// Events from the ring.
    Events(Batch),
    /// Recent events, and with `true` those to come.
    Subscribe(bool, RpcReplyPort<mpsc::Receiver<Delivery>>),
    /// A comparison found these rows.
    Drift(Vec<Drift>),
}

struct Subscriber {
    sender: mpsc::Sender<Delivery>,
    lost: u64,
}

/// The subscribers, and what a new one gets first. Parked, so that a restart cuts nobody off.
pub struct Hub {
    atlas: Atlas,
    losses: Losses,
    recent: VecDeque<Arc<Denial>>,
    subscribers: Vec<Subscriber>,
    drift: Option<mpsc::Sender<Drift>>,
}

impl Hub {
    /// A hub whose only subscriber is the outlet, if there is one.
    pub fn new(atlas: Atlas, losses: Losses, outlet: Option<Outlet>) -> Hub {
        let (denials, drift) = outlet.map(|outlet| (outlet.denials, outlet.drift)).unzip();
        let first = denials.map(|sender| Subscriber { sender, lost: 0 });
        Hub {
            atlas,
            losses,
            recent: VecDeque::new(),
            subscribers: Vec::from_iter(first),
            drift,
        }
    }

    /// Gives a batch to everyone, event by event, and tells of what was lost before it.
    pub fn publish_all(&mut self, mut batch: Batch) {
        let untold = self.losses.0.untold.swap(0, Ordering::Relaxed);
        let lost = untold + std::mem::take(&mut batch.lost_before);
        for subscriber in &mut self.subscribers {
            subscriber.lost += lost;
        }
        batch.for_each(|event| self.publish(event));
    }

    /// Gives an event to everyone.
    pub fn publish(&mut self, kernel: KernelEvent) {
        let denial = Arc::new(describe(kernel, &self.atlas));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(&denial));
        let losses = &self.losses;
        self.subscribers.retain_mut(|subscriber| {
            let lost_before = subscriber.lost;
            match subscriber.sender.try_send(Delivery {
                denial: Arc::clone(&denial),
                lost_before,
            }) {
                Ok(()) => subscriber.lost = 0,
                Err(TrySendError::Full(_)) => {
                    subscriber.lost += 1;
                    losses.count(1);
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
        // Those that went away while nothing was denied.
        self.subscribers
            .retain(|subscriber| !subscriber.sender.is_closed());
        if follow {
            self.subscribers.push(Subscriber { sender, lost: 0 });
        }
        receiver
    }

    /// Gives rows that drifted to the outlet; what it has no room for is lost and counted.
    pub fn publish_drift(&self, rows: Vec<Drift>) {
        let Some(sender) = &self.drift else { return };
        for row in rows {
            if let Err(TrySendError::Full(_)) = sender.try_send(row) {
                self.losses.count(1);
            }
        }
    }
}

fn describe(kernel: KernelEvent, atlas: &Atlas) -> Denial {
    let claimed = kernel.claim.and_then(|key| atlas.claim(&key));
    let path = match claimed {
        Some(claim) if kernel.depth == 0 => claim,
        Some(claim) if kernel.depth == 1 => format!("{claim}/{}", kernel.name),
        Some(claim) if kernel.depth == LINKED => {
            format!("{} (linked out of {claim})", kernel.name)
        }
        // What lies between is not in the event.
        Some(claim) => format!("{claim}/…/{}", kernel.name),
        None => match kernel.kind {
            ObjectKind::Task => String::new(),
            ObjectKind::Ipc => format!("{} {}", kernel.name, kernel.inode),
            ObjectKind::File | ObjectKind::Socket | ObjectKind::Node => kernel.name.clone(),
        },
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
    type State = Lent<Hub>;
    type Arguments = Park<Hub>;

    async fn pre_start(
        &self,
        _: ActorRef<FanoutMsg>,
        hub: Park<Hub>,
    ) -> Result<Lent<Hub>, ActorProcessingErr> {
        Ok(hub.lend().ok_or("the subscribers are still in use")?)
    }

    async fn handle(
        &self,
        _: ActorRef<FanoutMsg>,
        message: FanoutMsg,
        hub: &mut Lent<Hub>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            FanoutMsg::Events(batch) => hub.publish_all(batch),
            FanoutMsg::Subscribe(follow, reply) => answer(reply, hub.subscribe(follow)),
            FanoutMsg::Drift(rows) => hub.publish_drift(rows),
        }
        Ok(())
    }
}
