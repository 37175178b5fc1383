//! The reconciler: owns the desired image and makes the kernel's maps agree with it — by a plan for
//! each batch of entries, and by comparison at start, after a failure, on a timer and on demand (D14).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use syva_model::image::{Image, MapWrite, Mode, Origin, Table};
use syva_model::kernel::{KernelError, Rows};
use syva_model::plan::{Diff, plan};
use syva_model::project;
use tokio::task::block_in_place;
use tracing::{Instrument as _, Span};

use crate::address::{Address, answer};
use crate::control::ControlMsg;
use crate::drift;
use crate::fanout::FanoutMsg;
use crate::health::HealthMsg;
use crate::map::MapMsg;
use crate::membership::{Checked, MembershipMsg};
use crate::standing::Standing;
use crate::writer::WriterMsg;

/// The first pause before a comparison that failed is tried again; doubled for each failure that
/// follows, up to the timer's own interval.
const RETRY: Duration = Duration::from_millis(100);

/// The health reason while the maps do not hold what the journal says.
pub const BEHIND: &str = "maps_behind_journal";

/// What the maps should hold, and up to which entry that is so.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The rows.
    pub image: Image,
    /// The last entry they take in.
    pub seq: u64,
    /// The node's mode.
    pub mode: Mode,
}

/// What a comparison found and put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that differed from the desired image: as held, and as they are now.
    pub rows: Diff,
    /// Kernel-born rows.
    pub born: Checked,
}

impl Report {
    /// How many differences were repaired.
    pub fn repaired(&self) -> usize {
        self.rows.len() + self.born.relabelled.len() + self.born.removed.len()
    }
}

/// What may be asked.
#[derive(Debug)]
pub enum ReconcilerMsg {
    /// This is what is desired from now on; compare everything.
    Adopt(Box<Desired>, RpcReplyPort<Result<Report, KernelError>>),
    /// This changes, with these entries, in this trace.
    Apply(
        Box<Diff>,
        u64,
        Mode,
        Span,
        RpcReplyPort<Result<(), KernelError>>,
    ),
    /// Compare everything now.
    Compare(RpcReplyPort<Result<Report, KernelError>>),
    /// Answer, to show that nothing keeps it.
    Alive(RpcReplyPort<()>),
    /// An owner of a map was restarted: compare.
    Nudge,
    /// The timer.
    Tick,
    /// The pause after a failure is over.
    Retry,
}

/// Who owns what the reconciler writes.
#[derive(Clone, Debug)]
pub struct Maps {
    /// Zones, claims, pairs and host sockets; members by their own actor.
    pub tables: Vec<(Table, Address<MapMsg>)>,
    /// The control map.
    pub control: Address<ControlMsg>,
    /// Memberships and what lies below them.
    pub membership: Address<MembershipMsg>,
}

/// What the actor needs.
pub struct ReconcilerArgs {
    /// Where to write.
    pub maps: Maps,
    /// Who is told of drift and failure.
    pub health: Address<HealthMsg>,
    /// Who is told that a member's cgroup is gone, and asked for the desired image after a restart.
    pub writer: Address<WriterMsg>,
    /// Who tells of drift.
    pub fanout: Address<FanoutMsg>,
    /// How often to compare.
    pub interval: Duration,
    /// Differences repaired since the start, for Status.
    pub drift: Arc<AtomicU64>,
    /// Where the maps stand; written here alone.
    pub standing: Arc<Standing>,
}

/// The actor's state.
pub struct Work {
    args: ReconcilerArgs,
    desired: Option<Desired>,
    /// Whether a plan broke off, so that only a comparison can tell what the maps hold.
    dirty: bool,
    /// Failures since the maps last agreed.
    failures: u32,
    /// Whether a [`ReconcilerMsg::Retry`] is under way.
    retry_due: bool,
}

impl Work {
    async fn apply(&mut self, diff: &Diff, seq: u64, mode: Mode) -> Result<(), KernelError> {
        let Some(desired) = &mut self.desired else {
            return Err(refuse("the desired image is not known yet"));
        };
        desired.image.accept(diff);
        (desired.seq, desired.mode) = (seq, mode);
        if self.dirty {
            return self.compare().await.map(drop);
        }
        self.args.standing.amiss();
        let outcome = self.args.maps.run(&plan(diff), seq, mode).await;
        self.settle(outcome)
    }

    /// Compares everything and repairs it. What differs though nothing had failed is drift.
    async fn compare(&mut self) -> Result<Report, KernelError> {
        let expected = self.dirty;
        let outcome = self.compare_maps().await;
        let report = self.settle(outcome)?;
        if !report.born.gone.is_empty() {
            // The writer decides whether that is news; if it is being restarted, the next tick asks.
            let _ = self
                .args
                .writer
                .cast(WriterMsg::CgroupsGone(report.born.gone.clone()));
        }
        let repaired = report.repaired() as u64;
        if repaired > 0 && !expected {
            self.args.drift.fetch_add(repaired, Ordering::Relaxed);
            tracing::warn!(
                repaired,
                ?report,
                "drift: the maps held what the journal does not say"
            );
            let seq = self.desired.as_ref().map_or(0, |desired| desired.seq);
            // It is in the log and counted, whether or not anyone is there to tell of it.
            let _ = self
                .args
                .fanout
                .cast(FanoutMsg::Drift(drift::of(&report, seq)));
        }
        Ok(report)
    }

    async fn compare_maps(&self) -> Result<Report, KernelError> {
        let Some(desired) = &self.desired else {
            return Err(refuse("the desired image is not known yet"));
        };
        let mut held = self.args.maps.read().await?;
        let mut rows = block_in_place(|| {
            forget_what_the_kernel_does_not_store(&mut held, &desired.image);
            project::diff(&held, &desired.image)
        });
        if !rows.is_empty() {
            self.args.standing.amiss();
        }
        self.args
            .maps
            .run(&plan(&rows), desired.seq, desired.mode)
            .await?;
        let roots = desired.image.members.clone();
        let check = |reply| MembershipMsg::Check(roots, reply);
        let born = self.args.maps.membership.call(check).await??;
        // A root that is gone has lost its row with its cgroup: that is no drift.
        rows.members
            .retain(|change| !born.gone.contains(&change.key));
        Ok(Report { rows, born })
    }

    fn settle<T>(&mut self, outcome: Result<T, KernelError>) -> Result<T, KernelError> {
        self.dirty = outcome.is_err();
        match (&outcome, &self.desired) {
            (Ok(_), Some(desired)) => self.args.standing.agreed(desired.seq),
            _ => self.args.standing.amiss(),
        }
        self.failures = match outcome {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        let told = match &outcome {
            Ok(_) => HealthMsg::Clear(BEHIND.into()),
            Err(error) => HealthMsg::Raise(
                BEHIND.into(),
                format!("the maps do not hold what the journal says: {error}"),
            ),
        };
        // Without a health actor there is nobody to tell; the next comparison tells it again.
        let _ = self.args.health.cast(told);
        outcome
    }

    async fn tick(&mut self) {
        if self.desired.is_none() {
            // This actor was restarted: the writer alone knows what is desired.
            let _ = self.args.writer.cast(WriterMsg::HandOver);
            return;
        }
        if let Err(error) = self.compare().await {
            tracing::warn!(%error, "the maps could not be compared; trying again");
        }
    }

    /// Sees to it that what is behind is not left to the timer.
    fn retry_soon(&mut self, myself: &ActorRef<ReconcilerMsg>) {
        if self.dirty && !self.retry_due {
            self.retry_due = true;
            let doubled = RETRY * 2_u32.saturating_pow(self.failures.min(16));
            let pause = doubled.min(self.args.interval);
            myself.send_after(pause, || ReconcilerMsg::Retry);
        }
    }
}

fn refuse(said: &str) -> KernelError {
    KernelError {
        operation: "reconcile",
        on: "the kernel's maps".into(),
        said: said.into(),
        errno: None,
        remedy: "the writer hands it over by itself".into(),
    }
}

/// The depth of a claim orders plans and is nowhere in the kernel.
fn forget_what_the_kernel_does_not_store(held: &mut Image, desired: &Image) {
    for (key, row) in &mut held.claims {
        if let Some(wanted) = desired.claims.get(key) {
            row.depth = wanted.depth;
        }
    }
}

impl Maps {
    /// Runs a plan: runs of steps for the same owner go there together, in order.
    async fn run(&self, steps: &[MapWrite], seq: u64, mode: Mode) -> Result<(), KernelError> {
        self.control
            .call(|reply| ControlMsg::Begin(seq, reply))
            .await??;
        for run in steps.chunk_by(|a, b| a.table() == b.table()) {
            fail::fail_point!("reconciler-between-steps", |_| std::process::abort());
            let map = run.first().map_or("", |step| step.table().name());
            let span = tracing::debug_span!("map.write", syva.map = map, syva.steps = run.len());
            self.write(run).instrument(span).await?;
        }
        self.control
            .call(|reply| ControlMsg::Finish(seq, mode, reply))
            .await?
    }

    async fn write(&self, run: &[MapWrite]) -> Result<(), KernelError> {
        let table = run.first().map_or(Table::Control, MapWrite::table);
        let steps = run.to_vec();
        match table {
            Table::Control => self.control.call(ControlMsg::AdvanceEpoch).await?,
            Table::Members => {
                self.membership
                    .call(|reply| MembershipMsg::Write(steps, reply))
                    .await?
            }
            _ => {
                self.map(table)?
                    .call(|reply| MapMsg::Write(steps, reply))
                    .await?
            }
        }
    }

    /// Reads the maps as an image, kernel-born rows left out: those are the membership actor's. One
    /// that stands where a journal's row should is overwritten by it.
    async fn read(&self) -> Result<Image, KernelError> {
        let mut image = Image::default();
        for (_, address) in &self.tables {
            match address.call(MapMsg::Rows).await?? {
                Rows::Zones(rows) => image.zones.extend(rows),
                Rows::Claims(rows) => image.claims.extend(rows),
                Rows::Pairs(rows) => image.pairs.extend(rows),
                Rows::HostSockets(rows) => image.host_sockets.extend(rows),
                Rows::Members(rows) => {
                    let roots = rows
                        .into_iter()
                        .filter(|(_, row)| row.origin == Origin::Journal);
                    image.members.extend(roots);
                }
            }
        }
        Ok(image)
    }

    fn map(&self, table: Table) -> Result<&Address<MapMsg>, KernelError> {
        let found = self.tables.iter().find(|(owned, _)| *owned == table);
        found
            .map(|(_, address)| address)
            .ok_or_else(|| refuse("a map has no owner"))
    }
}

/// The actor.
#[derive(Debug)]
pub struct Reconciler;

impl Actor for Reconciler {
    type Msg = ReconcilerMsg;
    type State = Work;
    type Arguments = ReconcilerArgs;

    async fn pre_start(
        &self,
        myself: ActorRef<ReconcilerMsg>,
        args: ReconcilerArgs,
    ) -> Result<Work, ActorProcessingErr> {
        // One tick at a time, so that they do not pile up behind a comparison that takes longer.
        myself.send_after(args.interval, || ReconcilerMsg::Tick);
        Ok(Work {
            args,
            desired: None,
            dirty: true,
            failures: 0,
            retry_due: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ReconcilerMsg>,
        message: ReconcilerMsg,
        work: &mut Work,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ReconcilerMsg::Adopt(desired, reply) => {
                work.desired = Some(*desired);
                // What differs may be what is new in it: no drift.
                work.dirty = true;
                answer(reply, work.compare().await);
            }
            ReconcilerMsg::Apply(diff, seq, mode, span, reply) => {
                let applied = work.apply(&diff, seq, mode).instrument(span);
                answer(reply, applied.await);
            }
            ReconcilerMsg::Compare(reply) => {
                answer(reply, work.compare().await);
            }
            ReconcilerMsg::Alive(reply) => answer(reply, ()),
            ReconcilerMsg::Nudge => work.tick().await,
            ReconcilerMsg::Tick => {
                work.tick().await;
                myself.send_after(work.args.interval, || ReconcilerMsg::Tick);
            }
            ReconcilerMsg::Retry => {
                work.retry_due = false;
                if work.dirty {
                    work.tick().await;
                }
            }
        }
        work.retry_soon(&myself);
        Ok(())
    }
}
