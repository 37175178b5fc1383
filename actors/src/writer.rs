//! The writer: the one actor that appends to the journal. Commands queue in its mailbox; those that
//! come while a flush is under way share the next one. What it decides is in [`desk`].

pub mod desk;
mod lookout;
mod ticket;

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_journal::Journal;
use syva_model::command::Command;
use syva_model::entry::Peer;
use syva_model::image::{CgroupId, Mode};
use syva_model::kernel::Prober;
use syva_model::plan::Diff;
use syva_model::state::State;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::block_in_place;
use tracing::Span;

use crate::address::Address;
use crate::atlas::Atlas;
use crate::control::ControlMsg;
use crate::health::HealthMsg;
use crate::ledger::Facts;
use crate::loader::LoaderMsg;
use crate::outcome::{CommandError, Done};
use crate::park::Park;
use crate::reconciler::{Desired, ReconcilerMsg};
use crate::resolve::{self, links::news};
use crate::standing::Standing;
use crate::vantage::Vantage;
pub use desk::{Desk, Enforcer, Glance, JOURNAL, REFUSED, Surroundings};
use lookout::Lookouts;
pub use lookout::{LOST, Look, Looked, NOT_FOLLOWED, UNSEEN};
use ticket::Ticket;

/// A question about the state, answered between two batches: it waits for the batch in hand, and does not
/// cut that short, or those who ask would take from those who command what sharing a flush gains.
pub type Question = Box<dyn FnOnce(&Glance<'_>) + Send>;

/// What may be asked of the writer.
pub enum WriterMsg {
    /// Take a command. The permit bounds how many are in hand.
    Submit {
        /// The command.
        command: Box<Command>,
        /// Who asks.
        peer: Peer,
        /// Held until it is answered.
        permit: Option<OwnedSemaphorePermit>,
        /// The trace it belongs to.
        span: Span,
        /// Where the answer goes.
        reply: RpcReplyPort<Result<Done, CommandError>>,
    },
    /// Answer a question.
    Ask(Question),
    /// Flush what is in hand.
    Flush,
    /// These attached cgroups are gone.
    CgroupsGone(Vec<CgroupId>),
    /// The reconciler was started and knows nothing.
    HandOver,
    /// Have the claims' paths looked at.
    Look(Look),
    /// They were.
    Looked(Box<Looked>),
}

/// What the writer needs. The journal is parked, so that its lock outlives a restart.
pub struct WriterArgs {
    /// The journal.
    pub journal: Park<Journal>,
    /// What admission and entries need to know.
    pub facts: Facts,
    /// The mode asked for on the command line, if any.
    pub mode: Option<Mode>,
    /// Who writes the maps.
    pub reconciler: Address<ReconcilerMsg>,
    /// Who has the prober.
    pub loader: Address<LoaderMsg>,
    /// Who knows what the maps held before.
    pub control: Address<ControlMsg>,
    /// From where claimed paths are looked up again.
    pub vantage: Vantage,
    /// Who is told.
    pub health: Address<HealthMsg>,
    /// Names for events.
    pub atlas: Atlas,
    /// Where the maps stand.
    pub standing: Arc<Standing>,
}

/// The reconciler, waited for.
struct Waited(Address<ReconcilerMsg>);

impl Enforcer for Waited {
    fn apply(&mut self, diff: Diff, seq: u64, mode: Mode) -> Result<(), String> {
        let span = tracing::debug_span!("enforce", syva.seq = seq);
        let message = |reply| ReconcilerMsg::Apply(Box::new(diff), seq, mode, span, reply);
        let outcome = self.0.wait(message).map_err(|gone| gone.to_string())?;
        outcome.map_err(|error| error.to_string())
    }

    fn adopt(&mut self, desired: Desired) -> Result<(), String> {
        let message = |reply| ReconcilerMsg::Adopt(Box::new(desired), reply);
        match self.0.wait(message) {
            Ok(outcome) => outcome.map(drop).map_err(|error| error.to_string()),
            Err(gone) => Err(format!("{gone}: it asks for the state when it is back")),
        }
    }
}

/// The writer's state.
pub struct WriterState {
    desk: Desk<Ticket>,
    reconciler: Waited,
    lookouts: Lookouts,
    flush_due: bool,
    /// Asked while a batch is in hand.
    questions: Vec<Question>,
    /// The traces of the batch in hand.
    traces: Vec<Span>,
}

impl WriterState {
    fn new(desk: Desk<Ticket>, reconciler: Waited, lookouts: Lookouts) -> WriterState {
        WriterState {
            desk,
            reconciler,
            lookouts,
            flush_due: false,
            questions: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// A span for what is done for the whole batch: in the trace of its first command, with links to
    /// the others'.
    fn batch_span(&mut self) -> Span {
        let mut traces = std::mem::take(&mut self.traces).into_iter();
        let Some(first) = traces.next() else {
            return Span::none();
        };
        let span = tracing::debug_span!(parent: &first, "batch", syva.commands = traces.len() + 1);
        for other in traces {
            span.follows_from(&other);
        }
        span
    }

    fn take(
        &mut self,
        command: Command,
        peer: Peer,
        ticket: Ticket,
        myself: &ActorRef<WriterMsg>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((ticket, error)) = self.accept(command, peer, ticket, myself)? {
            ticket.answer(Err(error));
        }
        Ok(())
    }

    /// Takes it into the batch in hand, or says why not.
    fn accept(
        &mut self,
        command: Command,
        peer: Peer,
        ticket: Ticket,
        myself: &ActorRef<WriterMsg>,
    ) -> Result<Option<(Ticket, CommandError)>, ActorProcessingErr> {
        let span = ticket.span.clone();
        let refused = self.desk.take(command, peer, ticket).err();
        if refused.is_none() && !span.is_disabled() {
            self.traces.push(span);
        }
        if self.desk.is_due() && !self.flush_due {
            myself.cast(WriterMsg::Flush)?;
            self.flush_due = true;
        }
        Ok(refused)
    }

    /// On a journal that is refused there is nobody to follow what is seen.
    fn look(&mut self, who: Look, myself: &ActorRef<WriterMsg>) {
        if self.desk.refusal().is_none() {
            self.lookouts.begin(who, self.desk.state(), myself);
        }
    }

    /// The claims' paths were looked at: what is other than it was becomes an entry.
    fn looked(
        &mut self,
        looked: Looked,
        myself: &ActorRef<WriterMsg>,
    ) -> Result<(), ActorProcessingErr> {
        let Looked {
            lookout,
            sightings,
            linked,
            failed,
        } = looked;
        let state = self.desk.state();
        // A directory above very many claims may have been replaced.
        let lookouts = &mut self.lookouts;
        let command = block_in_place(|| lookouts.back(lookout, sightings, failed, state));
        let refused = match command {
            None => None,
            Some(command) => {
                tracing::info!(?command, "claimed paths lead elsewhere");
                self.accept(command, own_peer(), Ticket::own(), myself)?
            }
        };
        self.lookouts
            .followed(refused.as_ref().map(|(_, error)| error));
        if let Some((ticket, error)) = refused {
            ticket.answer(Err(error));
        }
        if let Some((held, store)) = linked {
            let mut news = news(self.desk.state(), &held);
            if let Some(command) = news.command.take() {
                self.take(command, own_peer(), Ticket::own(), myself)?;
            }
            self.lookouts.settle(store, news);
        }
        if self.lookouts.is_asked_for() {
            self.look(Look::Asked, myself);
        }
        Ok(())
    }

    /// If the desk cannot tell what became of the batch the tickets and questions go with this actor,
    /// and their callers are told to look.
    fn flush(&mut self) -> Result<(), ActorProcessingErr> {
        self.flush_due = false;
        let questions = std::mem::take(&mut self.questions);
        let span = self.batch_span();
        let (desk, reconciler) = (&mut self.desk, &mut self.reconciler);
        let answers = block_in_place(|| span.in_scope(|| desk.flush(reconciler)))?;
        for (ticket, outcome) in answers {
            ticket.answer(outcome);
        }
        self.lookouts.tell(self.desk.state());
        for question in questions {
            question(&self.desk.glance());
        }
        Ok(())
    }

    /// Whatever is in hand goes first: nobody is shown what may not last.
    fn ask(&mut self, question: Question) {
        if self.desk.is_due() {
            self.questions.push(question);
        } else {
            question(&self.desk.glance());
        }
    }

    fn flush_if_due(&mut self) -> Result<(), ActorProcessingErr> {
        match self.desk.is_due() {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

/// Looks up again what every claim and every given socket is on this boot (D12).
fn boot(prober: &dyn Prober, vantage: &Vantage, paths: &[String], state: &State) -> Command {
    Command::Boot {
        claims: resolve::lookout::again(prober, vantage, paths, state),
        host_sockets: resolve::sockets::again(prober, vantage, state),
    }
}

/// The daemon, as the journal names it.
pub fn own_peer() -> Peer {
    Peer {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        pid: std::process::id(),
        adapter: "syva-core".into(),
    }
}

/// The actor.
#[derive(Debug)]
pub struct Writer;

impl Actor for Writer {
    type Msg = WriterMsg;
    type State = WriterState;
    type Arguments = WriterArgs;

    /// Entries of the daemon's own at start: a new boot, a mode asked for on the command line (D12).
    async fn pre_start(
        &self,
        myself: ActorRef<WriterMsg>,
        args: WriterArgs,
    ) -> Result<WriterState, ActorProcessingErr> {
        let journal = args.journal.lend().ok_or("the journal is still in use")?;
        let paths = args.facts.node.engine_paths.clone();
        let (loader, health) = (args.loader.clone(), args.health.clone());
        let mut lookouts = Lookouts::new(loader, args.vantage.clone(), paths.clone(), health);
        let health = args.health;
        let around = Surroundings {
            // Without a health actor there is nobody to tell; it is told again when it matters.
            health: Box::new(move |message| {
                let _ = health.cast(message);
            }),
            atlas: args.atlas,
            standing: args.standing,
        };
        let mut desk = block_in_place(|| Desk::open(journal, args.facts, around))?;
        let mut reconciler = Waited(args.reconciler);
        if desk.refusal().is_some() {
            if args.mode.is_some() {
                tracing::warn!("the mode asked for is not taken: the journal is refused");
            }
            let control = args.control.call(ControlMsg::Read).await?;
            let prober = args.loader.call(LoaderMsg::Prober).await??;
            let again = |state: &State| boot(&*prober, &args.vantage, &paths, state);
            block_in_place(|| desk.stand_by(control, again, &own_peer(), &mut reconciler))?;
            return Ok(WriterState::new(desk, reconciler, lookouts));
        }
        let mut own = Vec::new();
        if desk.is_of_another_boot() {
            let prober = args.loader.call(LoaderMsg::Prober).await??;
            own.push(block_in_place(|| {
                boot(&*prober, &args.vantage, &paths, desk.state())
            }));
        }
        own.extend(args.mode.map(|mode| Command::SetMode { mode }));
        let own = own.into_iter().map(|command| (command, Ticket::own()));
        block_in_place(|| desk.begin(own, &own_peer(), &mut reconciler))?;
        lookouts.tell(desk.state());
        // What happened to paths while nobody looked is not left to the timer.
        myself.cast(WriterMsg::Look(Look::Routine))?;
        Ok(WriterState::new(desk, reconciler, lookouts))
    }

    /// Who waits for the batch in hand is answered; the state is kept for the next start.
    async fn post_stop(
        &self,
        _: ActorRef<WriterMsg>,
        state: &mut WriterState,
    ) -> Result<(), ActorProcessingErr> {
        state.flush_if_due()?;
        block_in_place(|| state.desk.close());
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<WriterMsg>,
        message: WriterMsg,
        state: &mut WriterState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WriterMsg::Submit {
                command,
                peer,
                permit,
                span,
                reply,
            } => {
                let ticket = Ticket {
                    reply: Some(reply),
                    span,
                    _permit: permit,
                };
                state.take(*command, peer, ticket, &myself)?;
                if state.desk.has_enough() {
                    state.flush()?;
                }
            }
            WriterMsg::Ask(question) => state.ask(question),
            WriterMsg::Flush => state.flush()?,
            WriterMsg::CgroupsGone(gone) => {
                for command in state.desk.leaving(gone) {
                    state.take(command, own_peer(), Ticket::own(), &myself)?;
                }
            }
            WriterMsg::HandOver => {
                state.flush_if_due()?;
                let (desk, reconciler) = (&mut state.desk, &mut state.reconciler);
                block_in_place(|| desk.hand_over(reconciler));
            }
            WriterMsg::Look(who) => state.look(who, &myself),
            WriterMsg::Looked(looked) => state.looked(*looked, &myself)?,
        }
        Ok(())
    }
}
