//! The tally: what is counted in user space for whoever watches the engine, beside what the kernel
//! counts. Clones count together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syva_model::admit::RefusalKind;

use crate::outcome::{CommandError, Done};
use crate::request::Request;

/// What became of a request to attach or detach a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MembershipResult {
    /// It is in the journal and in force.
    Applied,
    /// It asked for what was so already.
    Unchanged,
    /// Its generation was older than the one held.
    Stale,
    /// It contradicted what is there.
    Conflict,
    /// It was refused for another reason: an unknown zone, a bad name, no room.
    Refused,
    /// It failed on our side, or its end is not known.
    Failed,
}

impl MembershipResult {
    /// Every one of them.
    pub const ALL: [MembershipResult; 6] = [
        MembershipResult::Applied,
        MembershipResult::Unchanged,
        MembershipResult::Stale,
        MembershipResult::Conflict,
        MembershipResult::Refused,
        MembershipResult::Failed,
    ];

    /// As metrics spell it.
    pub const fn name(self) -> &'static str {
        match self {
            MembershipResult::Applied => "applied",
            MembershipResult::Unchanged => "unchanged",
            MembershipResult::Stale => "stale",
            MembershipResult::Conflict => "conflict",
            MembershipResult::Refused => "refused",
            MembershipResult::Failed => "failed",
        }
    }

    fn of(outcome: &Result<Done, CommandError>) -> MembershipResult {
        match outcome {
            Ok(Done { seq: Some(_), .. }) => MembershipResult::Applied,
            Ok(Done { seq: None, .. }) => MembershipResult::Unchanged,
            Err(CommandError::Refused(refusal)) => match refusal.kind {
                RefusalKind::Stale => MembershipResult::Stale,
                RefusalKind::Conflict => MembershipResult::Conflict,
                RefusalKind::Invalid | RefusalKind::NotFound | RefusalKind::Exhausted => {
                    MembershipResult::Refused
                }
            },
            Err(_) => MembershipResult::Failed,
        }
    }
}

/// What has been counted so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests to attach or detach, by what became of them.
    pub memberships: BTreeMap<MembershipResult, u64>,
    /// Accesses to the kernel's maps that failed, by operation (`read`, `write`) and map.
    pub map_errors: BTreeMap<(&'static str, &'static str), u64>,
    /// Readings of the kernel's counters that failed.
    pub counter_read_errors: u64,
    /// How the last reading of the kernel's counters went; nothing before the first.
    pub last_counter_read: Option<bool>,
    /// When it last went well, in nanoseconds since the Unix epoch.
    pub last_counter_success: Option<u64>,
}

/// Counts.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

impl Tally {
    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        self.inside().clone()
    }

    /// Whether a request is about a membership, asked before it is consumed.
    pub(crate) fn concerns(request: &Request) -> bool {
        matches!(request, Request::Attach { .. } | Request::Detach { .. })
    }

    /// A request about a membership was answered.
    pub(crate) fn membership(&self, outcome: &Result<Done, CommandError>) {
        let result = MembershipResult::of(outcome);
        *self.inside().memberships.entry(result).or_default() += 1;
    }

    /// An access to a map failed.
    pub(crate) fn map_error(&self, operation: &'static str, map: &'static str) {
        *self
            .inside()
            .map_errors
            .entry((operation, map))
            .or_default() += 1;
    }

    /// The kernel's counters were read; `Some` says when.
    pub(crate) fn counter_read(&self, success: Option<u64>) {
        let mut counts = self.inside();
        counts.last_counter_read = Some(success.is_some());
        match success {
            Some(_) => counts.last_counter_success = success,
            None => counts.counter_read_errors += 1,
        }
    }

    fn inside(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
