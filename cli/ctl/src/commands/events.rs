//! `events`: denials, one a line.

use clap::Args;
use serde_json::{Value, json};
use syva_rpc::v1::{DenyEvent, WatchEventsRequest};

use super::Session;
use crate::exit::Failure;

/// `events`.
#[derive(Clone, Debug, Args)]
pub struct Events {
    /// Go on with the events to come, until interrupted
    #[arg(long)]
    follow: bool,
}

impl Events {
    /// Asks, and prints what comes.
    ///
    /// # Errors
    /// [`Failure::StreamEnded`] if a followed stream ends; else any.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = WatchEventsRequest {
            follow: self.follow,
        };
        let reply = session.client().await?.watch_events(request).await?;
        let mut events = reply.into_inner();
        while let Some(event) = events.message().await? {
            if event.lost_before > 0 {
                session.out.note(&format!(
                    "{} events were lost here: this reader was too slow",
                    event.lost_before
                ));
            }
            session
                .out
                .item(|| event_json(&event), || event_line(&event))?;
        }
        if self.follow {
            Err(Failure::StreamEnded)
        } else {
            Ok(())
        }
    }
}

fn event_line(event: &DenyEvent) -> String {
    let seconds = event.timestamp_ns / 1_000_000_000;
    let micros = event.timestamp_ns / 1_000 % 1_000_000;
    let policy = match (event.applied_seq, event.applying_seq) {
        (applied, applying) if applied == applying => format!("(policy {applied})"),
        (applied, applying) => format!("(policy {applied}→{applying})"),
    };
    format!(
        "{seconds:>6}.{micros:06}  {:<10} {}  {} {}[{}] → {}{}  {policy}",
        event.decision,
        event.hook,
        event.zone,
        event.comm,
        event.pid,
        event.target_zone,
        object(event),
    )
}

/// What the event was about, as far as it says.
fn object(event: &DenyEvent) -> String {
    let mut said = String::new();
    let mut say = |what: &str| {
        if !what.is_empty() {
            said.push(' ');
            said.push_str(what);
        }
    };
    say(&event.path);
    if event.target_pid != 0 {
        say(&format!("pid {}", event.target_pid));
    }
    if event.signal != 0 {
        say(&format!("signal {}", event.signal));
    }
    if !event.dst_ip.is_empty() {
        say(&format!("{} port {}", event.dst_ip, event.dst_port));
    }
    say(&event.context);
    said
}

fn event_json(event: &DenyEvent) -> Value {
    json!({
        "timestamp_ns": event.timestamp_ns,
        "decision": event.decision,
        "hook": event.hook,
        "zone": event.zone,
        "zone_id": event.zone_id,
        "target_zone": event.target_zone,
        "target_zone_id": event.target_zone_id,
        "comm": event.comm,
        "pid": event.pid,
        "tid": event.tid,
        "cgroup_id": event.cgroup_id,
        "path": event.path,
        "inode": event.inode,
        "context": event.context,
        "target_pid": event.target_pid,
        "signal": event.signal,
        "dst_ip": event.dst_ip,
        "dst_port": event.dst_port,
        "what_failed": event.what_failed,
        "why_it_matters": event.why_it_matters,
        "possible_causes": event.possible_causes,
        "applied_seq": event.applied_seq,
        "applying_seq": event.applying_seq,
        "lost_before": event.lost_before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_did_what_to_whom_under_which_policy() {
        let mut event = DenyEvent {
            timestamp_ns: 12_000_034_567,
            decision: "deny".into(),
            hook: "file_open".into(),
            zone: "web".into(),
            comm: "cat".into(),
            pid: 7,
            target_zone: "db".into(),
            path: "/srv/db/key".into(),
            applied_seq: 5,
            applying_seq: 5,
            ..DenyEvent::default()
        };
        assert_eq!(
            event_line(&event),
            "    12.000034  deny       file_open  web cat[7] → db /srv/db/key  (policy 5)"
        );
        event.path.clear();
        event.decision = "would_deny".into();
        event.hook = "task_kill".into();
        (event.signal, event.target_pid, event.applying_seq) = (9, 8, 6);
        assert_eq!(
            event_line(&event),
            "    12.000034  would_deny task_kill  web cat[7] → db pid 8 signal 9  (policy 5→6)"
        );
    }
}
