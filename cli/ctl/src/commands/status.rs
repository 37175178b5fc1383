//! `status`: how the daemon is, so that someone new to it understands.

use std::time::Duration;

use serde_json::{Value, json};
use syva_rpc::v1::{HookStatus, StatusRequest, StatusResponse};

use super::Session;
use crate::exit::Failure;
use crate::output::{or_dash, table};

/// Asks, and prints the answer.
///
/// # Errors
/// [`Failure`] of any kind.
pub async fn run(session: &Session<'_>) -> Result<(), Failure> {
    show(session, &ask(session).await?)
}

/// Asks.
///
/// # Errors
/// [`Failure`] of any kind.
pub async fn ask(session: &Session<'_>) -> Result<StatusResponse, Failure> {
    let status = session.client().await?.status(StatusRequest {}).await?;
    Ok(status.into_inner())
}

/// Prints an answer.
///
/// # Errors
/// [`Failure::Output`].
pub fn show(session: &Session<'_>, status: &StatusResponse) -> Result<(), Failure> {
    session
        .out
        .answer(status_json(status), || status_text(status))
}

fn status_text(status: &StatusResponse) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |label: &str, value: String| lines.push(format!("{label:<12}{value}"));
    line("health", health(status));
    for reason in &status.degraded_reasons {
        line("", format!("- {reason}"));
    }
    line("mode", mode(status));
    line("backend", backend(status));
    line("kernel", or_dash(&status.kernel_release));
    let uptime = humantime::format_duration(Duration::from_secs(status.uptime_secs));
    line(
        "daemon",
        format!("syva-core {}, up {uptime}", or_dash(&status.version)),
    );
    line(
        "zones",
        format!("{} of at most {}", status.zones_active, status.max_zones),
    );
    line("containers", status.containers_active.to_string());
    line("journal", journal(status));
    line("self-tests", self_tests(status));
    for (what, count) in [
        (
            "denials whose zone pair did not fit the kernel's table",
            status.denials_overflow,
        ),
        (
            "processes moved out of their zone by the host",
            status.escapes,
        ),
        ("events lost by slow subscribers", status.events_dropped),
        (
            "differences between journal and kernel repaired",
            status.drift_repaired,
        ),
    ] {
        if count > 0 {
            line("counted", format!("{count} {what}"));
        }
    }
    for (site, count) in sorted_errors(status) {
        line("counted", format!("{count} failed kernel reads at {site}"));
    }
    lines.push(String::new());
    lines.extend(hooks_text(&status.hooks));
    section(
        &mut lines,
        "not enforced, though configured:",
        &status.not_enforced,
    );
    section(&mut lines, "missing on this kernel:", &status.missing);
    lines
}

fn section(lines: &mut Vec<String>, title: &str, items: &[String]) {
    if !items.is_empty() {
        lines.extend([String::new(), title.to_owned()]);
        lines.extend(items.iter().map(|item| format!("- {item}")));
    }
}

fn health(status: &StatusResponse) -> String {
    match status.health.as_str() {
        "healthy" => "healthy: every hook is attached and every self-test passed".into(),
        "degraded" => "degraded: it runs, with less confidence".into(),
        "unsafe" => "unsafe: it cannot claim to enforce anything".into(),
        other => or_dash(other),
    }
}

fn mode(status: &StatusResponse) -> String {
    let (said, other) = match status.mode.as_str() {
        "enforce" => ("enforce: operations across zones are refused", "audit"),
        "audit" => (
            "audit: operations across zones are allowed, and reported as would_deny",
            "enforce",
        ),
        unknown => return or_dash(unknown),
    };
    match &status.zones_of_other_mode[..] {
        [] => said.to_owned(),
        zones => format!("{said}; but {other} in {}", zones.join(", ")),
    }
}

fn backend(status: &StatusResponse) -> String {
    let backend = or_dash(&status.backend);
    if status.attached {
        format!("{backend}, attached to every hook")
    } else {
        format!("{backend}, not attached to every hook")
    }
}

fn journal(status: &StatusResponse) -> String {
    let (last, applied) = (status.journal_seq, status.applied_seq);
    match last.saturating_sub(applied) {
        0 => format!("{last} entries, all in force"),
        waiting => format!("{last} entries, in force up to {applied} ({waiting} not yet)"),
    }
}

fn self_tests(status: &StatusResponse) -> String {
    let tests = status.self_tests.iter().map(|test| {
        let detail = if test.detail.is_empty() {
            String::new()
        } else {
            format!(" ({})", test.detail)
        };
        format!("{} {}{detail}", test.name, test.state)
    });
    or_dash(&tests.collect::<Vec<_>>().join(", "))
}

/// The hooks and what each has counted, as lines.
pub fn hooks_text(hooks: &[HookStatus]) -> Vec<String> {
    let rows = hooks.iter().map(|hook| {
        let attached = match (hook.attached, hook.problem.as_str()) {
            (true, _) => "yes".to_owned(),
            (false, "") => "no".to_owned(),
            (false, problem) => format!("no: {problem}"),
        };
        [
            hook.hook.clone(),
            hook.allow.to_string(),
            hook.deny.to_string(),
            hook.would_deny.to_string(),
            hook.error.to_string(),
            hook.lost.to_string(),
            attached,
        ]
    });
    table(
        [
            "HOOK",
            "ALLOW",
            "DENY",
            "WOULD DENY",
            "ERROR",
            "LOST",
            "ATTACHED",
        ],
        rows.collect(),
        "no hooks",
    )
}

fn sorted_errors(status: &StatusResponse) -> Vec<(&str, u64)> {
    let mut errors: Vec<_> = status
        .kernel_errors
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(site, count)| (site.as_str(), *count))
        .collect();
    errors.sort_unstable();
    errors
}

/// The hooks and what each has counted, as JSON.
pub fn hooks_json(hooks: &[HookStatus]) -> Vec<Value> {
    let json = |hook: &HookStatus| {
        json!({
            "hook": hook.hook,
            "attached": hook.attached,
            "problem": hook.problem,
            "allow": hook.allow,
            "deny": hook.deny,
            "would_deny": hook.would_deny,
            "error": hook.error,
            "lost": hook.lost,
        })
    };
    hooks.iter().map(json).collect()
}

fn status_json(status: &StatusResponse) -> Value {
    json!({
        "health": status.health,
        "degraded_reasons": status.degraded_reasons,
        "mode": status.mode,
        "zones_of_other_mode": status.zones_of_other_mode,
        "backend": status.backend,
        "attached": status.attached,
        "kernel_release": status.kernel_release,
        "version": status.version,
        "uptime_secs": status.uptime_secs,
        "zones_active": status.zones_active,
        "max_zones": status.max_zones,
        "containers_active": status.containers_active,
        "journal_seq": status.journal_seq,
        "applied_seq": status.applied_seq,
        "denials_overflow": status.denials_overflow,
        "escapes": status.escapes,
        "events_dropped": status.events_dropped,
        "drift_repaired": status.drift_repaired,
        "kernel_errors": status.kernel_errors,
        "not_enforced": status.not_enforced,
        "missing": status.missing,
        "self_tests": status.self_tests.iter().map(|test| json!({
            "name": test.name,
            "state": test.state,
            "detail": test.detail,
        })).collect::<Vec<_>>(),
        "hooks": hooks_json(&status.hooks),
    })
}

#[cfg(test)]
mod tests {
    use syva_rpc::v1::SelfTest;

    use super::*;

    #[test]
    fn a_degraded_daemon_says_why_and_what_it_does_not_enforce() {
        let status = StatusResponse {
            health: "degraded".into(),
            degraded_reasons: vec!["hook task_kill is not attached".into()],
            mode: "audit".into(),
            zones_of_other_mode: vec!["db".into(), "web".into()],
            backend: "libbpf".into(),
            kernel_release: "6.12.0".into(),
            journal_seq: 9,
            applied_seq: 7,
            zones_active: 2,
            max_zones: 10_000,
            uptime_secs: 3_700,
            version: "0.1.0".into(),
            self_tests: vec![SelfTest {
                name: "cgroup".into(),
                state: "failed".into(),
                detail: "ids differ".into(),
            }],
            hooks: vec![HookStatus {
                hook: "task_kill".into(),
                deny: 3,
                problem: "EBUSY".into(),
                ..HookStatus::default()
            }],
            not_enforced: vec!["network mode of web".into()],
            kernel_errors: [("dentry".to_owned(), 2), ("task".to_owned(), 0)].into(),
            ..StatusResponse::default()
        };
        let text = status_text(&status).join("\n");
        for said in [
            "health      degraded: it runs, with less confidence",
            "- hook task_kill is not attached",
            "mode        audit: operations across zones are allowed, and reported as would_deny; but enforce in db, web",
            "backend     libbpf, not attached to every hook",
            "kernel      6.12.0",
            "daemon      syva-core 0.1.0, up 1h 1m 40s",
            "zones       2 of at most 10000",
            "journal     9 entries, in force up to 7 (2 not yet)",
            "self-tests  cgroup failed (ids differ)",
            "counted     2 failed kernel reads at dentry",
            "task_kill  0      3     0           0      0     no: EBUSY",
            "not enforced, though configured:\n- network mode of web",
        ] {
            assert!(text.contains(said), "{said:?} in\n{text}");
        }
        assert!(!text.contains("missing on this kernel"), "{text}");
        assert!(!text.contains("at task"), "{text}");
    }
}
