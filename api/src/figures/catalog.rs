//! The catalogue: every metric, once. The text at `/metrics`, the OTLP metrics, the table in
//! `docs/telemetry.md` and the check of the dashboard all come from it.

/// How a metric's value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only goes up, and starts at zero with the daemon or with the kernel object it loaded.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A metric: what it is called and what it means.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as Prometheus has it.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// Its unit, as UCUM spells it; `1` for what is none.
    pub unit: &'static str,
    /// What it means.
    pub help: &'static str,
}

macro_rules! catalog {
    ($( $id:ident = $kind:ident $name:literal [$($label:literal),*] $unit:literal $help:literal; )+) => {
        $(
            #[doc = $help]
            pub static $id: Metric = Metric {
                name: $name,
                kind: Kind::$kind,
                labels: &[$($label),*],
                unit: $unit,
                help: $help,
            };
        )+

        /// Every metric, in the order it is told.
        pub static ALL: &[&Metric] = &[$( &$id ),+];
    };
}

catalog! {
    UP = Gauge "syva_core_up" [] "1"
        "1 while the daemon answers";
    START_TIME = Gauge "syva_core_start_time_seconds" [] "s"
        "When the daemon started, in seconds since the Unix epoch";
    BUILD_INFO = Gauge "syva_core_build_info" ["version", "git_sha"] "1"
        "Always 1; the labels say which build runs";
    OBJECT_LOADED = Gauge "syva_ebpf_object_loaded" [] "1"
        "1 while a kernel holds the BPF object; 0 before loading and with the memory backend";
    EXPECTED_HOOKS = Gauge "syva_ebpf_expected_hooks" [] "{hook}"
        "How many LSM hooks this build attaches";
    ATTACHED_HOOKS = Gauge "syva_ebpf_attached_hooks" [] "{hook}"
        "How many of them are attached";
    HOOK_ATTACHED = Gauge "syva_ebpf_hook_attached" ["hook"] "1"
        "1 if the hook's program is attached";
    SELFTEST_PASSED = Gauge "syva_selftest_passed" ["test"] "1"
        "1 if the self-test passed; 0 if it failed or has not run";
    HEALTH_STATE = Gauge "syva_health_state" ["state"] "1"
        "1 for the state the node is in, 0 for the others";
    DEGRADED_REASONS = Gauge "syva_health_degraded_reasons" ["reason"] "1"
        "1 for each reason why the node is not healthy; none while it is";
    ACTOR_RESTARTS = Counter "syva_actor_restarts_total" [] "{restart}"
        "Parts of the daemon that failed and were started again";
    ENFORCEMENT_MODE = Gauge "syva_enforcement_mode" ["mode"] "1"
        "1 for the node's mode, 0 for the other; absent while the state cannot be asked";
    HOOK_DECISIONS = Counter "syva_hook_decisions_total" ["hook", "decision"] "{decision}"
        "Decisions on zoned callers: allow, deny, would_deny. Beside a decision, error counts kernel reads that failed while it was taken, and lost its events that did not fit the ring buffer";
    ZONE_DENY = Counter "syva_zone_deny_total" ["zone", "hook"] "{denial}"
        "Operations refused to callers of the zone";
    ZONE_DENY_OVERFLOW = Counter "syva_zone_deny_overflow_total" [] "{denial}"
        "Denials that are in no zone's count, because the kernel's table of zone pairs was full";
    ZONE_QUOTA_USED = Gauge "syva_zone_quota_used" ["zone", "share"] "{row}"
        "Rows that the zone has in tables that all zones share: cgroups made inside it (cgroups), System V objects and keys that it made (ipc); absent for one that never had any";
    ZONE_QUOTA_LIMIT = Gauge "syva_zone_quota_limit" ["share"] "{row}"
        "How many of them one zone may have; absent while no zone has any";
    ZONE_QUOTA_REFUSED = Counter "syva_zone_quota_refused_total" ["zone", "share"] "{request}"
        "How often the zone wanted more than it may have";
    ESCAPES = Counter "syva_escapes_total" [] "{task}"
        "Processes that were moved out of their zone by one that no zone restricts, such as the host";
    HELPER_ERRORS = Counter "syva_bpf_helper_errors_total" ["site"] "{error}"
        "Failures inside the BPF programs, by the place they happened at";
    MAP_ERRORS = Counter "syva_bpf_map_errors_total" ["operation", "map"] "{error}"
        "Accesses to a BPF map that failed in the daemon";
    COUNTER_READ_ERRORS = Counter "syva_bpf_counter_read_errors_total" [] "{error}"
        "Readings of the kernel's counters that failed; the metrics read from them are absent then";
    COUNTER_READ_OK = Gauge "syva_bpf_last_read_ok" [] "1"
        "1 if the last reading of the kernel's counters went well";
    COUNTER_READ_TIME = Gauge "syva_bpf_last_read_success_timestamp_seconds" [] "s"
        "When the kernel's counters were last read well, in seconds since the Unix epoch";
    ZONES = Gauge "syva_zones" [] "{zone}"
        "Registered zones; absent while the state cannot be asked";
    MEMBERSHIPS = Gauge "syva_memberships_active" [] "{container}"
        "Attached containers; absent while the state cannot be asked";
    MEMBERSHIP_UPDATES = Counter "syva_membership_updates_total" ["result"] "{request}"
        "Requests to attach or detach a container, by what became of them";
    MEMBERSHIP_STALE = Counter "syva_membership_generation_stale_total" [] "{request}"
        "Requests to attach or detach with a generation older than the one held";
    MEMBERSHIP_CONFLICTS = Counter "syva_membership_conflicts_total" [] "{request}"
        "Requests to attach or detach that contradicted what is there";
    JOURNAL_SEQ = Gauge "syva_journal_seq" [] "{entry}"
        "The journal's last entry; absent while the state cannot be asked";
    APPLIED_SEQ = Gauge "syva_applied_seq" [] "{entry}"
        "The last entry whose effects the kernel's maps hold; absent while the state cannot be asked";
    DRIFT = Counter "syva_drift_repaired_total" [] "{row}"
        "Rows of the kernel's maps found to differ from what the journal says, and put right";
    WATCH_DROPPED = Counter "syva_watch_events_dropped_total" [] "{event}"
        "Events lost in user space, on the way from the ring buffer or to a subscriber that lagged";
    OTLP_RECORDS = Counter "syva_otlp_records_total" ["result"] "{record}"
        "Log records for OTLP: handed_over, confirmed by the collector, dropped. handed_over is confirmed, dropped and syva_otlp_queued_records together";
    OTLP_QUEUED = Gauge "syva_otlp_queued_records" [] "{record}"
        "Log records that wait for the collector";
    OTLP_SPANS = Counter "syva_otlp_spans_total" ["result"] "{span}"
        "Spans for OTLP: handed_over, confirmed, dropped; as for records, the rest is under way";
    OTLP_UP = Gauge "syva_otlp_collector_up" ["signal"] "1"
        "1 if the last export of logs, metrics or traces was confirmed; absent before the first";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let mut names: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
        }
    }
}
