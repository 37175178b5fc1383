//! `doctor`: whether this host can enforce, and what to do if not. It needs no daemon: what the daemon
//! asks at its start is asked here too (`syva-host`), and the daemon itself is one more finding.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use syva_host::{Finding, Host, State};
use syva_rpc::v1::StatusResponse;

use super::{Session, status};
use crate::exit::Failure;

/// How long the daemon has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

const DAEMON: &str = "daemon";

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Where cgroup v2 is mounted
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/cgroup")]
    cgroup_root: PathBuf,
}

impl Doctor {
    /// Looks, and prints what was found.
    ///
    /// # Errors
    /// [`Failure::Unfit`] if something prevents enforcement; [`Failure::Output`].
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let mut findings = Host::of_this_process(&self.cgroup_root).examine();
        findings.push(daemon(session).await);
        let data = json!({ "findings": findings.iter().map(finding_json).collect::<Vec<_>>() });
        let problems: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.state == State::Problem)
            .map(|finding| finding.name)
            .collect();
        if problems.is_empty() {
            return session.out.answer(data, || {
                let mut lines = report(&findings);
                lines.push("this host can enforce".into());
                lines
            });
        }
        let problems = problems.join(", ");
        session.out.people(|| report(&findings))?;
        Err(Failure::Unfit { problems, data })
    }
}

async fn daemon(session: &Session<'_>) -> Finding {
    match tokio::time::timeout(PATIENCE, status::ask(session)).await {
        Ok(Ok(status)) => of_status(&status),
        Ok(Err(failure)) => Finding::warning(
            DAEMON,
            format!(
                "{failure}; whether this kernel takes the programs is known once it has started"
            ),
            "start syva-core, or name its socket with --socket",
        ),
        Err(_) => Finding::warning(
            DAEMON,
            format!("it does not answer within {PATIENCE:?}"),
            "see its log; `syva-core status` asks the kernel itself",
        ),
    }
}

fn of_status(status: &StatusResponse) -> Finding {
    let version = env!("CARGO_PKG_VERSION");
    let reasons = status.degraded_reasons.join("; ");
    let found = format!("syva-core {} is {}", status.version, status.health);
    match status.health.as_str() {
        "unsafe" => Finding::problem(
            DAEMON,
            format!("{found}, it cannot claim to enforce: {reasons}"),
            "do what the reasons say, or see its log",
        ),
        "healthy" if status.version == version => Finding::ok(DAEMON, found),
        "healthy" => Finding::warning(
            DAEMON,
            format!("{found}, but this command line is {version}"),
            "install both from one release",
        ),
        _ => Finding::warning(
            DAEMON,
            format!("{found}: {reasons}"),
            "see `syva-cli status`",
        ),
    }
}

fn report(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    for finding in findings {
        let (state, name) = (finding.state.name(), finding.name);
        lines.push(format!("{state:<8} {name:<13} {}", finding.found));
        if !finding.advice.is_empty() {
            lines.push(format!("{:<22} to do: {}", "", finding.advice));
        }
    }
    lines
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "name": finding.name,
        "state": finding.state.name(),
        "found": finding.found,
        "advice": finding.advice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(health: &str, version: &str) -> Finding {
        of_status(&StatusResponse {
            health: health.into(),
            version: version.into(),
            degraded_reasons: vec!["hook task_kill is not attached".into()],
            ..StatusResponse::default()
        })
    }

    #[test]
    fn a_daemon_is_judged_by_its_health_and_its_version() {
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(state("healthy", own).state, State::Ok);
        let other = state("healthy", "9.9.9");
        assert_eq!(other.state, State::Warning);
        assert!(other.found.contains("9.9.9") && other.found.contains(own));
        let degraded = state("degraded", own);
        assert_eq!(degraded.state, State::Warning);
        assert!(degraded.found.contains("task_kill"), "{degraded:?}");
        assert_eq!(state("unsafe", own).state, State::Problem);
    }

    #[test]
    fn a_finding_is_a_line_and_what_to_do_another() {
        let findings = [
            Finding::ok("btf", "there"),
            Finding::problem("cgroups", "hybrid", "boot otherwise"),
        ];
        assert_eq!(
            report(&findings),
            [
                "ok       btf           there",
                "problem  cgroups       hybrid",
                "                       to do: boot otherwise",
            ]
        );
    }
}
