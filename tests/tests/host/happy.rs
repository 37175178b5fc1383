//! What an operator does in a day, through the command line.

use serde_json::{Value, json};

use crate::home::Home;

/// What of `rows` a person would look at: these fields of each.
fn fields(rows: &Value, names: &[&str]) -> Value {
    let pick = |row: &Value| {
        let picked = names.iter().map(|name| row[*name].clone());
        Value::Array(picked.collect())
    };
    rows.as_array().expect("a list").iter().map(pick).collect()
}

#[test]
fn what_was_asked_for_is_listed_journaled_and_replayed() {
    let home = Home::new();
    let daemon = home.start();
    let ask = |words: &[&str]| daemon.done(words).expect("done").json().clone();
    let (site, data) = (home.file("site/index"), home.file("data/table"));
    let site_dir = home.path("site").display().to_string();
    let (one, two) = (home.cgroup("pod/one"), home.cgroup("pod/two"));

    let web = ask(&[
        "zones",
        "register",
        "web",
        "--network",
        "open",
        "--host-path",
        &site_dir,
    ]);
    assert_eq!(web["operation"], "zones.register");
    assert_eq!(web["result"]["zone_id"], 1);
    ask(&["zones", "register", "db"]);
    let claimed = ask(&["host-paths", "register", "db", &data]);
    assert_eq!(claimed["result"]["inodes_registered"], 1);
    ask(&["comms", "allow", "web", "db"]);
    ask(&[
        "containers",
        "attach",
        "c1",
        "web",
        "--cgroup-id",
        &one,
        "--generation",
        "3",
    ]);
    ask(&["containers", "attach", "c2", "db", "--cgroup-id", &two]);

    let zones = ask(&["zones", "list"]);
    assert_eq!(
        fields(
            &zones["zones"],
            &["name", "zone_id", "state", "containers_active"]
        ),
        json!([["db", 2, "active", 1], ["web", 1, "active", 1]])
    );
    let paths = ask(&["host-paths", "list"]);
    assert_eq!(
        fields(&paths["paths"], &["zone", "path", "recursive", "state"]),
        json!([
            ["db", data, false, "claimed"],
            ["web", site_dir, true, "claimed"]
        ])
    );
    let inside = ask(&["host-paths", "register", "db", &site]);
    let notes = inside["result"]["notes"].to_string();
    assert!(
        notes.contains("lies below") && notes.contains("the nearer claim wins"),
        "{notes}"
    );
    let pairs = ask(&["comms", "list"]);
    assert_eq!(
        fields(&pairs["pairs"], &["zone_a", "zone_b"]),
        json!([["web", "db"]])
    );
    let containers = ask(&["containers", "list", "--zone", "web"]);
    assert_eq!(
        fields(
            &containers["containers"],
            &["container_id", "cgroup_path", "generation"]
        ),
        json!([["c1", "/pod/one", 3]])
    );

    let inspected = daemon.done(&["journal", "inspect"]).expect("done").lines;
    let kinds: Vec<_> = inspected
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    assert_eq!(
        json!(kinds),
        json!([
            "boot",
            "register_zone",
            "register_zone",
            "register_host_path",
            "allow_comm",
            "attach_container",
            "attach_container",
            "register_host_path"
        ])
    );
    let own = ["syva-core", "syva-cli"].map(|name| {
        let by = |entry: &&Value| entry["peer"]["adapter"] == name;
        inspected.iter().filter(by).count()
    });
    assert_eq!(own, [1, 7], "the journal says who asked");
    let replay = ask(&["journal", "replay"]);
    assert_eq!(
        (&replay["equal"], &replay["entries"]),
        (&json!(true), &json!(8))
    );
}

#[test]
fn what_was_done_can_be_undone_and_what_is_so_already_is_no_entry() {
    let home = Home::new();
    let daemon = home.start();
    let ask = |words: &[&str]| daemon.done(words).expect("done").json().clone();
    let seq = || daemon.digest().expect("replayed").0;
    let (data, one) = (home.file("data"), home.cgroup("one"));
    let steps: &[&[&str]] = &[
        &["zones", "register", "web"],
        &["zones", "register", "db"],
        &["host-paths", "register", "web", &data],
        &["comms", "allow", "db", "web"],
        &["containers", "attach", "c1", "web", "--cgroup-id", &one],
    ];
    for (done, step) in (1..).zip(steps) {
        ask(step);
        ask(step);
        assert_eq!(seq(), 1 + done, "{step:?} twice is one entry");
    }

    ask(&["comms", "deny", "web", "db"]);
    assert_eq!(ask(&["comms", "list"])["pairs"], json!([]));
    let removed = ask(&["zones", "remove", "web", "--drain"]);
    assert!(
        removed["result"]["message"]
            .to_string()
            .contains("goes when its 1 members go"),
        "{removed}"
    );
    assert_eq!(
        fields(&ask(&["zones", "list"])["zones"], &["name", "state"]),
        json!([["db", "active"], ["web", "draining"]])
    );
    ask(&["containers", "detach", "c1"]);
    assert_eq!(
        fields(&ask(&["zones", "list"])["zones"], &["name"]),
        json!([["db"]])
    );
    assert_eq!(
        ask(&["host-paths", "list"])["paths"],
        json!([]),
        "claims go with their zone"
    );

    let again = ask(&["zones", "register", "web"]);
    assert_eq!(
        again["result"]["zone_id"], 3,
        "a zone's id is never used again"
    );
    assert_eq!(daemon.digest().expect("replayed").0, 10);
}

#[test]
fn a_claim_is_listed_with_who_made_it_and_when_and_can_be_taken_back() {
    let home = Home::new();
    let daemon = home.start();
    let ask = |words: &[&str]| daemon.done(words).expect("done").json().clone();
    let (site, data) = (home.file("site/index"), home.file("data"));
    let site_dir = home.path("site").display().to_string();
    ask(&["zones", "register", "web", "--host-path", &site_dir]);
    ask(&["zones", "register", "db"]);
    ask(&["host-paths", "register", "db", &data]);
    ask(&["host-paths", "register", "db", &site]);

    let paths = ask(&["host-paths", "list"])["paths"].clone();
    let of = |path: &str| {
        let rows = paths.as_array().expect("a list");
        rows.iter().find(|row| row["path"] == path).expect(path)
    };
    let entries = daemon.done(&["journal", "inspect"]).expect("done").lines;
    for (path, by_policy) in [(&site_dir, true), (&data, false), (&site, false)] {
        let row = of(path);
        let seq = row["seq"].as_u64().expect("a number");
        let entry = &entries[usize::try_from(seq).expect("small") - 1];
        for field in ["uid", "gid", "pid", "adapter"] {
            assert_eq!(row["claimed_by"][field], entry["peer"][field], "{row}");
        }
        assert_eq!(row["claimed_at"], entry["time"], "{row}");
        assert_eq!(row["by_policy"], by_policy, "{row}");
        assert_eq!(row["by_command"], !by_policy, "{row}");
    }

    let refusals = [
        ("web", site_dir.as_str(), "the policy of zone web"),
        ("web", &data, "zone db has claimed it"),
        ("db", "/nothing/here", "nothing is claimed"),
        ("nope", &data, "no zone nope"),
        ("db", "relative", "not absolute"),
    ];
    let before = daemon.digest().expect("replayed");
    for (zone, path, says) in refusals {
        let refused = daemon.cli(&["host-paths", "remove", zone, path]);
        let refused = refused.expect("answers");
        assert_eq!(refused.exit, 1, "{refused:?}");
        assert!(refused.reason().contains(says), "{refused:?}");
    }
    assert_eq!(daemon.digest().expect("replayed"), before);

    let inner = ask(&["host-paths", "remove", "db", &site]);
    let said = inner["result"]["message"].to_string();
    assert!(said.contains("falls to zone web"), "{said}");
    std::fs::remove_file(&data).expect("removed");
    ask(&["host-paths", "remove", "db", &data]);
    let again = daemon.cli(&["host-paths", "remove", "db", &data]);
    assert_eq!(again.expect("answers").exit, 1);
    assert_eq!(
        fields(&ask(&["host-paths", "list"])["paths"], &["zone", "path"]),
        json!([["web", site_dir]])
    );
    let (seq, _) = daemon.digest().expect("replayed");
    assert_eq!(seq, before.0 + 2, "what is refused is no entry");
}

#[test]
fn the_memory_backend_says_that_it_enforces_nothing() {
    let home = Home::new();
    let status = home.start().done(&["status"]).expect("done").json().clone();
    assert_eq!(status["attached"], false);
    assert_eq!(status["health"], "unsafe");
    assert_eq!(status["backend"], "memory");
    let reasons = status["degraded_reasons"].to_string();
    assert!(reasons.contains("enforces nothing"), "{reasons}");
    assert_eq!(
        (&status["journal_seq"], &status["applied_seq"]),
        (&json!(1), &json!(1))
    );
    for hook in status["hooks"].as_array().expect("hooks") {
        assert_eq!(hook["attached"], false, "{hook}");
    }
}
