//! Records: a denial, or a row that drifted, as an OTLP log record. `docs/telemetry.md` has every attribute.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use rustix::time::{ClockId, clock_gettime};
use syva_actors::drift::Drift;
use syva_actors::fanout::{Delivery, Denial};
use syva_model::command::Pod;
use syva_model::hook::{Hook, ObjectKind};
use syva_model::image::CgroupId;
use syva_model::kernel::Verdict;

use crate::server::watch::what_failed;

/// The container a cgroup is attached as.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub id: String,
    pub pod: Pod,
}

/// Turns the kernel's monotonic time into the wall clock's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    now: Duration,
    monotonic: Duration,
}

impl Clocks {
    /// Both clocks, read together.
    pub(crate) fn read() -> Clocks {
        let monotonic = clock_gettime(ClockId::Monotonic);
        let seconds = Duration::from_secs(monotonic.tv_sec.try_into().unwrap_or(0));
        Clocks {
            now: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            monotonic: seconds + Duration::from_nanos(monotonic.tv_nsec.try_into().unwrap_or(0)),
        }
    }

    fn wall(self, monotonic_ns: u64) -> SystemTime {
        let ago = self
            .monotonic
            .saturating_sub(Duration::from_nanos(monotonic_ns));
        UNIX_EPOCH + self.now.saturating_sub(ago)
    }
}

struct Attributes<'a>(&'a mut SdkLogRecord);

impl Attributes<'_> {
    fn text(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.0.add_attribute(key, value.to_owned());
        }
    }

    /// OTLP has signed integers only; nothing here comes near the difference.
    fn number(&mut self, key: &'static str, value: impl Into<u64>) {
        let value = i64::try_from(value.into()).unwrap_or(i64::MAX);
        self.0.add_attribute(key, value);
    }
}

/// Makes records.
pub(crate) struct Records(SdkLogger);

impl Records {
    /// The SDK makes a record only from a logger; nothing is emitted through this one.
    pub(crate) fn new() -> Records {
        Records(SdkLoggerProvider::builder().build().logger("syva"))
    }

    /// The record of a denial.
    pub(crate) fn denial(
        &self,
        delivery: &Delivery,
        containers: &HashMap<CgroupId, Container>,
        clocks: Clocks,
    ) -> SdkLogRecord {
        let denial = &*delivery.denial;
        let (event_name, severity, text) = match denial.kernel.verdict {
            Verdict::Deny => ("syva.denial", Severity::Warn, "WARN"),
            Verdict::WouldDeny => ("syva.audit", Severity::Info, "INFO"),
            Verdict::Escape => ("syva.escape", Severity::Warn, "WARN"),
        };
        let mut record = self.0.create_log_record();
        record.set_event_name(event_name);
        record.set_timestamp(clocks.wall(denial.kernel.monotonic_ns));
        record.set_observed_timestamp(UNIX_EPOCH + clocks.now);
        record.set_severity_number(severity);
        record.set_severity_text(text);
        record.set_body(what_failed(denial).into());
        attributes(delivery, containers, &mut Attributes(&mut record));
        record
    }

    /// The record of a row that a map held though the journal does not say so.
    pub(crate) fn drift(&self, drift: &Drift, clocks: Clocks) -> SdkLogRecord {
        let mut record = self.0.create_log_record();
        record.set_event_name("syva.drift");
        record.set_timestamp(drift.time);
        record.set_observed_timestamp(UNIX_EPOCH + clocks.now);
        record.set_severity_number(Severity::Warn);
        record.set_severity_text("WARN");
        let (map, key) = (drift.map, &drift.key);
        let row = |row: &Option<String>| row.clone().unwrap_or_else(|| "no row".into());
        let (found, wanted) = (row(&drift.found), row(&drift.wanted));
        let body = format!("map {map} held {found} at {key}; the journal says {wanted}: repaired");
        record.set_body(body.into());
        let mut to = Attributes(&mut record);
        to.text("syva.map", map);
        to.text("syva.drift.key", key);
        to.text(
            "syva.drift.found",
            drift.found.as_deref().unwrap_or_default(),
        );
        to.text(
            "syva.drift.wanted",
            drift.wanted.as_deref().unwrap_or_default(),
        );
        to.number("syva.drift.rows", drift.rows);
        to.number("syva.seq", drift.seq);
        record
    }
}

fn attributes(
    delivery: &Delivery,
    containers: &HashMap<CgroupId, Container>,
    to: &mut Attributes<'_>,
) {
    let denial = &*delivery.denial;
    let kernel = &denial.kernel;
    to.text("syva.hook", kernel.hook.name());
    to.text(
        "syva.decision",
        match kernel.verdict {
            Verdict::Deny => "deny",
            Verdict::WouldDeny => "would_deny",
            Verdict::Escape => "escape",
        },
    );
    to.text("syva.zone", &denial.zone);
    to.number("syva.zone.id", kernel.subject.0);
    to.text("syva.target_zone", &denial.target);
    to.number("syva.target_zone.id", kernel.object.0);
    to.number("syva.policy.applied", kernel.applied);
    to.number("syva.policy.applying", kernel.applying);
    to.number("syva.cgroup.id", kernel.subject_cgroup.0);
    to.number("process.pid", kernel.pid);
    to.number("thread.id", kernel.tid);
    to.text("thread.name", &kernel.comm);
    match kernel.kind {
        ObjectKind::File => file(denial, to),
        ObjectKind::Task => {
            to.number("syva.target.pid", kernel.object_pid);
        }
        ObjectKind::Socket => {
            to.text("network.transport", "unix");
            to.text("network.peer.address", &denial.path);
        }
        ObjectKind::Node => {
            to.text("syva.target", &denial.path);
            if kernel.object_pid != 0 {
                to.number("syva.target.pid", kernel.object_pid);
            }
        }
        ObjectKind::Ipc => {
            to.text("syva.ipc", &denial.path);
        }
    }
    if matches!(kernel.hook, Hook::TaskKill | Hook::FileSendSigiotask) {
        to.number("syva.signal", kernel.signal);
    }
    if delivery.lost_before > 0 {
        to.number("syva.lost_before", delivery.lost_before);
    }
    if let Some(Container { id, pod }) = containers.get(&kernel.subject_cgroup) {
        to.text("container.id", id);
        to.text("k8s.namespace.name", &pod.namespace);
        to.text("k8s.pod.name", &pod.name);
        to.text("k8s.pod.uid", &pod.uid);
    }
}

fn file(denial: &Denial, to: &mut Attributes<'_>) {
    let kernel = &denial.kernel;
    // From two levels below its claim on, the event does not hold what lies between.
    let whole = kernel.claim.is_some() && kernel.depth < 2 && denial.path.starts_with('/');
    let key = if whole { "file.path" } else { "syva.path" };
    to.text(key, &denial.path);
    to.text("file.name", &kernel.name);
    to.text("file.inode", &kernel.inode.to_string());
}
