//! Samples: figures as values of the catalogue's metrics.

use syva_actors::health::Grade;
use syva_actors::tally::MembershipResult;
use syva_model::hook::Hook;
use syva_model::image::{Mode, Table};
use syva_model::kernel::Share;

use super::catalog::{self, Metric};
use super::{Figures, Known, epoch_seconds};
use crate::otlp::accounts::{Exported, Flow};

/// The self-tests there are; what a backend says of them is in [`syva_model::kernel::Loaded`].
pub(crate) const SELF_TESTS: [&str; 3] = ["cgroup", "inode", "unix"];

/// What the daemon does with maps.
const OPERATIONS: [&str; 2] = ["read", "write"];

/// The maps.
const MAPS: [Table; 6] = Table::ALL;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of what.
    pub metric: &'static Metric,
    /// Its labels' values, in the order of their names.
    pub labels: Vec<String>,
    /// The value.
    pub value: f64,
}

struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        self.0.push(Sample {
            metric,
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            value,
        });
    }

    fn flag(&mut self, metric: &'static Metric, labels: &[&str], set: bool) {
        self.add(metric, labels, f64::from(u8::from(set)));
    }

    /// Counts are exact up to 2^53.
    #[allow(clippy::cast_precision_loss)]
    fn count(&mut self, metric: &'static Metric, labels: &[&str], count: u64) {
        self.add(metric, labels, count as f64);
    }
}

impl Figures {
    /// Every value.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Samples(Vec::new());
        self.process(&mut samples);
        self.hooks(&mut samples);
        self.state(&mut samples);
        self.kernel(&mut samples);
        self.tally(&mut samples);
        if let Some(exported) = &self.exported {
            export(exported, &mut samples);
        }
        samples.0
    }

    fn process(&self, to: &mut Samples) {
        to.flag(&catalog::UP, &[], true);
        to.add(&catalog::START_TIME, &[], epoch_seconds(self.started));
        let build = [self.build.version, self.build.git_sha];
        to.flag(&catalog::BUILD_INFO, &build, true);
        to.count(&catalog::ACTOR_RESTARTS, &[], self.health.restarts);
        let grade = self.health.grade();
        for each in [Grade::Healthy, Grade::Degraded, Grade::Unsafe] {
            to.flag(&catalog::HEALTH_STATE, &[each.name()], each == grade);
        }
        for (reason, _) in self.health.findings() {
            to.flag(&catalog::DEGRADED_REASONS, &[&reason], true);
        }
    }

    fn hooks(&self, to: &mut Samples) {
        let loaded = self.health.loaded.as_ref();
        to.flag(
            &catalog::OBJECT_LOADED,
            &[],
            loaded.is_some_and(|l| l.enforcing),
        );
        to.count(&catalog::EXPECTED_HOOKS, &[], Hook::ALL.len() as u64);
        to.count(&catalog::ATTACHED_HOOKS, &[], self.attached_hooks());
        for hook in Hook::ALL {
            to.flag(
                &catalog::HOOK_ATTACHED,
                &[hook.name()],
                self.attached(*hook),
            );
        }
        for test in SELF_TESTS {
            let passed = self.self_test(test) == "passed";
            to.flag(&catalog::SELFTEST_PASSED, &[test], passed);
        }
    }

    fn state(&self, to: &mut Samples) {
        let Some(Known {
            zones,
            containers,
            mode,
            journal_seq,
            applied_seq,
        }) = self.known
        else {
            return;
        };
        for each in [Mode::Enforce, Mode::Audit] {
            to.flag(&catalog::ENFORCEMENT_MODE, &[each.name()], each == mode);
        }
        to.count(&catalog::ZONES, &[], zones as u64);
        to.count(&catalog::MEMBERSHIPS, &[], containers as u64);
        to.count(&catalog::JOURNAL_SEQ, &[], journal_seq);
        to.count(&catalog::APPLIED_SEQ, &[], applied_seq);
    }

    fn kernel(&self, to: &mut Samples) {
        let Some(counters) = &self.counters else {
            return;
        };
        for hook in Hook::ALL {
            let counted = counters.hooks.get(hook.index() as usize).copied();
            let counted = counted.unwrap_or_default();
            for (decision, count) in [
                ("allow", counted.allow),
                ("deny", counted.deny),
                ("would_deny", counted.would_deny),
                ("error", counted.error),
                ("lost", counted.lost),
            ] {
                to.count(&catalog::HOOK_DECISIONS, &[hook.name(), decision], count);
            }
        }
        for denials in &self.denials {
            let labels = [denials.zone.as_str(), denials.hook];
            to.count(&catalog::ZONE_DENY, &labels, denials.count);
        }
        to.count(&catalog::ZONE_DENY_OVERFLOW, &[], counters.denials_overflow);
        for usage in &self.usage {
            let labels = [usage.zone.as_str(), usage.share];
            to.count(&catalog::ZONE_QUOTA_USED, &labels, usage.held);
            to.count(&catalog::ZONE_QUOTA_REFUSED, &labels, usage.refused);
        }
        for share in Share::ALL {
            let any = counters.usage.iter().find(|usage| usage.share == share);
            if let Some(usage) = any {
                to.count(&catalog::ZONE_QUOTA_LIMIT, &[share.name()], usage.quota);
            }
        }
        to.count(&catalog::ESCAPES, &[], counters.escapes);
        for (site, count) in &counters.error_sites {
            to.count(&catalog::HELPER_ERRORS, &[site], *count);
        }
    }

    fn tally(&self, to: &mut Samples) {
        let counts = &self.counts;
        // Zeros too: an increase from nothing is none to Prometheus.
        for (operation, map) in OPERATIONS
            .iter()
            .flat_map(|o| MAPS.map(|map| (*o, map.name())))
        {
            let count = counts.map_errors.get(&(operation, map));
            let count = count.copied().unwrap_or(0);
            to.count(&catalog::MAP_ERRORS, &[operation, map], count);
        }
        to.count(
            &catalog::COUNTER_READ_ERRORS,
            &[],
            counts.counter_read_errors,
        );
        let read_well = counts.last_counter_read == Some(true);
        to.flag(&catalog::COUNTER_READ_OK, &[], read_well);
        if let Some(at) = self.last_counter_success() {
            to.add(&catalog::COUNTER_READ_TIME, &[], at);
        }
        let results = |result| counts.memberships.get(&result).copied().unwrap_or(0);
        for result in MembershipResult::ALL {
            let labels = [result.name()];
            to.count(&catalog::MEMBERSHIP_UPDATES, &labels, results(result));
        }
        let stale = results(MembershipResult::Stale);
        to.count(&catalog::MEMBERSHIP_STALE, &[], stale);
        let conflicts = results(MembershipResult::Conflict);
        to.count(&catalog::MEMBERSHIP_CONFLICTS, &[], conflicts);
        to.count(&catalog::DRIFT, &[], self.drift);
        to.count(&catalog::WATCH_DROPPED, &[], self.events_dropped);
    }

    /// Whether a hook's program runs.
    pub(crate) fn attached(&self, hook: Hook) -> bool {
        let hooks = self.health.loaded.iter().flat_map(|loaded| &loaded.hooks);
        hooks
            .into_iter()
            .any(|state| state.hook == hook && state.attached)
    }

    /// How many hooks' programs run.
    pub(crate) fn attached_hooks(&self) -> u64 {
        Hook::ALL
            .iter()
            .filter(|hook| self.attached(**hook))
            .count() as u64
    }

    /// How a self-test went: `passed`, `failed`, or `pending` if it has not run.
    pub(crate) fn self_test(&self, name: &str) -> &'static str {
        let mut tests = self
            .health
            .loaded
            .iter()
            .flat_map(|loaded| &loaded.self_tests);
        match tests.find(|test| test.name == name).map(|t| &t.outcome) {
            Some(Ok(())) => "passed",
            Some(Err(_)) => "failed",
            None => "pending",
        }
    }

    /// When the kernel's counters were last read well, in seconds since the Unix epoch.
    #[allow(clippy::cast_precision_loss)] // a microsecond
    pub(crate) fn last_counter_success(&self) -> Option<f64> {
        let at = self.counts.last_counter_success?;
        Some(at as f64 / 1e9)
    }
}

fn export(exported: &Exported, to: &mut Samples) {
    let flow = |to: &mut Samples, metric, flow: &Flow| {
        to.count(metric, &["handed_over"], flow.handed_over);
        to.count(metric, &["confirmed"], flow.confirmed);
        to.count(metric, &["dropped"], flow.dropped);
    };
    if let Some(records) = &exported.records {
        flow(to, &catalog::OTLP_RECORDS, records);
        to.count(&catalog::OTLP_QUEUED, &[], records.under_way());
    }
    if let Some(spans) = &exported.spans {
        flow(to, &catalog::OTLP_SPANS, spans);
    }
    for (signal, up) in &exported.up {
        to.flag(&catalog::OTLP_UP, &[signal], *up);
    }
}
