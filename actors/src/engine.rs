//! The engine: everything that runs, behind one handle for whoever serves it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::rpc::CallResult;
use ractor::{Actor, ActorRef, SpawnErr};
use syva_journal::{Journal, JournalError, JournalReader, Recovery};
use syva_model::entry::Peer;
use syva_model::image::{Mode, ZoneId};
use syva_model::kernel::{Capacity, Counters, KernelError};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::address::{Gone, answer};
use crate::cgroups::CgroupTree;
use crate::fanout::{Delivery, FanoutMsg, Outlet};
use crate::health::{Health, HealthMsg};
use crate::history::Check;
use crate::ledger::{Facts, LedgerError};
use crate::loader::{BoxedKernel, LoaderMsg};
use crate::metered::Metered;
use crate::outcome::{CommandError, Done};
use crate::plant::{Materials, Plant};
use crate::reconciler::{ReconcilerMsg, Report};
use crate::request::Request;
use crate::resolve::names;
use crate::supervisor::{Supervisor, SupervisorMsg};
use crate::tally::{Counts, Tally};
use crate::vantage::Vantage;
use crate::writer::{Glance, WriterMsg};

/// How many commands may be in hand; more are refused with a word to try again.
pub const IN_HAND: usize = 1024;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the journal lies.
    pub journal_dir: PathBuf,
    /// Where the host has cgroup v2 mounted.
    pub cgroup_root: PathBuf,
    /// From where the host's paths are looked up.
    pub vantage: Vantage,
    /// The mode asked for, if any; it becomes an entry if it is not the journal's already.
    pub mode: Option<Mode>,
    /// What admission and entries need to know of the node.
    pub facts: Facts,
    /// The engine's own files, which no zone is to reach where a kernel enforces that.
    pub own_paths: Vec<String>,
    /// How often maps and desired image are compared.
    pub reconcile_every: Duration,
    /// Who gets every event, from those on that the ring held while no daemon ran.
    pub outlet: Option<Outlet>,
}

impl Config {
    fn capacity(&self) -> Capacity {
        self.facts.node.capacity
    }
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not fold.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The kernel side.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Anything else an actor said while it started.
    #[error("an actor did not start: {0}")]
    Actor(String),
}

/// Somebody the engine needs does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {0} does not answer within {1:?}")]
pub struct Silent(pub &'static str, pub Duration);

/// A running engine.
pub struct Engine {
    plant: Plant,
    reader: JournalReader,
    in_hand: Arc<Semaphore>,
    tally: Tally,
    supervisor: ActorRef<SupervisorMsg>,
    running: Option<JoinHandle<()>>,
    /// Under way while it is held.
    history: Option<Check>,
}

impl Engine {
    /// Opens the journal, loads the kernel side, folds, reconciles. The maps hold what the journal
    /// says when this returns, or health says why not. On a journal that is refused it stands by (D11,
    /// [`crate::writer::desk`]). What the opening took on trust of the history is checked meanwhile.
    ///
    /// It blocks in places, so it needs tokio's multi-threaded runtime.
    ///
    /// # Errors
    /// [`StartError`]: nothing is running then, and nothing was changed but what it says.
    pub async fn start(config: Config, kernel: BoxedKernel) -> Result<Engine, StartError> {
        has_many_threads()?;
        let dir = config.journal_dir.clone();
        let opened = tokio::task::spawn_blocking(move || opened_or_refused(&dir));
        let (journal, recovery) = opened
            .await
            .map_err(|error| StartError::Actor(error.to_string()))??;
        Engine::start_on(journal, recovery, config, kernel).await
    }

    /// As [`Engine::start`], on a journal that is open already, or on one that is refused, of which there
    /// is nothing to say.
    ///
    /// # Errors
    /// As [`Engine::start`].
    pub async fn start_on(
        journal: Journal,
        recovery: Option<Recovery>,
        config: Config,
        kernel: BoxedKernel,
    ) -> Result<Engine, StartError> {
        has_many_threads()?;
        if let Some(recovery) = &recovery {
            report(recovery, &config.journal_dir);
        }
        let reader = journal.reader();
        let tally = Tally::default();
        let kernel = Metered::new(kernel, tally.clone(), config.facts.clock);
        let plant = Plant::new(Materials {
            kernel: Box::new(kernel),
            journal,
            capacity: config.capacity(),
            facts: config.facts,
            mode: config.mode,
            tree: CgroupTree::seen_from(&config.vantage, config.cgroup_root),
            vantage: config.vantage,
            own_paths: config.own_paths,
            interval: config.reconcile_every,
            outlet: config.outlet,
        });
        let started = Actor::spawn(None, Supervisor, plant.clone()).await;
        let (supervisor, running) = started.map_err(why)?;
        let in_hand = Arc::new(Semaphore::new(IN_HAND));
        let mut engine = Engine {
            plant,
            reader,
            in_hand,
            tally,
            supervisor,
            running: Some(running),
            history: None,
        };
        if let Some(recovery) = recovery {
            engine.doubt(&recovery);
        }
        Ok(engine)
    }

    /// What the opening could not be sure of: says so, or has it checked.
    fn doubt(&mut self, recovery: &Recovery) {
        let health = &self.plant.health;
        if recovery.checked_after > self.reader.base().seq {
            let check = Check::begin(self.journal(), recovery.checked_after, health.clone());
            self.history = Some(check);
        }
        if recovery.anchor_damaged {
            // If no crash tore it, the last entry acknowledged may be missing without a trace.
            let words = "a slot of the journal's head anchor was damaged; it has been written anew";
            let raise = HealthMsg::Raise("journal_anchor_damaged".into(), words.into());
            let _ = health.cast(raise);
        }
    }

    /// Makes an actor fail, once.
    #[cfg(feature = "testing")]
    pub fn fail(&self, role: crate::role::Role, how: crate::rig::Failure) {
        self.plant.rig.set(role, how);
    }

    /// Ends the supervisor as a fault in it would.
    #[cfg(feature = "testing")]
    pub fn kill_supervisor(&self) {
        self.supervisor.kill();
    }

    /// Ends when the supervisor has: nothing starts failed actors again then, and every call is
    /// refused. What is left to do is to end the process and start anew.
    pub async fn ended(&self) {
        // Without a time limit it cannot time out.
        let _ = self.supervisor.wait(None).await;
    }

    /// Looks up what a request names, and has it journaled and enforced.
    ///
    /// # Errors
    /// [`CommandError`] says how far it came.
    pub async fn submit(&self, request: Request, peer: Peer) -> Result<Done, CommandError> {
        let membership = Tally::concerns(&request);
        let outcome = self.run(request, peer).await;
        if membership {
            self.tally.membership(&outcome);
        }
        outcome
    }

    async fn run(&self, request: Request, peer: Peer) -> Result<Done, CommandError> {
        let permit = Arc::clone(&self.in_hand)
            .try_acquire_owned()
            .map_err(|_| CommandError::Busy(IN_HAND))?;
        let prober = self.plant.loader.call(LoaderMsg::Prober).await?;
        let prober = prober.map_err(CommandError::Lookup)?;
        let (tree, vantage) = (self.plant.tree.clone(), self.plant.vantage.clone());
        let span = tracing::debug_span!("resolve");
        let resolve = move || {
            let command = span.in_scope(|| request.resolve(&*prober, &tree, &vantage))?;
            let notes = names::notes(&vantage, &command);
            Ok::<_, CommandError>((command, notes))
        };
        let resolved = tokio::task::spawn_blocking(resolve).await;
        let (command, notes) = resolved.map_err(|_| Gone("look-up"))??;
        let command = Box::new(command);
        let span = tracing::Span::current();
        let message = |reply| WriterMsg::Submit {
            command,
            peer,
            permit: Some(permit),
            span,
            reply,
        };
        let mut done = self.plant.writer.call(message).await??;
        done.reply.notes.extend(notes);
        Ok(done)
    }

    /// Asks something of the state.
    ///
    /// # Errors
    /// [`Gone`] while the writer is being restarted.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Glance<'_>) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        self.plant
            .writer
            .call(|reply| {
                WriterMsg::Ask(Box::new(move |glance| {
                    answer(reply, question(glance));
                }))
            })
            .await
    }

    /// Recent denials, and with `follow` those to come.
    ///
    /// # Errors
    /// [`Gone`] while the fan-out is being restarted.
    pub async fn subscribe(&self, follow: bool) -> Result<mpsc::Receiver<Delivery>, Gone> {
        self.plant
            .fanout
            .call(|reply| FanoutMsg::Subscribe(follow, reply))
            .await
    }

    /// The journal, to read.
    pub fn journal(&self) -> JournalReader {
        self.reader.clone()
    }

    /// The node's health, and its changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.plant.board.subscribe()
    }

    /// What the kernel counts, read now.
    ///
    /// # Errors
    /// The kernel side's.
    pub async fn counters(&self) -> Result<Counters, KernelError> {
        let source = self.plant.loader.call(LoaderMsg::Counters).await??;
        tokio::task::spawn_blocking(move || source.counters())
            .await
            .map_err(|_| KernelError::from(Gone("counter reader")))?
    }

    /// Compares maps and desired image now, and repairs what differs.
    ///
    /// # Errors
    /// The kernel side's; the reconciler keeps trying.
    pub async fn reconcile(&self) -> Result<Report, KernelError> {
        self.plant.reconciler.call(ReconcilerMsg::Compare).await?
    }

    /// Asks those without whom nothing gets done, and waits that long for each. Whether what they do
    /// succeeds is for [`Engine::health`] to say.
    ///
    /// # Errors
    /// The first that did not answer.
    pub async fn alive(&self, patience: Duration) -> Result<(), Silent> {
        let call = self.supervisor.call(SupervisorMsg::Alive, Some(patience));
        match call.await {
            Ok(CallResult::Success(())) => {}
            Ok(CallResult::Timeout | CallResult::SenderError) | Err(_) => {
                return Err(Silent("supervisor", patience));
            }
        }
        let reconciler = self.plant.reconciler.call(ReconcilerMsg::Alive);
        match timeout(patience, reconciler).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(Silent("reconciler", patience)),
        }
        match timeout(patience, self.ask(|_| ())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Silent("writer", patience)),
        }
    }

    /// What is counted in user space.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// What a zone is called: its name, `host`, or `zone-N` if it is gone. Nothing waits for it.
    pub fn zone_name(&self, id: ZoneId) -> String {
        self.plant.atlas.zone(id)
    }

    /// How many zones there may be.
    pub fn max_zones(&self) -> u32 {
        self.plant.capacity.zones
    }

    /// Events dropped in user space since the start.
    pub fn events_dropped(&self) -> u64 {
        self.plant.losses.total()
    }

    /// Differences repaired since the start.
    pub fn drift_repaired(&self) -> u64 {
        self.plant.drift.load(Ordering::Relaxed)
    }

    /// Stops every actor and waits until the last has ended; the journal's lock is free then.
    /// Programs and maps that are pinned stay; others go with the kernel object.
    pub async fn stop(mut self) {
        if let Some(history) = self.history.take() {
            // It waits for the thread.
            let _ = tokio::task::spawn_blocking(move || drop(history)).await;
        }
        self.supervisor.stop(None);
        if let Some(running) = self.running.take() {
            // A supervisor that panicked has stopped all the same.
            let _ = running.await;
        }
    }
}

impl Drop for Engine {
    /// Without it the actors would go on, and nobody could reach them.
    fn drop(&mut self) {
        self.supervisor.stop(None);
    }
}

/// Waiting for a disk on the only thread there is would stop everything; tokio panics at it.
fn has_many_threads() -> Result<(), StartError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Err(StartError::Actor(
            "the engine blocks in places: run it on tokio's multi-threaded runtime".into(),
        )),
        _ => Ok(()),
    }
}

/// The journal, and how it was found; or one that is refused, held so that nobody else takes it.
fn opened_or_refused(dir: &Path) -> Result<(Journal, Option<Recovery>), JournalError> {
    match Journal::open(dir) {
        Ok((journal, recovery)) => Ok((journal, Some(recovery))),
        Err(error) if error.is_refusal() => {
            tracing::error!(%error, "the journal is refused: standing by");
            Ok((Journal::refused(dir, &error)?, None))
        }
        Err(error) => Err(error),
    }
}

fn report(recovery: &Recovery, dir: &Path) {
    let (dir, entries) = (dir.display(), recovery.head.seq);
    tracing::info!(%dir, entries, checked_after = recovery.checked_after, "journal open");
    if recovery.tail.kept > 0 {
        tracing::warn!(
            kept = recovery.tail.kept,
            "the last entries were never acknowledged"
        );
    }
    if let Some(cut) = &recovery.tail.cut {
        let because = &cut.because;
        tracing::warn!(from = cut.from, records = cut.records, %because, "a torn tail was cut");
    }
    if recovery.anchor_damaged {
        tracing::warn!("a slot of the head anchor was damaged and has been written anew");
    }
}

/// The typed reason inside what ractor says of a start that failed.
fn why(error: SpawnErr) -> StartError {
    let SpawnErr::StartupFailed(inner) = error else {
        return StartError::Actor(error.to_string());
    };
    let inner = match inner.downcast::<KernelError>() {
        Ok(kernel) => return StartError::Kernel(*kernel),
        Err(inner) => inner,
    };
    let inner = match inner.downcast::<JournalError>() {
        Ok(journal) => return StartError::Journal(*journal),
        Err(inner) => inner,
    };
    match inner.downcast::<LedgerError>() {
        Ok(ledger) => StartError::Ledger(*ledger),
        Err(inner) => StartError::Actor(inner.to_string()),
    }
}
