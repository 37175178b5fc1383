//! What outlives the daemon, and what each start adds.

use serde_json::{Value, json};
use syva_e2e::daemon::Daemon;

use crate::home::Home;

/// The kinds of the journal's entries.
fn kinds(daemon: &Daemon) -> Vec<Value> {
    let entries = daemon.done(&["journal", "inspect"]).expect("done").lines;
    entries.iter().map(|entry| entry["kind"].clone()).collect()
}

#[test]
fn stopping_on_sigterm_is_success_and_removes_the_socket() {
    let home = Home::new();
    let daemon = home.start();
    let status = daemon.terminate().expect("ended");
    assert_eq!(status.code(), Some(0));
    assert!(!home.setup().socket().exists());
}

#[test]
fn a_restart_within_a_boot_keeps_the_state_memberships_included() {
    let home = Home::new();
    let daemon = home.start();
    let (file, one) = (home.file("file"), home.cgroup("one"));
    for words in [
        &["zones", "register", "web", "--host-path", &file][..],
        &["zones", "register", "db", "--allow-zone", "web"],
        &["comms", "deny", "web", "db"],
        &[
            "containers",
            "attach",
            "c1",
            "web",
            "--cgroup-id",
            &one,
            "--generation",
            "7",
        ],
    ] {
        daemon.done(words).expect("done");
    }
    let (before, containers) = (
        daemon.digest().expect("replayed"),
        daemon.done(&["containers", "list"]).expect("done"),
    );
    daemon.terminate().expect("ended");
    let daemon = home.start();
    assert_eq!(daemon.digest().expect("replayed"), before);
    assert_eq!(
        daemon.done(&["containers", "list"]).expect("done").lines,
        containers.lines
    );
    daemon.kill().expect("killed");
    assert_eq!(
        home.start().digest().expect("replayed"),
        before,
        "after a kill as well"
    );
}

#[test]
fn a_mode_asked_for_becomes_an_entry_once() {
    let home = Home::new();
    let modes = [
        (None, "enforce", json!(["boot"])),
        (Some("audit"), "audit", json!(["boot", "set_mode"])),
        (Some("audit"), "audit", json!(["boot", "set_mode"])),
        (None, "audit", json!(["boot", "set_mode"])),
        (
            Some("enforce"),
            "enforce",
            json!(["boot", "set_mode", "set_mode"]),
        ),
    ];
    for (asked, mode, entries) in modes {
        let setup = match asked {
            Some(mode) => home.setup().args(&["--mode", mode]),
            None => home.setup(),
        };
        let daemon = setup.start().expect("started");
        assert_eq!(daemon.done(&["status"]).expect("done").json()["mode"], mode);
        assert_eq!(json!(kinds(&daemon)), entries, "after --mode {asked:?}");
        daemon.terminate().expect("ended");
    }
}

#[test]
fn logs_can_be_read_by_machines() {
    let home = Home::new();
    let daemon = home
        .setup()
        .args(&["--log-format", "json"])
        .start()
        .expect("started");
    let log = daemon.log();
    assert!(log.lines().count() > 0, "something is logged");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect(line);
        assert!(
            line["level"].is_string() && line["fields"]["message"].is_string(),
            "{line}"
        );
    }
}
