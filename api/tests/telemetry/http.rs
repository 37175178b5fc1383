//! `/healthz` and `/metrics`, over real HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use syva_actors::memory::Fault;
use syva_model::image::Table;
use syva_rpc::figures::catalog;
use syva_rpc::http;

use crate::node::Node;

/// The names and labels that other people's dashboards rest on: never renamed.
const PROMISED: &[(&str, &[&str])] = &[
    ("syva_core_up", &[]),
    ("syva_core_start_time_seconds", &[]),
    ("syva_core_build_info", &["version", "git_sha"]),
    ("syva_ebpf_object_loaded", &[]),
    ("syva_ebpf_expected_hooks", &[]),
    ("syva_ebpf_attached_hooks", &[]),
    ("syva_ebpf_hook_attached", &["hook"]),
    ("syva_selftest_passed", &["test"]),
    ("syva_health_state", &["state"]),
    ("syva_health_degraded_reasons", &["reason"]),
    ("syva_hook_decisions_total", &["hook", "decision"]),
    ("syva_bpf_map_errors_total", &["operation", "map"]),
    ("syva_bpf_counter_read_errors_total", &[]),
    ("syva_memberships_active", &[]),
    ("syva_membership_updates_total", &["result"]),
    ("syva_membership_generation_stale_total", &[]),
    ("syva_membership_conflicts_total", &[]),
    ("syva_zone_deny_total", &["zone", "hook"]),
    ("syva_watch_events_dropped_total", &[]),
    ("syva_enforcement_mode", &["mode"]),
];

fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promised_metric_is_there_with_its_labels() {
    let node = Node::start(false).await;
    node.zone("web").await;
    let text = node.metrics().await;
    let there = names(&text);
    for (name, labels) in PROMISED {
        assert!(there.contains(name), "{name} is missing:\n{text}");
        let known = catalog::ALL.iter().find(|metric| metric.name == *name);
        assert_eq!(known.expect("catalogued").labels, *labels, "{name}");
        let line = text.lines().find(|line| line.starts_with(name));
        for label in *labels {
            let line = line.expect("a sample");
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let openmetrics = node.get("/metrics", "application/openmetrics-text").await;
    assert!(openmetrics.1.ends_with("# EOF\n"), "{openmetrics:?}");
    assert_eq!(node.get("/", "*/*").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_claim_enforcement_is_unsafe_and_answers_503() {
    let (status, body) = Node::start(false).await.healthz().await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(body["state"], "unsafe");
    assert_eq!(body["status"], "unsafe");
    assert_eq!(body["ebpf_loaded"], false);
    assert_eq!(body["attached"], false);
    assert_eq!(body["attached_hooks"], 0);
    let reasons = body["degraded_reasons"].to_string();
    assert!(reasons.contains("enforces nothing"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_hooks_are_attached_is_healthy_and_answers_200() {
    let node = Node::start(true).await;
    node.zone("web").await;
    node.attach("web", 1).await.expect("attached");
    let (status, body) = node.healthz().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["state"], "healthy");
    assert_eq!(body["expected_hooks"], body["attached_hooks"]);
    assert_eq!(body["selftests"]["cgroup"], "passed");
    assert_eq!(body["selftests"]["unix"], "pending");
    assert_eq!(body["zones_loaded"], 1);
    assert_eq!(body["containers_active"], 1);
    assert_eq!(body["last_counter_read_ok"], true);
    assert_eq!(
        body["last_counter_read_success_timestamp_seconds"],
        1_700_000_000.0
    );
    assert!(body["uptime_secs"].is_u64(), "{body}");
    let text = node.metrics().await;
    for line in [
        "syva_health_state{state=\"healthy\"} 1",
        "syva_health_state{state=\"unsafe\"} 0",
        "syva_core_build_info{version=\"1.2.3\",git_sha=\"abcdef\"} 1",
        "syva_hook_decisions_total{hook=\"file_open\",decision=\"would_deny\"} 3",
        "syva_zone_deny_total{zone=\"web\",hook=\"file_open\"} 4",
        "syva_zone_quota_used{zone=\"web\",share=\"cgroups\"} 6",
        "syva_zone_quota_limit{share=\"cgroups\"} 8",
        "syva_zone_quota_refused_total{zone=\"web\",share=\"cgroups\"} 7",
        "syva_bpf_helper_errors_total{site=\"read_path\"} 2",
        "syva_enforcement_mode{mode=\"enforce\"} 1",
        "syva_memberships_active 1",
        "syva_selftest_passed{test=\"unix\"} 0",
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "{line} is not in\n{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_are_counted_by_what_became_of_them() {
    let node = Node::start(true).await;
    node.zone("web").await;
    node.zone("db").await;
    node.attach("web", 5).await.expect("attached");
    node.attach("web", 5).await.expect("unchanged");
    node.attach("web", 4).await.expect_err("stale");
    node.attach("db", 5).await.expect_err("a conflict");
    node.attach("nowhere", 6).await.expect_err("refused");
    let text = node.metrics().await;
    for line in [
        "syva_membership_updates_total{result=\"applied\"} 1",
        "syva_membership_updates_total{result=\"unchanged\"} 1",
        "syva_membership_updates_total{result=\"stale\"} 1",
        "syva_membership_updates_total{result=\"conflict\"} 1",
        "syva_membership_updates_total{result=\"refused\"} 1",
        "syva_membership_updates_total{result=\"failed\"} 0",
        "syva_membership_generation_stale_total 1",
        "syva_membership_conflicts_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_that_cannot_be_read_are_absent_and_counted() {
    let node = Node::start(true).await;
    node.metrics().await;
    node.blind.store(true, Ordering::Relaxed);
    let text = node.metrics().await;
    assert!(
        text.contains("syva_bpf_counter_read_errors_total 1"),
        "{text}"
    );
    assert!(text.contains("syva_bpf_last_read_ok 0"), "{text}");
    assert!(!text.contains("syva_hook_decisions_total{"), "{text}");
    let (status, body) = node.healthz().await;
    assert_eq!(
        (status, &body["last_counter_read_ok"]),
        (200, &false.into())
    );
    let last = &body["last_counter_read_success_timestamp_seconds"];
    assert_eq!(last, 1_700_000_000.0, "when it last worked is still known");
    node.blind.store(false, Ordering::Relaxed);
    let text = node.metrics().await;
    assert!(text.contains("syva_hook_decisions_total{"), "{text}");
    assert!(
        text.contains("syva_bpf_counter_read_errors_total 2"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_that_refuse_are_counted_and_the_node_is_degraded_until_they_take_it() {
    let node = Node::start(true).await;
    node.memory.set_fault(Some(Fault::Refuse(Table::Zones, 28)));
    let request = syva_actors::Request::RegisterZone {
        zone: "web".into(),
        policy: None,
    };
    node.run(request).await.expect_err("the map refuses");
    let text = node.metrics().await;
    // The reconciler may have tried again by now.
    let errors = samples(&text)["syva_bpf_map_errors_total{operation=\"write\",map=\"zones\"}"];
    assert!(errors >= 1.0, "{text}");
    assert!(
        text.contains("{reason=\"maps_behind_journal\"} 1"),
        "{text}"
    );
    let (status, body) = node.healthz().await;
    assert_eq!((status, &body["state"]), (200, &"degraded".into()));
    node.memory.set_fault(None);
    node.engine.reconcile().await.expect("repaired");
    assert_eq!(node.healthz().await.1["state"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_while_an_actor_is_restarted_answers_and_makes_nothing_up() {
    let node = Node::start(true).await;
    node.zone("web").await;
    node.memory.set_fault(Some(Fault::PanicOnce(Table::Zones)));
    let request = syva_actors::Request::RegisterZone {
        zone: "db".into(),
        policy: None,
    };
    let (outcome, ()) = tokio::join!(node.run(request), async {
        for _ in 0..5 {
            let text = node.metrics().await;
            if let Some(line) = text.lines().find(|l| l.starts_with("syva_zones ")) {
                assert!(["syva_zones 1", "syva_zones 2"].contains(&line), "{line}");
            }
            let (_, body) = node.healthz().await;
            let zones = &body["zones_loaded"];
            assert!(zones.is_null() || *zones == 1 || *zones == 2, "{body}");
        }
    });
    outcome.expect_err("its map actor panicked");
    node.engine.reconcile().await.expect("repaired");
    let text = node.metrics().await;
    assert!(text.contains("syva_zones 2"), "{text}");
    assert!(text.contains("syva_actor_restarts_total 1"), "{text}");
}

/// Every sample of an answer; it must parse to the last line.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').expect(line);
        (series.to_owned(), value.parse().expect(line))
    });
    parsed.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn scrapes_in_a_tight_loop_over_restarts_and_rebuilds_answer_and_no_counter_goes_back() {
    let node = Node::start(true).await;
    let (mut scrapes, mut restarted) = (0, 0);
    let over = AtomicBool::new(false);
    let scraping = async {
        let mut before: BTreeMap<String, f64> = BTreeMap::new();
        while !over.load(Ordering::Relaxed) {
            let (status, body) = node.get_now("/metrics", "text/plain").await;
            assert_eq!(status, 200, "{body}");
            let now = samples(&body);
            let counters = now.iter().filter(|(series, _)| series.contains("_total"));
            for (series, value) in counters {
                let last = before.get(series).copied().unwrap_or(0.0);
                assert!(*value >= last, "{series} went from {last} to {value}");
            }
            for series in ["syva_zones", "syva_journal_seq", "syva_applied_seq"] {
                if let Some(value) = now.get(series) {
                    let last = before.get(series).copied().unwrap_or(0.0);
                    assert!(*value >= last, "{series} went from {last} to {value}");
                }
            }
            before.extend(now);
            scrapes += 1;
        }
    };
    let breaking = async {
        // Each failure doubles the pause before the map actor is started again.
        for round in 0..6 {
            node.zone(&format!("zone-of-{round}")).await;
            node.memory.set_fault(Some(Fault::PanicOnce(Table::Zones)));
            let request = syva_actors::Request::RegisterZone {
                zone: format!("other-{round}"),
                policy: None,
            };
            node.run(request).await.expect_err("its map actor panics");
            node.memory.tamper(|image| image.zones.clear());
            while node.engine.reconcile().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            restarted += 1;
        }
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(scraping, breaking);
    let now = samples(&node.metrics().await);
    assert_eq!(now["syva_zones"], 12.0, "what is told last is so");
    assert_eq!(now["syva_actor_restarts_total"], f64::from(restarted));
    assert!(
        scrapes > restarted,
        "{scrapes} scrapes, {restarted} restarts"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_with_what_to_do() {
    let node = Node::start(false).await;
    let error = http::bind(node.addr).await.expect_err("taken").to_string();
    assert!(error.contains(&node.addr.to_string()), "{error}");
    assert!(error.contains("choose another --http-addr"), "{error}");
}
