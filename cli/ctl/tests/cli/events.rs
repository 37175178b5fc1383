//! `events`: what is printed, and how a stream ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;
use syva_rpc::v1::DenyEvent;
use tonic::Status;

use crate::scripted::{Script, start};
use crate::{finished, run};

fn event(pid: u32, lost_before: u64) -> Result<DenyEvent, Status> {
    Ok(DenyEvent {
        timestamp_ns: 1_500_000_000,
        decision: "deny".into(),
        hook: "file_open".into(),
        zone: "web".into(),
        comm: "c\n".into(),
        pid,
        target_zone: "db".into(),
        path: "/srv/db".into(),
        applied_seq: 3,
        applying_seq: 3,
        lost_before,
        ..DenyEvent::default()
    })
}

#[test]
fn events_are_one_a_line_and_losses_are_told() {
    let daemon = start(Script {
        events: vec![event(1, 0), event(2, 5)],
        ..Script::default()
    });
    let text = run(&daemon.socket, "events");
    assert_eq!(text.exit, 0);
    assert_eq!(
        text.out.lines().last(),
        Some(r"     1.500000  deny       file_open  web c\n[2] → db /srv/db  (policy 3)")
    );
    assert_eq!(
        (text.out.lines().count(), text.err.as_str()),
        (
            2,
            "note: 5 events were lost here: this reader was too slow\n"
        )
    );
    let json = run(&daemon.socket, "events --format json");
    let lines = json.json_lines();
    assert_eq!(
        (lines.len(), &lines[1]["lost_before"], &lines[1]["pid"]),
        (2, &json!(5), &json!(2))
    );
}

#[test]
fn a_followed_stream_that_ends_has_lost_the_daemon() {
    for (end, exit) in [(None, 3), (Some(Status::internal("ring")), 4)] {
        let events = std::iter::once(event(1, 0)).chain(end.map(Err)).collect();
        let daemon = start(Script {
            events,
            ..Script::default()
        });
        let lost = run(&daemon.socket, "events --follow --format json");
        assert_eq!(
            (lost.exit, lost.json_lines().len()),
            (exit, 2),
            "{}",
            lost.out
        );
        assert_eq!(lost.json_lines()[1]["ok"], false);
    }
}

fn following(socket: &Path) -> Child {
    std::process::Command::new(assert_cmd::cargo::cargo_bin!("syva-cli"))
        .args(["events", "--follow", "--socket"])
        .arg(socket)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts")
}

#[test]
fn a_daemon_killed_while_it_is_followed_is_exit_3() {
    let events = vec![event(1, 0)];
    let daemon = start(Script {
        events,
        hangs: true,
        ..Script::default()
    });
    let mut child = following(&daemon.socket);
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    // The first event is printed at once, not when a buffer is full.
    out.read_line(&mut line).expect("a line");
    drop(daemon);
    let lost = finished(child.wait_with_output().expect("ends"));
    assert_eq!(lost.exit, 3, "{}", lost.err);
    assert!(
        lost.err.starts_with("error: lost the daemon"),
        "{}",
        lost.err
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_stream_quietly() {
    let events = (0..20_000).map(|pid| event(pid, 0)).collect();
    let daemon = start(Script {
        events,
        hangs: true,
        ..Script::default()
    });
    let mut child = following(&daemon.socket);
    drop(child.stdout.take());
    let ended = finished(child.wait_with_output().expect("ends"));
    assert_eq!((ended.exit, ended.err.as_str()), (0, ""));
}
