//! The supervisor: starts every actor in the order they need each other, and starts again what fails.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use syva_journal::Journal;
use syva_model::image::{Mode, Table};
use syva_model::kernel::Capacity;
use tokio::sync::{Semaphore, watch};

use crate::address::Address;
use crate::atlas::Atlas;
use crate::cgroups::CgroupTree;
use crate::control::{ControlActor, ControlArgs, ControlMsg};
use crate::fanout::{Fanout, FanoutArgs, FanoutMsg};
use crate::health::{Health, HealthActor, HealthMsg};
use crate::ledger::Facts;
use crate::loader::{BoxedKernel, Loader, LoaderArgs, LoaderMsg};
use crate::map::{Map, MapArgs, MapMsg};
use crate::membership::{Membership, MembershipArgs, MembershipMsg};
use crate::park::Park;
use crate::reconciler::{Maps, Reconciler, ReconcilerArgs, ReconcilerMsg};
use crate::ring::{IN_FLIGHT, Ring, RingArgs};
use crate::writer::{Writer, WriterArgs, WriterMsg};

/// The first pause before an actor is started again; doubled for each failure that follows closely.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After this long without a failure an actor counts as well.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// The actors, in the order they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The node's health.
    Health,
    /// The kernel object.
    Loader,
    /// One policy map.
    Map(Table),
    /// The control map.
    Control,
    /// Memberships and what lies below them.
    Membership,
    /// The agreement of maps and desired image.
    Reconciler,
    /// The subscribers.
    Fanout,
    /// The ring buffer.
    Ring,
    /// The journal.
    Writer,
}

/// The tables that have an actor of their own; the control map's is [`Role::Control`].
pub const TABLES: [Table; 4] = [Table::Zones, Table::Members, Table::Claims, Table::Pairs];

impl Role {
    const ORDER: [Role; 12] = [
        Role::Health,
        Role::Loader,
        Role::Map(Table::Zones),
        Role::Map(Table::Members),
        Role::Map(Table::Claims),
        Role::Map(Table::Pairs),
        Role::Control,
        Role::Membership,
        Role::Reconciler,
        Role::Fanout,
        Role::Ring,
        Role::Writer,
    ];

    /// The actor's name, in logs and health.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Health => "health actor",
            Role::Loader => "loader",
            Role::Map(Table::Zones) => "zones map actor",
            Role::Map(Table::Members) => "members map actor",
            Role::Map(Table::Claims) => "claims map actor",
            Role::Map(Table::Pairs) => "pairs map actor",
            Role::Map(Table::Control) | Role::Control => "control map actor",
            Role::Membership => "membership actor",
            Role::Reconciler => "reconciler",
            Role::Fanout => "event fan-out",
            Role::Ring => "ring reader",
            Role::Writer => "journal writer",
        }
    }
}

/// Everything the actors are made of, and where they are found.
#[derive(Clone)]
pub struct Plant {
    pub(crate) kernel: Park<BoxedKernel>,
    pub(crate) journal: Park<Journal>,
    pub(crate) facts: Facts,
    pub(crate) mode: Option<Mode>,
    pub(crate) capacity: Capacity,
    pub(crate) tree: CgroupTree,
    pub(crate) interval: Duration,
    pub(crate) board: watch::Sender<Health>,
    pub(crate) atlas: Atlas,
    pub(crate) applied: Arc<AtomicU64>,
    pub(crate) dropped: Arc<AtomicU64>,
    pub(crate) drift: Arc<AtomicU64>,
    in_flight: Arc<Semaphore>,
    consumer: Arc<Mutex<()>>,
    pub(crate) health: Address<HealthMsg>,
    pub(crate) loader: Address<LoaderMsg>,
    pub(crate) maps: Vec<(Table, Address<MapMsg>)>,
    pub(crate) control: Address<ControlMsg>,
    pub(crate) membership: Address<MembershipMsg>,
    pub(crate) reconciler: Address<ReconcilerMsg>,
    pub(crate) fanout: Address<FanoutMsg>,
    pub(crate) writer: Address<WriterMsg>,
}

/// What only the engine's caller knows.
pub(crate) struct Materials {
    pub kernel: BoxedKernel,
    pub journal: Journal,
    pub facts: Facts,
    pub mode: Option<Mode>,
    pub capacity: Capacity,
    pub tree: CgroupTree,
    pub interval: Duration,
}

impl Plant {
    pub(crate) fn new(materials: Materials) -> Plant {
        let name = |role: Role| role.name();
        Plant {
            kernel: Park::new(materials.kernel),
            journal: Park::new(materials.journal),
            facts: materials.facts,
            mode: materials.mode,
            capacity: materials.capacity,
            tree: materials.tree,
            interval: materials.interval,
            board: watch::Sender::new(Health::default()),
            atlas: Atlas::default(),
            applied: Arc::default(),
            dropped: Arc::default(),
            drift: Arc::default(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            consumer: Arc::default(),
            health: Address::new(name(Role::Health)),
            loader: Address::new(name(Role::Loader)),
            maps: TABLES
                .map(|table| (table, Address::new(name(Role::Map(table)))))
                .to_vec(),
            control: Address::new(name(Role::Control)),
            membership: Address::new(name(Role::Membership)),
            reconciler: Address::new(name(Role::Reconciler)),
            fanout: Address::new(name(Role::Fanout)),
            writer: Address::new(name(Role::Writer)),
        }
    }

    fn map(&self, table: Table) -> Address<MapMsg> {
        let found = self.maps.iter().find(|(owned, _)| *owned == table);
        found.map_or_else(
            || Address::new("unowned map"),
            |(_, address)| address.clone(),
        )
    }

    /// Starts one actor, linked to the supervisor, and says where it is found.
    async fn spawn(&self, role: Role, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
        match role {
            Role::Health => start(HealthActor, self.board.clone(), &self.health, supervisor).await,
            Role::Loader => start(Loader, self.loader_args(), &self.loader, supervisor).await,
            Role::Map(table) => {
                let args = MapArgs {
                    table,
                    loader: self.loader.clone(),
                };
                start(Map, args, &self.map(table), supervisor).await
            }
            Role::Control => {
                let args = ControlArgs {
                    loader: self.loader.clone(),
                };
                start(ControlActor, args, &self.control, supervisor).await
            }
            Role::Membership => {
                let members = self.map(Table::Members);
                let args = MembershipArgs {
                    members,
                    tree: self.tree.clone(),
                };
                start(Membership, args, &self.membership, supervisor).await
            }
            Role::Reconciler => {
                start(
                    Reconciler,
                    self.reconciler_args(),
                    &self.reconciler,
                    supervisor,
                )
                .await
            }
            Role::Fanout => {
                let (atlas, dropped) = (self.atlas.clone(), Arc::clone(&self.dropped));
                start(
                    Fanout,
                    FanoutArgs { atlas, dropped },
                    &self.fanout,
                    supervisor,
                )
                .await
            }
            Role::Ring => {
                let nobody_asks = Address::new(role.name());
                start(Ring, self.ring_args(), &nobody_asks, supervisor).await
            }
            Role::Writer => start(Writer, self.writer_args(), &self.writer, supervisor).await,
        }
    }

    fn loader_args(&self) -> LoaderArgs {
        LoaderArgs {
            kernel: self.kernel.clone(),
            capacity: self.capacity,
            health: self.health.clone(),
        }
    }

    fn reconciler_args(&self) -> ReconcilerArgs {
        ReconcilerArgs {
            maps: Maps {
                tables: self.maps.clone(),
                control: self.control.clone(),
                membership: self.membership.clone(),
            },
            health: self.health.clone(),
            writer: self.writer.clone(),
            interval: self.interval,
            drift: Arc::clone(&self.drift),
        }
    }

    fn ring_args(&self) -> RingArgs {
        RingArgs {
            loader: self.loader.clone(),
            fanout: self.fanout.clone(),
            in_flight: Arc::clone(&self.in_flight),
            dropped: Arc::clone(&self.dropped),
            consumer: Arc::clone(&self.consumer),
        }
    }

    fn writer_args(&self) -> WriterArgs {
        WriterArgs {
            journal: self.journal.clone(),
            facts: self.facts.clone(),
            mode: self.mode,
            reconciler: self.reconciler.clone(),
            loader: self.loader.clone(),
            health: self.health.clone(),
            atlas: self.atlas.clone(),
            applied: Arc::clone(&self.applied),
        }
    }
}

async fn start<A: Actor>(
    actor: A,
    args: A::Arguments,
    address: &Address<A::Msg>,
    supervisor: ActorCell,
) -> Result<ActorCell, SpawnErr> {
    let (found, _) = Actor::spawn_linked(None, actor, args, supervisor).await?;
    let cell = found.get_cell();
    address.set(found);
    Ok(cell)
}

/// What the supervisor tells itself.
#[derive(Debug)]
pub enum SupervisorMsg {
    /// The pause before starting an actor again is over.
    StartAgain(Role),
}

/// What runs, and what has failed lately.
pub struct Watch {
    plant: Plant,
    running: HashMap<ActorId, Role>,
    failures: HashMap<Role, (u32, Instant)>,
}

impl Watch {
    /// An actor is down: says so, and sets the time at which it is started again.
    fn down(&mut self, role: Role, why: &str, myself: &ActorRef<SupervisorMsg>) {
        let (count, last) = self.failures.entry(role).or_insert((0, Instant::now()));
        *count = if last.elapsed() > WELL_AFTER {
            1
        } else {
            count.saturating_add(1)
        };
        *last = Instant::now();
        let pause = (PAUSE * 2_u32.saturating_pow((*count - 1).min(16))).min(LONGEST_PAUSE);
        tracing::error!(
            actor = role.name(),
            ?pause,
            "an actor failed and is started again: {why}"
        );
        let words = format!("the {} is being restarted: {why}", role.name());
        // While the health actor itself is down the log alone has it.
        let _ = self
            .plant
            .health
            .cast(HealthMsg::Raise(reason(role), words));
        myself.send_after(pause, move || SupervisorMsg::StartAgain(role));
    }
}

fn reason(role: Role) -> String {
    format!("actor_down:{}", role.name().replace(' ', "_"))
}

/// The actor.
#[derive(Debug)]
pub struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMsg;
    type State = Watch;
    type Arguments = Plant;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMsg>,
        plant: Plant,
    ) -> Result<Watch, ActorProcessingErr> {
        let mut running = HashMap::new();
        for role in Role::ORDER {
            let cell = match plant.spawn(role, myself.get_cell()).await {
                Ok(cell) => cell,
                // The caller is told the actor's own reason, whole.
                Err(SpawnErr::StartupFailed(why)) => return Err(why),
                Err(other) => return Err(other.into()),
            };
            running.insert(cell.get_id(), role);
        }
        Ok(Watch {
            plant,
            running,
            failures: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisorMsg::StartAgain(role) = message;
        match watch.plant.spawn(role, myself.get_cell()).await {
            Ok(cell) => {
                watch.running.insert(cell.get_id(), role);
                let _ = watch.plant.health.cast(HealthMsg::Clear(reason(role)));
                let _ = watch.plant.health.cast(HealthMsg::Restarted);
                tracing::info!(actor = role.name(), "the actor is back");
            }
            Err(why) => watch.down(role, &why.to_string(), &myself),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, why) => (cell, why.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, why) => {
                (cell, why.unwrap_or_else(|| "it ended".into()))
            }
            _ => return Ok(()),
        };
        // An actor that fails while it starts is not running yet, and its start has said so.
        if let Some(role) = watch.running.remove(&cell.get_id()) {
            watch.down(role, &why, &myself);
        }
        Ok(())
    }
}
