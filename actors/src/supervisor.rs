//! The supervisor: starts every actor in the order they need each other, and starts again what fails.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ractor::{
    Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SpawnErr,
    SupervisionEvent,
};

use crate::address::answer;
use crate::health::HealthMsg;
use crate::plant::Plant;
use crate::ring::WAIT;
use crate::role::Role;

/// The first pause before an actor is started again; doubled for each failure that follows closely.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After this long without a failure an actor counts as well.
const WELL_AFTER: Duration = Duration::from_secs(30);

/// What the supervisor tells itself.
#[derive(Debug)]
pub enum SupervisorMsg {
    /// The pause before starting an actor again is over.
    StartAgain(Role),
    /// Answer, to show that nothing keeps it.
    Alive(RpcReplyPort<()>),
}

/// What runs, and what has failed lately.
pub struct Watch {
    plant: Plant,
    running: HashMap<ActorId, (Role, ActorCell)>,
    failures: HashMap<Role, (u32, Instant)>,
}

impl Watch {
    async fn start(&mut self, role: Role, myself: ActorCell) -> Result<(), SpawnErr> {
        let cell = self.plant.spawn(role, myself).await?;
        self.running.insert(cell.get_id(), (role, cell));
        Ok(())
    }

    /// Says of every actor whether it is down: what was said while the health actor was is lost.
    fn tell_health(&self) {
        for role in Role::ORDER {
            let message = match self.running.values().any(|(running, _)| *running == role) {
                true => HealthMsg::Clear(reason(role)),
                false => HealthMsg::Raise(reason(role), words(role, "it failed")),
            };
            let _ = self.plant.health.cast(message);
        }
    }

    /// Stops every actor, the last started first, and waits until each has ended: what was parked
    /// is then back, the journal's lock with it.
    async fn halt(&mut self) {
        for role in Role::ORDER.into_iter().rev() {
            for (_, cell) in self.running.values().filter(|(other, _)| *other == role) {
                // One that failed meanwhile has ended too.
                let _ = cell.stop_and_wait(None, None).await;
            }
        }
        self.ring_let_go().await;
    }

    /// Waits for the thread that reads the ring, but not for ever: it may hang in the kernel.
    async fn ring_let_go(&self) {
        let begun = Instant::now();
        while self.plant.ring_is_read() {
            if begun.elapsed() > 10 * WAIT {
                tracing::warn!("the thread that reads the ring buffer does not end");
                return;
            }
            tokio::time::sleep(WAIT / 10).await;
        }
    }

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
        // While the health actor itself is down the log alone has it.
        let _ = self
            .plant
            .health
            .cast(HealthMsg::Raise(reason(role), words(role, why)));
        myself.send_after(pause, move || SupervisorMsg::StartAgain(role));
    }
}

fn words(role: Role, why: &str) -> String {
    format!("the {} is being restarted: {why}", role.name())
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
        let mut watch = Watch {
            plant,
            running: HashMap::new(),
            failures: HashMap::new(),
        };
        for role in Role::ORDER {
            let Err(error) = watch.start(role, myself.get_cell()).await else {
                continue;
            };
            watch.halt().await;
            return Err(match error {
                // The caller is told the actor's own reason, whole.
                SpawnErr::StartupFailed(why) => why,
                other => other.into(),
            });
        }
        Ok(watch)
    }

    async fn post_stop(
        &self,
        _: ActorRef<SupervisorMsg>,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        watch.halt().await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        let role = match message {
            SupervisorMsg::StartAgain(role) => role,
            SupervisorMsg::Alive(reply) => {
                answer(reply, ());
                return Ok(());
            }
        };
        match watch.start(role, myself.get_cell()).await {
            Ok(()) => {
                if role == Role::Health {
                    watch.tell_health();
                }
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
        if let Some((role, _)) = watch.running.remove(&cell.get_id()) {
            watch.down(role, &why, &myself);
        }
        Ok(())
    }
}
