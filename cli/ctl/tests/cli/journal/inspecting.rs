//! `journal inspect`: who did what, and when.

use serde_json::json;

use super::*;
use crate::run;

#[test]
fn inspect_prints_who_did_what_and_json_everything() {
    let (entries, running) = journal();
    let daemon = daemon(entries.clone(), running);
    let text = run(&daemon.socket, "journal inspect");
    assert_eq!((text.exit, text.out.lines().count()), (0, 4));
    assert_eq!(
        text.out.lines().nth(1),
        Some(
            "     2  2025-11-24T16:00:00.123Z  syva-file uid 0 pid 42      register_zone       \
             zone web: standard, network isolated"
        )
    );
    let json = &run(&daemon.socket, "journal inspect --format json").json_lines()[3];
    assert_eq!(
        json,
        &json!({"seq": 4, "time": "2025-11-24T16:00:00.123456789Z",
            "time_unix_ns": 1_764_000_000_123_456_789_u64,
            "boot": "07070707-0707-0707-0707-070707070707",
            "peer": {"uid": 0, "gid": 0, "pid": 42, "adapter": "syva-file"},
            "kind": "remove_zone", "summary": "zone db, at once",
            "command": {"remove_zone": {"zone": "db", "drain": false}},
            "prev": Hash::of(&entries[2].payload).to_string(),
            "hash": Hash::of(&entries[3].payload).to_string()})
    );
}

#[test]
fn inspect_filters_by_kind_and_zone() {
    let (entries, running) = journal();
    let daemon = daemon(entries, running);
    for (filter, seqs) in [
        ("--kind register_zone", &[2, 3][..]),
        ("--zone db", &[3, 4]),
        ("--zone db --from 4", &[4]),
        ("--zone db --kind register_zone", &[3]),
        ("--kind none", &[]),
        ("--since 2025-11-24T16:00:00Z", &[1, 2, 3, 4]),
        ("--since 2025-11-24T18:00:01+02:00", &[]),
        ("--until 2025-11-24T16:00:00.123456789Z", &[]),
        ("--until 2025-11-24T16:00:01Z --from 3", &[3, 4]),
        ("--peer 0", &[1, 2, 3, 4]),
        ("--peer syva-file --kind boot", &[1]),
        ("--peer syva-cli", &[]),
        ("--peer 1000", &[]),
    ] {
        let shown = run(
            &daemon.socket,
            &format!("journal inspect --format json {filter}"),
        );
        let found: Vec<_> = shown
            .json_lines()
            .iter()
            .map(|line| line["seq"].as_u64())
            .collect();
        assert_eq!(
            found,
            seqs.iter().copied().map(Some).collect::<Vec<_>>(),
            "{filter}"
        );
    }
}

#[test]
fn inspect_says_what_is_missing_between_entries() {
    let (mut entries, running) = journal();
    entries.remove(1);
    let shown = run(&daemon(entries, running).socket, "journal inspect");
    assert_eq!((shown.exit, shown.out.lines().count()), (4, 4));
    assert_eq!(shown.out.lines().nth(1), Some("     2  it is missing"));
}

#[test]
fn inspect_shows_what_it_cannot_read_and_fails() {
    let (mut entries, running) = journal();
    entries[1].payload[0] = 9;
    entries[1].hash = Hash::of(&entries[1].payload).0.into();
    let daemon = daemon(entries, running);
    let shown = run(&daemon.socket, "journal inspect --kind remove_zone");
    assert_eq!(
        (shown.exit, shown.out.lines().count()),
        (4, 2),
        "{}",
        shown.out
    );
    assert!(
        shown.out.starts_with("     2  it was written in format 9"),
        "{}",
        shown.out
    );
}
