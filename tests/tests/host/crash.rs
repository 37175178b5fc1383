//! The daemon dies at a named point; started again, it holds what it acknowledged, and of what it was
//! doing all or nothing.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;

use rustix::process::Signal;
use syva_e2e::daemon::{Daemon, Setup};

use crate::home::{Home, built};

/// Where the daemon dies, and whether the command it had in hand must be in the journal by then.
pub const POINTS: [(&str, Option<bool>); 8] = [
    ("journal-after-append", None),
    ("journal-after-flush", None),
    ("journal-after-sync", None),
    ("journal-after-anchor", Some(true)),
    ("writer-before-apply", Some(true)),
    ("reconciler-between-steps", Some(true)),
    ("map-before-write", Some(true)),
    ("writer-before-reply", Some(true)),
];

pub fn failing(setup: Setup, point: &str, action: &str) -> Setup {
    let program: PathBuf = built("syva-core-failpoints").join("syva-core-failpoints");
    setup
        .program(program)
        .variable("FAILPOINTS", &format!("{point}={action}"))
}

/// Asks for what the daemon dies of.
fn last_words(daemon: &mut Daemon, words: &[&str]) {
    let answer = daemon.cli(words).expect("run");
    assert_eq!(answer.exit, 3, "the daemon was lost: {answer:?}");
    let status = daemon.ended().expect("it died");
    assert_eq!(
        status.signal(),
        Some(Signal::ABORT.as_raw()),
        "{}",
        daemon.log()
    );
}

fn names(daemon: &Daemon) -> Vec<String> {
    let zones = daemon.done(&["zones", "list"]).expect("done").json()["zones"].clone();
    let zones = zones.as_array().expect("a list").iter();
    zones
        .map(|zone| zone["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// The maps hold what the journal says, and stay so.
fn settled(daemon: &Daemon) {
    let status = daemon.done(&["status"]).expect("done").json().clone();
    assert_eq!(status["applied_seq"], status["journal_seq"], "{status}");
    assert_eq!(status["drift_repaired"], 0, "{status}");
}

#[test]
fn what_was_acknowledged_is_never_missing_and_what_was_not_is_in_or_out_wholly() {
    for (point, must_be_in) in POINTS {
        let home = Home::new();
        // The first start's own entry is not to be died of.
        home.start().terminate().expect("ended");
        let mut daemon = failing(home.setup(), point, "3*off->return")
            .start()
            .expect("started");
        for zone in ["a", "b", "c"] {
            daemon
                .done(&["zones", "register", zone])
                .expect("acknowledged");
        }
        let claimed = home.file("claimed");
        let command = ["zones", "register", "d", "--host-path", &claimed];
        last_words(&mut daemon, &command);

        let daemon = home.start();
        let (seq, _) = daemon.digest().expect("the journal's replay is the state");
        let is_in = names(&daemon).contains(&"d".to_owned());
        assert_eq!(
            names(&daemon)[..3],
            ["a", "b", "c"],
            "{point}: acknowledged"
        );
        assert_eq!(seq, if is_in { 5 } else { 4 }, "{point}");
        if let Some(wanted) = must_be_in {
            assert_eq!(is_in, wanted, "{point}: the anchor was written");
        }
        let paths = daemon.done(&["host-paths", "list"]).expect("done");
        let paths = paths.json()["paths"].as_array().expect("a list").len();
        assert_eq!(
            paths,
            usize::from(is_in),
            "{point}: the zone and its path go together"
        );
        settled(&daemon);

        daemon.done(&command).expect("it can be asked again");
        assert_eq!(
            daemon.digest().expect("replayed").0,
            5,
            "{point}: it is there once"
        );
    }
}

#[test]
fn dying_between_two_steps_of_a_plan_leaves_a_journal_that_enforces_all_of_them() {
    // One command, three steps: a zone, a claim, an epoch.
    for (point, passed) in [
        ("reconciler-between-steps", 1),
        ("reconciler-between-steps", 2),
        ("map-before-write", 1),
    ] {
        let home = Home::new();
        home.start().terminate().expect("ended");
        let action = format!("{passed}*off->return");
        let mut daemon = failing(home.setup(), point, &action)
            .start()
            .expect("started");
        let claimed = home.file("claimed");
        last_words(
            &mut daemon,
            &["zones", "register", "web", "--host-path", &claimed],
        );
        let daemon = home.start();
        assert_eq!(names(&daemon), ["web"], "{point} after {passed}");
        settled(&daemon);
    }
}

#[test]
fn dying_at_the_first_start_is_no_obstacle_to_the_second() {
    for (point, _) in &POINTS[..4] {
        let home = Home::new();
        let ended = failing(home.setup(), point, "return")
            .end()
            .expect("it died");
        assert_eq!(
            ended.status.signal(),
            Some(Signal::ABORT.as_raw()),
            "{point}: {}",
            ended.log
        );
        let daemon = home.start();
        assert_eq!(
            daemon.digest().expect("replayed").0,
            1,
            "{point}: one boot is one entry"
        );
    }
}

#[test]
fn a_failpoint_is_nothing_to_the_shipped_daemon() {
    let home = Home::new();
    let daemon = home
        .setup()
        .variable("FAILPOINTS", "writer-before-apply=return")
        .start();
    daemon
        .expect("started")
        .done(&["zones", "register", "web"])
        .expect("acknowledged");
}
