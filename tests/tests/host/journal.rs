//! The journal from outside: of the running daemon and, once it is stopped, in its directory.

use std::path::Path;

use serde_json::{Value, json};
use syva_e2e::daemon::eventually;

use crate::home::Home;

/// The words of a command on a directory.
fn on<'a>(dir: &'a Path, words: &[&'a str]) -> Vec<&'a str> {
    let dir = dir.to_str().expect("UTF-8");
    words.iter().copied().chain(["--path", dir]).collect()
}

#[test]
fn a_directory_says_what_the_daemon_said_and_an_export_of_it_starts_another() {
    let home = Home::new();
    let daemon = home.start();
    let (file, one) = (home.file("file"), home.cgroup("one"));
    for words in [
        &["zones", "register", "web", "--host-path", &file][..],
        &["zones", "register", "db", "--allow-zone", "web"],
        &["containers", "attach", "c1", "web", "--cgroup-id", &one],
        &["comms", "allow", "web", "db"],
    ] {
        daemon.done(words).expect("done");
    }
    let state = home.setup().state().to_owned();
    let export = home.path("export");
    let export = export.to_str().expect("UTF-8");
    let live = |words: &[&str]| daemon.done(words).expect("done").lines;
    let inspected = live(&["journal", "inspect"]);
    let verified = live(&["journal", "verify"]);
    assert_eq!(verified[0]["entries"], inspected.len());
    let exported = live(&["journal", "export", export]);
    assert_eq!(exported[0]["head"], verified[0]["head"]);
    let (_, digest) = daemon.digest().expect("replayed");
    let refused = home
        .setup()
        .cli(&on(&state, &["journal", "verify"]))
        .expect("runs");
    assert_eq!(refused.exit, 1, "a daemon has it open");
    let held = refused.json()["reason"].as_str().expect("text").to_owned();
    assert!(held.contains("leave out --path"), "{held}");
    assert_eq!(daemon.terminate().expect("ended").code(), Some(0));

    let offline = |words: &[&str]| home.setup().cli(&on(&state, words)).expect("runs");
    assert_eq!(offline(&["journal", "inspect"]).lines, inspected);
    let again = offline(&["journal", "verify"]);
    assert_eq!(
        (again.exit, &again.json()["head"]),
        (0, &verified[0]["head"])
    );
    assert_eq!(
        offline(&["journal", "replay"]).json()["digest"],
        json!(digest)
    );
    let then = offline(&["journal", "replay", "--to", "2"]);
    let names = |state: &Value| -> Vec<Value> {
        let zones = state["zones"].as_array().expect("a list");
        zones.iter().map(|zone| zone["name"].clone()).collect()
    };
    assert_eq!(names(&then.json()["state"]), ["web"]);

    let new = home.path("imported");
    let imported = home
        .setup()
        .cli(&on(&new, &["journal", "import", export]))
        .expect("runs");
    assert_eq!(imported.exit, 0, "{:?}", imported.lines);
    let daemon = home.setup().with_state(new).start().expect("started");
    assert_eq!(daemon.digest().expect("replayed").1, digest);
    let pairs = daemon.done(&["comms", "list"]).expect("done");
    assert_eq!(
        pairs.json()["pairs"][0],
        json!({"zone_a": "web", "zone_b": "db"})
    );
}

#[test]
fn two_points_and_the_running_daemon_are_compared() {
    let home = Home::new();
    let daemon = home.start();
    for words in [
        &["zones", "register", "web"][..],
        &["zones", "register", "db"],
        &["zones", "remove", "web"],
    ] {
        daemon.done(words).expect("done");
    }
    let changes = |words: &[&str]| -> Vec<(Value, Value)> {
        let answer = daemon.done(words).expect("done");
        let changes = answer.json()["diff"]["changes"].clone();
        let changes = changes.as_array().expect("a list").iter();
        changes
            .map(|change| (change["change"].clone(), change["name"].clone()))
            .collect()
    };
    assert_eq!(
        changes(&["journal", "replay", "--to", "2", "--diff", "live"]),
        [
            (json!("added"), json!("db")),
            (json!("removed"), json!("web"))
        ]
    );
    assert_eq!(
        changes(&["journal", "replay", "--to", "3", "--diff", "2"]),
        [(json!("removed"), json!("db"))]
    );
    assert_eq!(changes(&["journal", "replay", "--diff", "live"]), []);
}

#[test]
fn a_start_goes_on_from_the_snapshot_of_the_stop_before_and_ignores_a_damaged_one() {
    let home = Home::new();
    let daemon = home.start();
    for zone in ["web", "db"] {
        daemon.done(&["zones", "register", zone]).expect("done");
    }
    let (_, digest) = daemon.digest().expect("replayed");
    daemon.terminate().expect("ended");
    let snapshot = home.setup().state().join("snapshot");
    let whole = std::fs::read(&snapshot).expect("a stop writes one");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for (bytes, used, said) in [
        (Some(&whole), true, "folding on from a snapshot"),
        (Some(&damaged), false, "the snapshot is ignored"),
        (None, false, ""),
    ] {
        match bytes {
            Some(bytes) => std::fs::write(&snapshot, bytes).expect("written"),
            None => std::fs::remove_file(&snapshot).expect("removed"),
        }
        let daemon = home.start();
        // It is written by a thread of its own.
        eventually("its log", || Ok(daemon.log().contains(said))).expect("it is said");
        let log = daemon.log();
        assert_eq!(log.contains("folding on from a snapshot"), used, "{log}");
        // What the snapshot vouches for is not read again.
        assert_eq!(log.contains("checked_after=3"), used, "{log}");
        assert_eq!(daemon.digest().expect("replayed").1, digest);
        daemon.terminate().expect("ended");
        assert!(std::fs::read(&snapshot).expect("is there again") == whole);
    }
}
