//! Status: what the node is and does, from health, counters and state at once.

use std::collections::BTreeSet;

use syva_actors::health::Health;
use syva_model::hook::Hook;
use syva_model::kernel::{Counters, HookCounters};
use syva_model::state::State;

use crate::v1;

/// What holds for every zone until later versions change it. README and SECURITY.md say the same.
const NOT_YET: &[&str] = &[
    "only files (opening, executing, mapping to execute, every change), signals, ptrace, Unix sockets, cgroups and what rules \
     the node (bpf(2), disks, kernel parameters, …) are mediated yet: shared memory and the network are not",
];

/// What holds besides where nothing is pinned: with `--pin-dir off`, or in memory.
const UNPINNED: &str =
    "nothing is pinned: while the daemon is down or restarts, nothing is enforced";

/// What is known of the state.
pub struct Known {
    zones: u32,
    containers: u32,
    mode: &'static str,
    zones_of_other_mode: Vec<String>,
    journal_seq: u64,
    applied_seq: u64,
    not_enforced: BTreeSet<String>,
}

impl Known {
    /// Taken between two batches.
    pub fn of(state: &State, applied_seq: u64) -> Known {
        let words = state.zones.iter().flat_map(|(name, zone)| {
            zone.policy
                .not_enforced()
                .into_iter()
                .map(move |words| format!("zone {name}: {words}"))
        });
        Known {
            zones: count(state.zones.len()),
            containers: count(state.members.len()),
            mode: state.mode.name(),
            zones_of_other_mode: state
                .zones
                .iter()
                .filter(|(_, zone)| state.mode_of(zone) != state.mode)
                .map(|(name, _)| name.to_string())
                .collect(),
            journal_seq: state.seq(),
            applied_seq,
            not_enforced: words.collect(),
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The reply, but for what only the service knows.
pub fn reply(known: Known, health: &Health, counters: &Counters) -> v1::StatusResponse {
    let loaded = health.loaded.as_ref();
    let self_tests = loaded.iter().flat_map(|loaded| &loaded.self_tests);
    let unpinned = loaded.is_some_and(|loaded| !loaded.pinned);
    let fixed = NOT_YET.iter().copied();
    let fixed = fixed.chain(unpinned.then_some(UNPINNED)).map(str::to_owned);
    v1::StatusResponse {
        attached: health.attached(),
        zones_active: known.zones,
        containers_active: known.containers,
        hooks: hooks(health, counters),
        mode: known.mode.to_owned(),
        zones_of_other_mode: known.zones_of_other_mode,
        backend: loaded
            .map(|loaded| loaded.backend.to_owned())
            .unwrap_or_default(),
        health: health.grade().name().to_owned(),
        degraded_reasons: health.words(),
        not_enforced: fixed.chain(known.not_enforced).collect(),
        missing: loaded
            .map(|loaded| loaded.missing.clone())
            .unwrap_or_default(),
        journal_seq: known.journal_seq,
        applied_seq: known.applied_seq,
        self_tests: self_tests
            .map(|test| v1::SelfTest {
                name: test.name.to_owned(),
                state: if test.outcome.is_ok() {
                    "passed"
                } else {
                    "failed"
                }
                .to_owned(),
                detail: test.outcome.clone().err().unwrap_or_default(),
            })
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel_release: loaded
            .map(|loaded| loaded.kernel_release.clone())
            .unwrap_or_default(),
        denials_overflow: counters.denials_overflow,
        escapes: counters.escapes,
        kernel_errors: counters.error_sites.iter().cloned().collect(),
        ..v1::StatusResponse::default()
    }
}

fn hooks(health: &Health, counters: &Counters) -> Vec<v1::HookStatus> {
    let state = |hook: Hook| {
        let loaded = health.loaded.as_ref()?;
        loaded.hooks.iter().find(|state| state.hook == hook)
    };
    Hook::ALL
        .iter()
        .map(|hook| {
            let counted = counters.hooks.get(hook.index() as usize).copied();
            let HookCounters {
                allow,
                deny,
                would_deny,
                error,
                lost,
            } = counted.unwrap_or_default();
            let problem = state(*hook)
                .and_then(|state| state.problem.clone())
                .unwrap_or_default();
            let attached = state(*hook).is_some_and(|state| state.attached);
            let hook = hook.name().to_owned();
            v1::HookStatus {
                hook,
                allow,
                deny,
                error,
                lost,
                would_deny,
                attached,
                problem,
            }
        })
        .collect()
}
