//! OTLP: denials reach a collector, all of them are accounted for, and a collector that is away slows
//! nothing. The events are real kernel events as the ring buffer decodes to, through the ring reader
//! and the fan-out; it is the memory backend that hands them out, since no kernel denies here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::{Pair, ZoneId};
use syva_model::kernel::{KernelEvent, Verdict};
use syva_rpc::figures::Build;
use syva_rpc::otlp::Otlp;
use syva_rpc::otlp::accounts::{Accounts, Flow};
use syva_rpc::otlp::settings::Settings;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::collector::{Answer, Shelf, free_addr};
use crate::node::Node;

pub const BUILD: Build = Build {
    version: "1.2.3",
    git_sha: "abcdef",
};

/// Something that never comes; on a busy machine what comes may take long.
const DEADLINE: Duration = Duration::from_secs(120);

/// What leaves only the logs.
pub const LOGS_ONLY: [(&str, &str); 2] = [
    ("OTEL_METRICS_EXPORTER", "none"),
    ("OTEL_TRACES_EXPORTER", "none"),
];

/// Export to an endpoint that is not there yet or never.
pub fn otlp(endpoint: String, logs_only: bool) -> Otlp {
    otlp_with(endpoint, if logs_only { &LOGS_ONLY } else { &[] })
}

/// Export to an endpoint, with these variables.
pub fn otlp_with(endpoint: String, vars: &[(&str, &str)]) -> Otlp {
    let settings = Settings::read(Some(endpoint), |name| {
        let found = vars.iter().find(|(known, _)| *known == name);
        let value = found.map(|(_, value)| *value);
        let interval = (name == "OTEL_METRIC_EXPORT_INTERVAL").then_some("200");
        value.or(interval).map(str::to_owned)
    });
    let otlp = Otlp::new(settings.expect("settings"), BUILD);
    otlp.expect("usable").expect("an endpoint is set")
}

/// A node that exports.
pub struct Exporting {
    pub node: Node,
    pub accounts: Arc<Accounts>,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Exporting {
    pub async fn start(otlp: Otlp) -> Exporting {
        Exporting::start_after(otlp, async |_| {}).await
    }

    /// As a daemon starts: the engine runs first, and something happens there before export does.
    pub async fn start_after(mut otlp: Otlp, happen: impl AsyncFnOnce(&Node)) -> Exporting {
        let accounts = otlp.accounts();
        let node = Node::start_with(true, Some(Arc::clone(&accounts)), otlp.outlet()).await;
        happen(&node).await;
        let (stop, stopped) = watch::channel(false);
        let (engine, source) = (Arc::clone(&node.engine), Arc::clone(&node.source));
        let running = tokio::spawn(otlp.run(engine, source, stopped));
        Exporting {
            node,
            accounts,
            stop,
            running,
        }
    }

    /// Puts events into the ring, in bursts that the ring reader has room for.
    pub async fn emit(&self, count: u64) {
        const BURST: u64 = 10_000;
        for first in (0..count).step_by(BURST as usize) {
            let before = self.flow().handed_over + self.node.engine.events_dropped();
            let burst = BURST.min(count - first);
            for number in first..first + burst {
                self.node.memory.emit(event(&self.node, number));
            }
            self.until("a burst has come through", || {
                let now = self.flow().handed_over + self.node.engine.events_dropped();
                now == before + burst
            })
            .await;
        }
    }

    pub fn flow(&self) -> Flow {
        self.accounts.exported().records.expect("logs are exported")
    }

    pub async fn until(&self, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !so() {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.flow());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn stop(self) -> Flow {
        let accounts = self.accounts;
        self.stop.send_replace(true);
        self.running.await.expect("it ended well");
        accounts.exported().records.expect("logs are exported")
    }
}

/// An event of zone `web` against zone `db`, unlike any other by its inode.
pub fn event(node: &Node, number: u64) -> KernelEvent {
    KernelEvent {
        monotonic_ns: 5_000_000_000 + number,
        hook: Hook::FileOpen,
        operation: Operation::Use,
        verdict: Verdict::Deny,
        subject: ZoneId(1),
        subject_cgroup: node.cgroup(),
        kind: Hook::FileOpen.object_kind(),
        object: ZoneId(2),
        pid: 4242,
        tid: 4243,
        comm: "cat".into(),
        object_pid: 0,
        signal: 0,
        inode: 1_000_000 + number,
        claim: None,
        depth: 0,
        name: "key".into(),
        applied: 7,
        applying: 8,
    }
}

fn attribute(record: &LogRecord, key: &str) -> Option<String> {
    let found = record.attributes.iter().find(|known| known.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_says_who_what_and_under_which_policy() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
    let node = &exporting.node;
    node.zone("web").await;
    node.zone("db").await;
    node.attach("web", 1).await.expect("attached");
    node.memory.emit(event(node, 0));
    let kill = KernelEvent {
        hook: Hook::TaskKill,
        kind: Hook::TaskKill.object_kind(),
        verdict: Verdict::WouldDeny,
        object_pid: 99,
        signal: 9,
        inode: 0,
        ..event(node, 1)
    };
    node.memory.emit(kill);
    exporting.until("both arrive", || shelf.len() == 2).await;
    let records = shelf.records.lock().expect("whole").clone();
    let (denial, audit) = (&records[0], &records[1]);
    assert_eq!(denial.event_name, "syva.denial");
    assert_eq!(denial.severity_text, "WARN");
    let cgroup = node.cgroup().0.to_string();
    for (key, value) in [
        ("syva.hook", "file_open"),
        ("syva.decision", "deny"),
        ("syva.zone", "web"),
        ("syva.zone.id", "1"),
        ("syva.target_zone", "db"),
        ("syva.target_zone.id", "2"),
        ("syva.policy.applied", "7"),
        ("syva.policy.applying", "8"),
        ("syva.cgroup.id", cgroup.as_str()),
        ("process.pid", "4242"),
        ("thread.id", "4243"),
        ("thread.name", "cat"),
        ("file.inode", "1000000"),
        ("file.name", "key"),
        ("container.id", "c1"),
        ("k8s.pod.name", "web-0"),
    ] {
        assert_eq!(attribute(denial, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(audit.event_name, "syva.audit");
    assert_eq!(audit.severity_text, "INFO");
    assert_eq!(attribute(audit, "syva.signal").as_deref(), Some("9"));
    assert_eq!(attribute(audit, "syva.target.pid").as_deref(), Some("99"));
    assert_eq!(attribute(audit, "file.inode"), None);
    let apart = audit.time_unix_nano - denial.time_unix_nano;
    assert!(
        apart < 1_000,
        "the kernel's times are a nanosecond apart: {apart}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_told_by_map_key_and_what_was_found_and_a_comparison_that_agrees_tells_nothing() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
    let node = &exporting.node;
    node.zone("web").await;
    node.zone("db").await;
    node.engine.reconcile().await.expect("agrees");
    node.memory.tamper(|image| {
        let row = image.zones.get_mut(&ZoneId(1)).expect("web");
        row.privileged = true;
        image.pairs.insert(Pair::new(ZoneId(1), ZoneId(2)));
    });
    let report = node.engine.reconcile().await.expect("repaired");
    assert_eq!(report.repaired(), 2);
    exporting.until("both arrive", || shelf.len() == 2).await;
    let records = shelf.records.lock().expect("whole").clone();
    let told = |record: &LogRecord, keys: [&str; 5]| keys.map(|key| attribute(record, key));
    let keys = [
        "syva.map",
        "syva.drift.key",
        "syva.drift.found",
        "syva.drift.wanted",
        "syva.drift.rows",
    ];
    let row = |privileged| format!("privileged={privileged} audit=false allow_ptrace=false");
    let (found, wanted) = (row(true), row(false));
    let some = |text: &str| Some(text.to_owned());
    let zones = [
        some("zones"),
        some("1"),
        some(&found),
        some(&wanted),
        some("2"),
    ];
    let pairs = [some("pairs"), some("1 2"), some("open"), None, some("2")];
    assert_eq!(told(&records[0], keys), zones);
    assert_eq!(told(&records[1], keys), pairs);
    for record in &records {
        assert_eq!(record.event_name, "syva.drift");
        assert_eq!(record.severity_text, "WARN");
        assert_eq!(attribute(record, "syva.seq").as_deref(), Some("3"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_collector_commands_and_events_go_on_until_it_comes() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
    let mut watching = exporting.node.engine.subscribe(true).await.expect("there");
    exporting.emit(1_000).await;
    let started = Instant::now();
    exporting.node.zone("web").await;
    exporting.node.zone("db").await;
    exporting.node.attach("web", 1).await.expect("attached");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "commands took {took:?}");
    let seen = watching.recv().await.expect("other subscribers get events");
    assert_eq!(seen.denial.kernel.pid, 4242);
    exporting
        .until("it is told", || {
            exporting.accounts.exported().up == [("logs", false)]
        })
        .await;
    let text = exporting.node.metrics().await;
    for line in [
        "syva_otlp_collector_up{signal=\"logs\"} 0",
        "syva_otlp_queued_records 1000",
        "syva_otlp_records_total{result=\"handed_over\"} 1000",
        "syva_otlp_records_total{result=\"confirmed\"} 0",
        "syva_health_state{state=\"healthy\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    shelf.open(addr).await;
    exporting.until("all arrive", || shelf.len() == 1_000).await;
    let text = exporting.node.metrics().await;
    assert!(
        text.contains("syva_otlp_collector_up{signal=\"logs\"} 1"),
        "{text}"
    );
    assert!(text.contains("syva_otlp_queued_records 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_queue_or_is_refused_is_counted_to_the_last() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
    exporting.emit(80_000).await;
    let lost = exporting.node.engine.events_dropped();
    let flow = exporting.flow();
    assert_eq!(flow.handed_over + lost, 80_000);
    assert!(flow.dropped > 0, "65,536 fit the queue: {flow:?}");
    shelf.answers(Answer::Refuse(1));
    shelf.open(addr).await;
    exporting
        .until("nothing is under way", || exporting.flow().under_way() == 0)
        .await;
    let flow = exporting.stop().await;
    assert_eq!(flow.confirmed, shelf.len());
    assert_eq!(flow.confirmed + flow.dropped + lost, 80_000);
}

/// More than a new subscriber is told of what was before it.
const DENIED: u64 = 5_000;

/// Denied on a node that does not export yet, and given to everyone.
async fn denied(node: &Node) {
    for number in 0..DENIED {
        node.memory.emit(event(node, number));
    }
    let deadline = Instant::now() + DEADLINE;
    while last_denied(node).await != Some(event(node, DENIED - 1)) {
        assert!(Instant::now() < deadline, "the ring is not read");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(node.engine.events_dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_before_export_began_is_exported() {
    let (shelf, addr) = (Shelf::default(), free_addr().await);
    shelf.open(addr).await;
    let otlp = otlp(format!("http://{addr}"), true);
    let exporting = Exporting::start_after(otlp, async |node| {
        node.zone("web").await;
        node.memory.tamper(|image| {
            let row = image.zones.get_mut(&ZoneId(1)).expect("web");
            row.privileged = true;
        });
        assert_eq!(node.engine.reconcile().await.expect("done").repaired(), 1);
        denied(node).await;
    });
    let exporting = exporting.await;
    exporting
        .until("all of it arrives", || shelf.len() == DENIED + 1)
        .await;
    let records = shelf.records.lock().expect("whole").clone();
    let drift = records.iter().filter(|it| it.event_name == "syva.drift");
    assert_eq!(drift.count(), 1);
    let flow = exporting.stop().await;
    let told = (flow.handed_over, flow.confirmed, flow.dropped);
    assert_eq!(told, (DENIED + 1, DENIED + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_been_taken_over_at_the_end_is_counted() {
    let addr = free_addr().await;
    let otlp = otlp(format!("http://{addr}"), true);
    let exporting = Exporting::start_after(otlp, denied).await;
    let flow = exporting.stop().await;
    let told = (flow.handed_over, flow.confirmed, flow.dropped);
    assert_eq!(told, (DENIED, 0, DENIED));
}

/// The last event that the fan-out has given to everyone.
async fn last_denied(node: &Node) -> Option<KernelEvent> {
    let mut recent = node.engine.subscribe(false).await.expect("there");
    let mut last = None;
    while let Some(delivery) = recent.recv().await {
        last = Some(delivery.denial.kernel.clone());
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_at_the_end_is_counted_as_dropped() {
    let addr = free_addr().await;
    let exporting = Exporting::start(otlp(format!("http://{addr}"), true)).await;
    exporting.emit(100).await;
    let flow = exporting.stop().await;
    assert_eq!(
        (flow.handed_over, flow.confirmed, flow.dropped),
        (100, 0, 100)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_cannot_be_used_is_told_at_the_start() {
    for bad in ["collector:4317", "ftp://collector:4317", "http://"] {
        let settings = Settings::read(Some(bad.into()), |_| None).expect("settings");
        let error = Otlp::new(settings, BUILD).err().expect(bad).to_string();
        assert!(error.contains("http://HOST:PORT"), "{error}");
    }
}
