//! `/healthz`: the node's health as JSON; 503 while it cannot claim enforcement.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use syva_actors::health::Grade;
use syva_model::hook::Hook;

use crate::figures::{Figures, SELF_TESTS};

/// The answer. A number that cannot be learned just now is `null`.
pub fn answer(figures: &Figures) -> (StatusCode, Value) {
    let health = &figures.health;
    let grade = health.grade();
    let status = match grade {
        Grade::Healthy | Grade::Degraded => StatusCode::OK,
        Grade::Unsafe => StatusCode::SERVICE_UNAVAILABLE,
    };
    let self_tests: Map<String, Value> = SELF_TESTS
        .iter()
        .map(|name| ((*name).to_owned(), figures.self_test(name).into()))
        .collect();
    let known = figures.known.as_ref();
    let body = json!({
        "state": grade.name(),
        "status": grade.name(),
        "ebpf_loaded": health.loaded.as_ref().is_some_and(|loaded| loaded.enforcing),
        "expected_hooks": Hook::ALL.len(),
        "attached_hooks": figures.attached_hooks(),
        "attached": health.attached(),
        "selftests": self_tests,
        "zones_loaded": known.map(|known| known.zones),
        "containers_active": known.map(|known| known.containers),
        "uptime_secs": figures.uptime.as_secs(),
        "degraded_reasons": health.words(),
        "last_counter_read_ok": figures.counts.last_counter_read == Some(true),
        "last_counter_read_success_timestamp_seconds": figures.last_counter_success(),
    });
    (status, body)
}
