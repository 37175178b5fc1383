//! The writer: the one actor that appends to the journal. Commands queue in its mailbox; those that
//! come while a flush is under way share the next one.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_journal::Journal;
use syva_model::command::Command;
use syva_model::entry::Peer;
use syva_model::image::{CgroupId, Mode};
use syva_model::state::State;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument as _, Span};

use crate::address::{Address, answer};
use crate::atlas::Atlas;
use crate::health::HealthMsg;
use crate::ledger::{Facts, Ledger, Undurable};
use crate::loader::LoaderMsg;
use crate::outcome::{CommandError, Done};
use crate::park::Park;
use crate::reconciler::{Desired, ReconcilerMsg};
use crate::resolve;
use crate::standing::Standing;
use crate::vantage::Vantage;

/// The health reason while the journal takes no commands.
pub const JOURNAL: &str = "journal_not_durable";

/// A batch is flushed when this many wait, whatever else is in the mailbox.
const BATCH: usize = 256;

/// A question about the state, answered between two batches.
pub type Question = Box<dyn FnOnce(&Glance<'_>) + Send>;

/// What a question sees.
pub struct Glance<'a> {
    /// The state, every entry of it durable.
    pub state: &'a State,
    /// The last entry whose effects the kernel holds.
    pub applied: u64,
}

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
    /// From where claimed paths are looked up again.
    pub vantage: Vantage,
    /// Who is told.
    pub health: Address<HealthMsg>,
    /// Names for events.
    pub atlas: Atlas,
    /// Where the maps stand.
    pub standing: Arc<Standing>,
}

/// Whom to answer. The daemon's own commands have nobody waiting.
struct Ticket {
    reply: Option<RpcReplyPort<Result<Done, CommandError>>>,
    span: Span,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    fn answer(self, outcome: Result<Done, CommandError>) {
        match self.reply {
            Some(reply) => answer(reply, outcome),
            None => {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "a command of the daemon's own failed");
                }
            }
        }
    }
}

/// The writer's state.
pub struct Desk {
    ledger: Ledger<Ticket>,
    args: WriterArgs,
    flush_due: bool,
    /// Whether the last command found no room in the journal.
    full: bool,
    /// The traces of the batch in hand.
    traces: Vec<Span>,
}

impl Desk {
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
        let span = ticket.span.clone();
        match self.ledger.admit(command, peer, ticket) {
            Err((ticket, error)) => {
                if let CommandError::NotJournaled(said) = &error {
                    self.full = true;
                    let raise = HealthMsg::Raise(JOURNAL.into(), said.clone());
                    let _ = self.args.health.cast(raise);
                }
                ticket.answer(Err(error));
            }
            Ok(()) if !span.is_disabled() => self.traces.push(span),
            Ok(()) => {}
        }
        if self.ledger.is_due() && !self.flush_due {
            myself.cast(WriterMsg::Flush)?;
            self.flush_due = true;
        }
        Ok(())
    }

    /// Whatever is in hand goes first: nobody is shown what may not last.
    async fn flush_if_due(&mut self) -> Result<(), ActorProcessingErr> {
        match self.ledger.is_due() {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    /// Makes the batch durable, then in force, then answers (I1).
    async fn flush(&mut self) -> Result<(), ActorProcessingErr> {
        let span = self.batch_span();
        self.flush_in_trace().instrument(span).await
    }

    async fn flush_in_trace(&mut self) -> Result<(), ActorProcessingErr> {
        self.flush_due = false;
        let append = tracing::debug_span!("journal.append");
        let flush = || append.in_scope(|| self.ledger.flush());
        let batch = match tokio::task::block_in_place(flush) {
            Ok(batch) => batch,
            Err(failed) => return self.not_durable(failed).await,
        };
        fail::fail_point!("writer-before-apply", |_| std::process::abort());
        let behind = if let Some((diff, touched)) = batch.change {
            self.full = false;
            // If a word about an earlier failure is out of date, this is the moment to take it back.
            let _ = self.args.health.cast(HealthMsg::Clear(JOURNAL.into()));
            self.args.atlas.follow(self.ledger.state(), &touched);
            self.apply(diff).await.err()
        } else {
            self.behind()
        };
        fail::fail_point!("writer-before-reply", |_| std::process::abort());
        self.tell(batch.answers, behind);
        Ok(())
    }

    /// Takes back that there is no room once there is some, though no command may come to show it.
    fn look_for_room(&mut self) {
        if self.full && self.ledger.has_room() {
            self.full = false;
            let _ = self.args.health.cast(HealthMsg::Clear(JOURNAL.into()));
        }
    }

    fn behind(&self) -> Option<String> {
        let holds = self.args.standing.holds(self.ledger.state().seq());
        (!holds).then(|| "the kernel does not hold what the journal says yet".into())
    }

    fn tell(&self, answers: Vec<(Ticket, Done)>, behind: Option<String>) {
        let last = self.ledger.state().seq();
        for (ticket, done) in answers {
            let seq = done.seq.unwrap_or(last);
            ticket.answer(match &behind {
                None => Ok(done),
                Some(said) => Err(CommandError::NotEnforced {
                    seq,
                    said: said.clone(),
                }),
            });
        }
    }

    async fn apply(&mut self, diff: syva_model::plan::Diff) -> Result<(), String> {
        let (seq, mode) = (self.ledger.state().seq(), self.ledger.state().mode);
        let span = tracing::debug_span!("enforce", syva.seq = seq);
        let message = |reply| ReconcilerMsg::Apply(Box::new(diff), seq, mode, span, reply);
        let outcome = self
            .args
            .reconciler
            .call(message)
            .await
            .map_err(|gone| gone.to_string())?;
        outcome.map_err(|error| error.to_string())
    }

    /// The batch failed, and only the store can tell whether it holds it all the same: it is read
    /// again before anybody is answered. If that fails too the tickets go with this actor, and their
    /// callers are told to look.
    async fn not_durable(&mut self, failed: Undurable<Ticket>) -> Result<(), ActorProcessingErr> {
        let said = failed.said;
        let raise = HealthMsg::Raise(JOURNAL.into(), said.clone());
        let _ = self.args.health.cast(raise);
        tokio::task::block_in_place(|| self.ledger.reload())?;
        if self.ledger.head() == failed.head {
            tracing::warn!(%said, "the batch is in the journal nevertheless");
            self.hand_over().await;
            self.tell(failed.answers, self.behind());
            return Ok(());
        }
        for (ticket, _) in failed.answers {
            ticket.answer(Err(CommandError::NotJournaled(said.clone())));
        }
        self.hand_over().await;
        Ok(())
    }

    /// Gives the reconciler the whole desired image. A failure is its to report and to repeat.
    async fn hand_over(&mut self) {
        let state = self.ledger.state();
        let (seq, mode) = (state.seq(), state.mode);
        self.args.atlas.learn(state);
        let desired = Box::new(Desired {
            image: self.ledger.image().clone(),
            seq,
            mode,
        });
        match self
            .args
            .reconciler
            .call(|reply| ReconcilerMsg::Adopt(desired, reply))
            .await
        {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "the maps do not hold the journal's state"),
            Err(gone) => tracing::warn!("{gone}: it asks for the state when it is back"),
        }
    }

    /// Entries of the daemon's own at start: a new boot, a mode asked for on the command line (D12).
    async fn begin(&mut self) -> Result<(), ActorProcessingErr> {
        let mut commands = Vec::new();
        if self.ledger.state().boot != Some(self.ledger.boot()) {
            let prober = self.args.loader.call(LoaderMsg::Prober).await??;
            let state = self.ledger.state();
            let vantage = &self.args.vantage;
            let again = || {
                let claims = resolve::again(&*prober, vantage, state);
                let host_sockets = resolve::sockets::again(&*prober, vantage, state);
                (claims, host_sockets)
            };
            let (claims, host_sockets) = tokio::task::block_in_place(again);
            commands.push(Command::Boot {
                claims,
                host_sockets,
            });
        }
        commands.extend(self.args.mode.map(|mode| Command::SetMode { mode }));
        for command in commands {
            let ticket = Ticket {
                reply: None,
                span: Span::none(),
                _permit: None,
            };
            if let Err((_, error)) = self.ledger.admit(command, own_peer(), ticket) {
                return Err(error.into());
            }
        }
        let outcome = tokio::task::block_in_place(|| self.ledger.flush());
        outcome.map_err(|failed| failed.said)?;
        self.hand_over().await;
        Ok(())
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
    type State = Desk;
    type Arguments = WriterArgs;

    async fn pre_start(
        &self,
        _: ActorRef<WriterMsg>,
        args: WriterArgs,
    ) -> Result<Desk, ActorProcessingErr> {
        let mut journal = args.journal.lend().ok_or("the journal is still in use")?;
        let facts = args.facts.clone();
        let ledger = tokio::task::block_in_place(|| {
            if journal.poisoned().is_some() {
                journal.reopen()?;
            }
            Ledger::open(journal, facts)
        })?;
        let mut desk = Desk {
            ledger,
            args,
            flush_due: false,
            full: false,
            traces: Vec::new(),
        };
        desk.begin().await?;
        let _ = desk.args.health.cast(HealthMsg::Clear(JOURNAL.into()));
        Ok(desk)
    }

    /// Who waits for the batch in hand is answered; the state is kept for the next start.
    async fn post_stop(
        &self,
        _: ActorRef<WriterMsg>,
        desk: &mut Desk,
    ) -> Result<(), ActorProcessingErr> {
        desk.flush_if_due().await?;
        tokio::task::block_in_place(|| desk.ledger.close());
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<WriterMsg>,
        message: WriterMsg,
        desk: &mut Desk,
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
                desk.take(*command, peer, ticket, &myself)?;
                if desk.ledger.waiting() >= BATCH {
                    desk.flush().await?;
                }
            }
            WriterMsg::Ask(question) => {
                desk.flush_if_due().await?;
                desk.look_for_room();
                question(&Glance {
                    state: desk.ledger.state(),
                    applied: desk.args.standing.applied(),
                });
            }
            WriterMsg::Flush => desk.flush().await?,
            WriterMsg::CgroupsGone(gone) => {
                for cgroup in gone {
                    let held = desk.ledger.state().container_of(cgroup);
                    let Some((container, _)) = held else { continue };
                    let command = Command::CgroupGone {
                        container: container.clone(),
                        cgroup,
                    };
                    let ticket = Ticket {
                        reply: None,
                        span: Span::none(),
                        _permit: None,
                    };
                    desk.take(command, own_peer(), ticket, &myself)?;
                }
            }
            WriterMsg::HandOver => {
                desk.flush_if_due().await?;
                desk.hand_over().await;
            }
        }
        Ok(())
    }
}
