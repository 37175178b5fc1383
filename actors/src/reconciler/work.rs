//! What the reconciler decides, without ractor: when a plan is run, when everything is compared, what
//! is drift, and what is known of the maps afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use syva_model::image::{CgroupId, Image, Mode};
use syva_model::kernel::{KernelError, Linked, Recounted};
use syva_model::plan::{Change, Diff, plan};
use syva_model::project;

use super::maps::{Maps, enforce, read, with_inherited};
use crate::drift::{self, Drift};
use crate::health::HealthMsg;
use crate::membership::foreign::Foreign;
use crate::standing::Standing;

/// The first pause before a comparison that failed is tried again; doubled for each failure that
/// follows, up to the timer's own interval.
const RETRY: Duration = Duration::from_millis(100);

/// The health reason while the maps do not hold what the journal says.
pub const BEHIND: &str = "maps_behind_journal";

/// The health reason while processes that zones have pulled into their cgroups are not moved back.
pub const FOREIGN: &str = "foreign_processes";

/// What the maps should hold, and up to which entry that is so.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// The rows.
    pub image: Image,
    /// The last entry they take in.
    pub seq: u64,
    /// The node's mode.
    pub mode: Mode,
    /// Files of claims that have names outside them: no image, for the kernel knows more of them; what it
    /// knew is gone with its memory.
    pub linked: Vec<Linked>,
}

/// What a comparison found and put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that differed from what is desired, kernel-born ones included: as held, and as they are now.
    pub rows: Diff,
    /// Counts of what zones have that were not the numbers of the rows, and are now.
    pub recounted: Vec<Recounted>,
    /// Attached cgroups that are gone.
    pub gone: Vec<CgroupId>,
}

impl Report {
    /// How many differences were repaired.
    pub fn repaired(&self) -> usize {
        self.rows.len() + self.recounted.len()
    }
}

/// Who is told what was found. None of them is waited for.
pub trait Notices: Send {
    /// What it means for the node's health.
    fn health(&self, message: HealthMsg);
    /// Attached cgroups are gone; whether that is news is the writer's to decide.
    fn gone(&self, cgroups: Vec<CgroupId>);
    /// There was drift.
    fn drift(&self, rows: Vec<Drift>);
    /// The desired image is not known: the writer alone knows it.
    fn wanted(&self);
}

/// The desired image, and what is known of the maps' agreement with it.
pub struct Work {
    notices: Box<dyn Notices>,
    /// Where the maps stand; written here alone.
    standing: Arc<Standing>,
    /// Differences repaired since the start.
    drift: Arc<AtomicU64>,
    desired: Option<Desired>,
    /// Whether a plan broke off, so that only a comparison can tell what the maps hold.
    dirty: bool,
    /// Whether the kernel has its record of names outside claims since what is desired was handed over.
    links_restored: bool,
    /// Failures since the maps last agreed.
    failures: u32,
}

impl Work {
    /// Nothing is desired yet, and nothing known of the maps.
    pub fn new(notices: Box<dyn Notices>, standing: Arc<Standing>, drift: Arc<AtomicU64>) -> Work {
        Work {
            notices,
            standing,
            drift,
            desired: None,
            dirty: true,
            links_restored: false,
            failures: 0,
        }
    }

    /// What is desired, if that is known.
    pub fn desired(&self) -> Option<&Desired> {
        self.desired.as_ref()
    }

    /// Whether the maps may not hold what is desired, as far as is known.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// How long to wait before a comparison that failed is tried again, if it must be.
    pub fn retry_after(&self, interval: Duration) -> Option<Duration> {
        let doubled = RETRY * 2_u32.saturating_pow(self.failures.min(16));
        // What is not known is asked for by the timer: the writer hands it over when it can.
        (self.dirty && self.desired.is_some()).then(|| doubled.min(interval))
    }

    /// This is what is desired from now on; compares everything.
    ///
    /// # Errors
    /// The kernel side's; the comparison must be repeated.
    pub fn adopt(&mut self, maps: &mut dyn Maps, desired: Desired) -> Result<Report, KernelError> {
        self.desired = Some(desired);
        // What differs may be what is new in it: no drift.
        (self.dirty, self.links_restored) = (true, false);
        self.compare(maps)
    }

    /// What is desired changes, with entries up to `seq`. If a plan broke off before, everything is
    /// compared instead.
    ///
    /// # Errors
    /// The kernel side's; the maps must be compared.
    pub fn apply(
        &mut self,
        maps: &mut dyn Maps,
        diff: &Diff,
        seq: u64,
        mode: Mode,
    ) -> Result<(), KernelError> {
        let Some(desired) = &mut self.desired else {
            return Err(unknown());
        };
        desired.image.accept(diff);
        (desired.seq, desired.mode) = (seq, mode);
        if self.dirty {
            return self.compare(maps).map(drop);
        }
        self.standing.amiss();
        let diff = with_inherited(maps, diff, &desired.image.members);
        let outcome = diff.and_then(|diff| enforce(maps, &plan(&diff), seq, mode));
        self.settle(outcome)
    }

    /// Compares everything and repairs it. What differs though nothing had failed is drift.
    ///
    /// # Errors
    /// The kernel side's; the comparison must be repeated.
    pub fn compare(&mut self, maps: &mut dyn Maps) -> Result<Report, KernelError> {
        if self.desired.is_none() {
            // Nothing is known to be wrong with the maps.
            return Err(unknown());
        }
        let expected = self.dirty;
        let outcome = self.compare_maps(maps);
        let report = self.settle(outcome)?;
        if !report.gone.is_empty() {
            self.notices.gone(report.gone.clone());
        }
        let repaired = report.repaired() as u64;
        if repaired > 0 && !expected {
            self.drift.fetch_add(repaired, Ordering::Relaxed);
            tracing::warn!(
                repaired,
                ?report,
                "drift: the maps held what the journal does not say"
            );
            let seq = self.desired.as_ref().map_or(0, |desired| desired.seq);
            self.notices.drift(drift::of(&report, seq));
        }
        Ok(report)
    }

    fn compare_maps(&mut self, maps: &mut dyn Maps) -> Result<Report, KernelError> {
        let Some(desired) = &self.desired else {
            return Err(unknown());
        };
        if !self.links_restored {
            // Before the claims: without theirs these rows say nothing.
            maps.restore_links(&desired.linked)?;
            self.links_restored = true;
        }
        let mut held = read(maps)?;
        fill_in_what_the_kernel_does_not_store(&mut held, &desired.image);
        let members = maps.survey(&desired.image.members)?;
        self.notices.health(foreign(&members.foreign));
        let mut rows = project::diff(&held, &desired.image);
        // One plan for all of it: what the kernel derived may be as wrong as anything else.
        rows.members = Change::between(&members.held, &members.wanted);
        if !rows.is_empty() {
            self.standing.amiss();
        }
        enforce(maps, &plan(&rows), desired.seq, desired.mode)?;
        // After the rows, which are what is counted.
        let recounted = maps.recount()?;
        let gone = members.gone;
        // A root that is gone has lost its row with its cgroup: that is no drift.
        rows.members.retain(|change| !gone.contains(&change.key));
        Ok(Report {
            rows,
            recounted,
            gone,
        })
    }

    fn settle<T>(&mut self, outcome: Result<T, KernelError>) -> Result<T, KernelError> {
        self.dirty = outcome.is_err();
        match (&outcome, &self.desired) {
            (Ok(_), Some(desired)) => self.standing.agreed(desired.seq),
            _ => self.standing.amiss(),
        }
        self.failures = match outcome {
            Ok(_) => 0,
            Err(_) => self.failures.saturating_add(1),
        };
        self.notices.health(match &outcome {
            Ok(_) => HealthMsg::Clear(BEHIND.into()),
            Err(error) => HealthMsg::Raise(
                BEHIND.into(),
                format!("the maps do not hold what the journal says: {error}"),
            ),
        });
        outcome
    }

    /// The time for a comparison has come: by the timer, or because something may have changed.
    pub fn tick(&mut self, maps: &mut dyn Maps) {
        if self.desired.is_none() {
            // The reconciler was restarted.
            self.notices.wanted();
            return;
        }
        if let Err(error) = self.compare(maps) {
            tracing::warn!(%error, "the maps could not be compared; trying again");
        }
    }
}

/// What it means for health that processes which zones pulled in are not back.
fn foreign(left: &Foreign) -> HealthMsg {
    match left.first_key_value() {
        None => HealthMsg::Clear(FOREIGN.into()),
        Some((cgroup, why)) => HealthMsg::Raise(
            FOREIGN.into(),
            format!(
                "{} cgroups are in no zone, for zones have pulled processes into them that cannot be moved \
                 back: cgroup {cgroup}, {why}",
                left.len()
            ),
        ),
    }
}

fn unknown() -> KernelError {
    refuse("the desired image is not known yet")
}

pub(super) fn refuse(said: &str) -> KernelError {
    KernelError {
        operation: "reconcile",
        on: "the kernel's maps".into(),
        said: said.into(),
        errno: None,
        remedy: "the writer hands it over by itself".into(),
    }
}

/// The depth of a claim orders plans and is nowhere in the kernel. That of a claim which should not be there
/// stays unknown, which the plan takes into account.
fn fill_in_what_the_kernel_does_not_store(held: &mut Image, desired: &Image) {
    for (key, row) in &mut held.claims {
        row.depth = desired.claims.get(key).map_or(0, |wanted| wanted.depth);
    }
}
