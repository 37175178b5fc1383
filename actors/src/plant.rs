//! The plant: everything the actors are made of, and how each is started from it.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use ractor::{Actor, ActorCell, SpawnErr};
use syva_journal::Journal;
use syva_model::image::{Mode, Table};
use syva_model::kernel::Capacity;
use tokio::sync::{Semaphore, watch};

use crate::address::Address;
use crate::atlas::Atlas;
use crate::cgroups::CgroupTree;
use crate::control::{ControlActor, ControlArgs, ControlMsg};
use crate::failures::Failures;
use crate::fanout::{Fanout, FanoutMsg, Hub, Losses, Outlet};
use crate::health::{Health, HealthActor, HealthMsg};
use crate::ledger::Facts;
use crate::loader::{BoxedKernel, Loader, LoaderArgs, LoaderMsg};
use crate::map::{Map, MapArgs, MapMsg};
use crate::membership::{Membership, MembershipArgs, MembershipMsg};
use crate::park::Park;
use crate::reconciler::{Listeners, OwnFiles, Owners, Reconciler, ReconcilerArgs, ReconcilerMsg};
#[cfg(feature = "testing")]
use crate::rig::{Rig, Rigged};
use crate::ring::{IN_FLIGHT, Ring, RingArgs};
use crate::role::{Role, TABLES};
use crate::standing::Standing;
use crate::vantage::Vantage;
use crate::writer::{Writer, WriterArgs, WriterMsg};

/// Everything the actors are made of, and where they are found.
#[derive(Clone)]
pub struct Plant {
    pub(crate) kernel: Park<BoxedKernel>,
    pub(crate) journal: Park<Journal>,
    pub(crate) facts: Facts,
    pub(crate) mode: Option<Mode>,
    pub(crate) capacity: Capacity,
    pub(crate) tree: CgroupTree,
    pub(crate) vantage: Vantage,
    pub(crate) own_paths: Vec<String>,
    pub(crate) interval: Duration,
    pub(crate) board: watch::Sender<Health>,
    pub(crate) atlas: Atlas,
    pub(crate) standing: Arc<Standing>,
    pub(crate) losses: Losses,
    pub(crate) drift: Arc<AtomicU64>,
    #[cfg(feature = "testing")]
    pub(crate) rig: Rig,
    hub: Park<Hub>,
    failures: Park<Failures>,
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
    /// From where the host's paths are looked up.
    pub vantage: Vantage,
    /// The engine's own files.
    pub own_paths: Vec<String>,
    pub interval: Duration,
    /// Who gets events from the first on.
    pub outlet: Option<Outlet>,
}

impl Plant {
    pub(crate) fn new(materials: Materials) -> Plant {
        let name = |role: Role| role.name();
        let (atlas, losses) = (Atlas::default(), Losses::default());
        Plant {
            hub: Park::new(Hub::new(atlas.clone(), losses.clone(), materials.outlet)),
            failures: Park::new(Failures::default()),
            kernel: Park::new(materials.kernel),
            journal: Park::new(materials.journal),
            facts: materials.facts,
            mode: materials.mode,
            capacity: materials.capacity,
            tree: materials.tree,
            vantage: materials.vantage,
            own_paths: materials.own_paths,
            interval: materials.interval,
            board: watch::Sender::new(Health::default()),
            atlas,
            standing: Arc::default(),
            losses,
            drift: Arc::default(),
            #[cfg(feature = "testing")]
            rig: Rig::default(),
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

    /// Whether a thread still reads the ring buffer.
    pub(crate) fn ring_is_read(&self) -> bool {
        matches!(self.consumer.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn map(&self, table: Table) -> Address<MapMsg> {
        let found = self.maps.iter().find(|(owned, _)| *owned == table);
        found.map_or_else(
            || Address::new("unowned map"),
            |(_, address)| address.clone(),
        )
    }

    /// Starts one actor, linked to the supervisor, and says where it is found.
    pub(crate) async fn spawn(
        &self,
        role: Role,
        supervisor: ActorCell,
    ) -> Result<ActorCell, SpawnErr> {
        let start = Start {
            role,
            plant: self,
            supervisor,
        };
        match role {
            Role::Health => {
                let board = self.board.clone();
                start.actor(HealthActor, board, &self.health).await
            }
            Role::Loader => start.actor(Loader, self.loader_args(), &self.loader).await,
            Role::Map(table) => {
                let loader = self.loader.clone();
                let args = MapArgs { table, loader };
                start.actor(Map, args, &self.map(table)).await
            }
            Role::Control => {
                let loader = self.loader.clone();
                let args = ControlArgs { loader };
                start.actor(ControlActor, args, &self.control).await
            }
            Role::Membership => {
                let (members, tree) = (self.map(Table::Members), self.tree.clone());
                let args = MembershipArgs { members, tree };
                start.actor(Membership, args, &self.membership).await
            }
            Role::Reconciler => {
                let args = self.reconciler_args();
                start.actor(Reconciler, args, &self.reconciler).await
            }
            Role::Fanout => start.actor(Fanout, self.hub.clone(), &self.fanout).await,
            Role::Ring => {
                let nobody_asks = Address::new(role.name());
                start.actor(Ring, self.ring_args(), &nobody_asks).await
            }
            Role::Writer => start.actor(Writer, self.writer_args(), &self.writer).await,
        }
    }

    /// What the others must know of an actor that is back, now that it can be found.
    fn announce(&self, role: Role) {
        // Whoever is not there to hear it asks by itself when it is back.
        let _ = match role {
            Role::Reconciler => self.writer.cast(WriterMsg::HandOver),
            Role::Loader | Role::Map(_) | Role::Control | Role::Membership => {
                self.reconciler.cast(ReconcilerMsg::Nudge)
            }
            Role::Health | Role::Fanout | Role::Ring | Role::Writer => Ok(()),
        };
    }

    fn loader_args(&self) -> LoaderArgs {
        LoaderArgs {
            failures: self.failures.clone(),
            atlas: self.atlas.clone(),
            kernel: self.kernel.clone(),
            capacity: self.capacity,
            health: self.health.clone(),
        }
    }

    fn reconciler_args(&self) -> ReconcilerArgs {
        ReconcilerArgs {
            owners: Owners {
                tables: self.maps.clone(),
                control: self.control.clone(),
                membership: self.membership.clone(),
                loader: self.loader.clone(),
            },
            listeners: Listeners {
                health: self.health.clone(),
                writer: self.writer.clone(),
                fanout: self.fanout.clone(),
            },
            own: OwnFiles {
                loader: self.loader.clone(),
                vantage: self.vantage.clone(),
                paths: self.own_paths.clone(),
            },
            interval: self.interval,
            drift: Arc::clone(&self.drift),
            standing: Arc::clone(&self.standing),
        }
    }

    fn ring_args(&self) -> RingArgs {
        RingArgs {
            loader: self.loader.clone(),
            fanout: self.fanout.clone(),
            membership: self.membership.clone(),
            reconciler: self.reconciler.clone(),
            in_flight: Arc::clone(&self.in_flight),
            losses: self.losses.clone(),
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
            control: self.control.clone(),
            vantage: self.vantage.clone(),
            health: self.health.clone(),
            atlas: self.atlas.clone(),
            standing: Arc::clone(&self.standing),
        }
    }
}

/// One start of one actor.
struct Start<'a> {
    role: Role,
    plant: &'a Plant,
    supervisor: ActorCell,
}

impl Start<'_> {
    async fn actor<A: Actor>(
        self,
        actor: A,
        args: A::Arguments,
        address: &Address<A::Msg>,
    ) -> Result<ActorCell, SpawnErr> {
        #[cfg(feature = "testing")]
        let actor = Rigged {
            actor,
            role: self.role,
            rig: self.plant.rig.clone(),
        };
        let (found, _) = Actor::spawn_linked(None, actor, args, self.supervisor).await?;
        let cell = found.get_cell();
        address.set(found);
        self.plant.announce(self.role);
        Ok(cell)
    }
}
