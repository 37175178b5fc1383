//! `doctor`: its verdict, with and without a daemon.

use std::path::Path;

use serde_json::Value;
use syva_rpc::v1::StatusResponse;

use crate::run;
use crate::scripted::{Script, start};

fn of_daemon(json: &Value) -> (String, String) {
    let findings = json["findings"].as_array().expect("a list");
    let daemon = findings.iter().find(|finding| finding["name"] == "daemon");
    let daemon = daemon.expect("is looked at");
    let text = |field: &str| daemon[field].as_str().expect("text").to_owned();
    (text("state"), text("found"))
}

fn status(health: &str) -> Script {
    Script::replying(StatusResponse {
        health: health.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        degraded_reasons: vec!["because".into()],
        ..StatusResponse::default()
    })
}

#[test]
fn the_verdict_is_the_exit_code_and_every_problem_is_named() {
    // Whatever this machine lacks: verdict, list and text must agree.
    let none = Path::new("/none");
    let json = run(none, "doctor --format json");
    let text = run(none, "doctor");
    let said = json.json();
    let findings = said["findings"].as_array().expect("a list");
    assert!(findings.len() > 10, "{said}");
    let problems: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["state"] == "problem")
        .map(|finding| finding["name"].as_str().expect("text"))
        .collect();
    let expected = i32::from(!problems.is_empty());
    assert_eq!((json.exit, text.exit), (expected, expected), "{said}");
    assert_eq!(said["ok"], problems.is_empty());
    assert_eq!(said["operation"], "doctor");
    for finding in findings {
        let words = finding["found"].as_str().expect("text");
        assert!(
            text.out.contains(words) || finding["name"] == "boot",
            "{words}"
        );
        let well = finding["state"] == "ok";
        assert_eq!(finding["advice"] == "", well, "{finding}");
    }
    for problem in problems {
        assert!(text.err.contains(problem), "{}", text.err);
    }
}

#[test]
fn the_daemon_is_one_more_finding() {
    let away = run(Path::new("/none"), "doctor --format json").json();
    let (state, found) = of_daemon(&away);
    assert_eq!(state, "warning", "{found}");
    assert!(found.contains("cannot reach the daemon"), "{found}");
    for (health, expected) in [
        ("healthy", "ok"),
        ("degraded", "warning"),
        ("unsafe", "problem"),
    ] {
        let daemon = start(status(health));
        let said = run(&daemon.socket, "doctor --format json");
        let (state, found) = of_daemon(&said.json());
        assert_eq!(state, expected, "{found}");
        if health == "unsafe" {
            assert_eq!(said.exit, 1);
            assert!(found.contains("because"), "{found}");
        }
    }
}

#[test]
fn a_cgroup_root_that_is_none_is_a_problem() {
    let said = run(
        Path::new("/none"),
        "doctor --cgroup-root /none --format json",
    );
    assert_eq!(said.exit, 1);
    let problems = said.json()["reason"].to_string();
    assert!(problems.contains("cgroups"), "{problems}");
}
