//! Records: a denial as an OTLP log record. `docs/telemetry.md` has every attribute.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use rustix::time::{ClockId, clock_gettime};
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

    fn wall(self, monotonic_ns: u64) -> Duration {
        let ago = self
            .monotonic
            .saturating_sub(Duration::from_nanos(monotonic_ns));
        self.now.saturating_sub(ago)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, Value::StringValue(value.to_owned()));
        }
    }

    /// OTLP has signed integers only; nothing here comes near the difference.
    fn number(&mut self, key: &str, value: impl Into<u64>) {
        let value = i64::try_from(value.into()).unwrap_or(i64::MAX);
        self.put(key, Value::IntValue(value));
    }
}

/// The record of a denial.
pub(crate) fn record(
    delivery: &Delivery,
    containers: &HashMap<CgroupId, Container>,
    clocks: Clocks,
) -> LogRecord {
    let denial = &*delivery.denial;
    let (event_name, severity, text) = match denial.kernel.verdict {
        Verdict::Deny => ("syva.denial", SeverityNumber::Warn, "WARN"),
        Verdict::WouldDeny => ("syva.audit", SeverityNumber::Info, "INFO"),
    };
    LogRecord {
        time_unix_nano: nanos(clocks.wall(denial.kernel.monotonic_ns)),
        observed_time_unix_nano: nanos(clocks.now),
        severity_number: severity.into(),
        severity_text: text.to_owned(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(what_failed(denial))),
        }),
        attributes: attributes(delivery, containers),
        event_name: event_name.to_owned(),
        ..LogRecord::default()
    }
}

fn attributes(delivery: &Delivery, containers: &HashMap<CgroupId, Container>) -> Vec<KeyValue> {
    let denial = &*delivery.denial;
    let kernel = &denial.kernel;
    let mut to = Attributes(Vec::with_capacity(24));
    to.text("syva.hook", kernel.hook.name());
    to.text(
        "syva.decision",
        match kernel.verdict {
            Verdict::Deny => "deny",
            Verdict::WouldDeny => "would_deny",
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
    match kernel.hook.object_kind() {
        ObjectKind::File => file(denial, &mut to),
        ObjectKind::Task => {
            to.number("syva.target.pid", kernel.object_pid);
        }
        ObjectKind::Socket => {
            to.text("network.transport", "unix");
            to.text("network.peer.address", &denial.path);
        }
    }
    if kernel.hook == Hook::TaskKill {
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
    to.0
}

fn file(denial: &Denial, to: &mut Attributes) {
    let kernel = &denial.kernel;
    // From two levels below its claim on, the event does not hold what lies between.
    let whole = kernel.claim.is_some() && kernel.depth < 2 && denial.path.starts_with('/');
    let key = if whole { "file.path" } else { "syva.path" };
    to.text(key, &denial.path);
    to.text("file.name", &kernel.name);
    to.text("file.inode", &kernel.inode.to_string());
}
