//! `journal prune`, from a running daemon to one that goes on behind the horizon, and back.

use std::path::Path;

use serde_json::json;
use syva_e2e::daemon::{Answer, Setup};

use crate::home::Home;

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn on(setup: &Setup, dir: &Path, words: &[&str]) -> Answer {
    let words: Vec<&str> = words.iter().copied().chain(["--path", text(dir)]).collect();
    setup.cli(&words).expect("runs")
}

#[test]
fn a_pruned_journal_gives_the_same_state_and_says_where_it_begins_and_can_be_made_whole() {
    let home = Home::new();
    let daemon = home.start();
    let file = home.file("file");
    for words in [
        &["zones", "register", "web", "--host-path", &file][..],
        &["zones", "register", "db", "--allow-zone", "web"],
        &["comms", "allow", "web", "db"],
        &["zones", "register", "late"],
    ] {
        daemon.done(words).expect("done");
    }
    let (seq, _) = daemon.digest().expect("replayed");
    let zones = daemon.done(&["zones", "list"]).expect("done").json()["zones"].clone();
    let (setup, state) = (home.setup(), home.setup().state().to_owned());
    let export = home.path("pruned");
    let prune = [
        "journal",
        "prune",
        "--before",
        "4",
        "--export",
        text(&export),
    ];
    let refused = on(&setup, &state, &prune);
    assert_eq!(refused.exit, 1, "{refused:?}");
    assert!(
        refused.reason().contains("while its daemon is stopped"),
        "{refused:?}"
    );
    daemon.terminate().expect("ended");

    let without = ["journal", "prune", "--before", "4"];
    assert_eq!(
        on(&setup, &state, &without).exit,
        2,
        "an export, or a word that there is none"
    );
    let nowhere = [
        "journal",
        "prune",
        "--before",
        "4",
        "--export",
        "/nowhere/file",
    ];
    assert_eq!(on(&setup, &state, &nowhere).exit, 1);
    assert_eq!(
        on(&setup, &state, &["journal", "verify"]).json()["entries"],
        seq
    );
    let pruned = on(&setup, &state, &prune);
    assert_eq!(pruned.exit, 0, "{pruned:?}");
    assert_eq!(pruned.json()["result"]["entries"], 3, "{pruned:?}");

    let daemon = home.start();
    let (now, digest) = daemon
        .digest()
        .expect("the replay behind the horizon is the state");
    assert_eq!(now, seq + 1, "pruning is an entry");
    assert_eq!(
        daemon.done(&["zones", "list"]).expect("done").json()["zones"],
        zones
    );
    let inspected = daemon.done(&["journal", "inspect"]).expect("done");
    assert_eq!(inspected.lines[0]["seq"], 4);
    assert_eq!(inspected.lines.last().expect("some")["kind"], "prune");
    let verified = daemon.done(&["journal", "verify"]).expect("done");
    assert_eq!(
        (
            &verified.json()["first_seq"],
            &verified.json()["pruned"]["to"]
        ),
        (&json!(4), &json!(3))
    );
    for early in ["2", "1999-01-01T00:00:00Z"] {
        let told = daemon
            .cli(&["journal", "replay", "--to", early])
            .expect("runs");
        assert_eq!(told.exit, 1, "{told:?}");
        assert!(told.reason().contains("were pruned"), "{told:?}");
    }
    let at = daemon
        .done(&["journal", "replay", "--to", "3"])
        .expect("done");
    assert_eq!(at.json()["pruned"]["to"], 3);
    assert_eq!(
        at.json()["state"]["zones"].as_array().map(Vec::len),
        Some(2)
    );
    let paths = daemon.done(&["host-paths", "list"]).expect("done");
    assert_eq!(
        paths.json()["paths"][0]["claimed_by"],
        json!(null),
        "{paths:?}"
    );
    daemon.terminate().expect("ended");

    let offline = on(&setup, &state, &["journal", "replay"]);
    assert_eq!(offline.text("digest"), digest);
    let whole = home.path("whole");
    let words = ["journal", "import", text(&export), "--then", text(&state)];
    let undone = on(&setup, &whole, &words);
    assert_eq!(undone.exit, 0, "{undone:?}");
    let daemon = setup.with_state(whole).start().expect("started");
    assert_eq!(daemon.digest().expect("replayed").1, digest);
    let first = daemon
        .done(&["journal", "inspect", "--to", "1"])
        .expect("done");
    assert_eq!(first.json()["seq"], 1);
}
