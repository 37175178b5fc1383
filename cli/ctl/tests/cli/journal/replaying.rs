//! `journal replay`: the running state, and earlier ones.

use serde_json::json;

use super::*;
use crate::run;

#[test]
fn a_whole_journal_replays_to_the_running_state() {
    let (entries, running) = journal();
    let digest = Hash(running.digest.clone().try_into().expect("32 bytes")).to_string();
    let daemon = daemon(entries, running);
    let text = run(&daemon.socket, "journal replay");
    assert_eq!(text.exit, 0, "{}", text.err);
    assert_eq!(
        text.out,
        format!(
            "4 entries folded, the hash chain is whole\ndigest {digest}\n\
             equal to the running state at entry 4\n"
        )
    );
    let json = run(&daemon.socket, "journal replay --format json");
    assert_eq!(
        json.json(),
        json!({"operation": "journal.replay", "ok": true, "entries": 4, "seq": 4,
            "digest": digest, "running_digest": digest, "equal": true})
    );
    let asked = daemon.script.asked.lock().expect("no panic");
    assert!(asked[1].contains("from_seq: 1, to_seq: 4"), "{asked:?}");
}

#[test]
fn entries_made_after_the_digest_was_taken_are_not_folded() {
    let (entries, _) = journal();
    let mut state = State::default();
    let first = Entry::decode(&entries[0].payload).expect("decodes");
    let head = Hash::of(&entries[0].payload);
    state.fold(&first, head).expect("folds");
    for (seq, state, head) in [(1, state, head), (0, State::default(), Hash::ZERO)] {
        let running = StateDigestResponse {
            seq,
            digest: state.digest().expect("encodes").0.into(),
            head: head.0.into(),
        };
        let done = run(&daemon(entries.clone(), running).socket, "journal replay");
        assert_eq!(done.exit, 0, "{}", done.err);
        assert!(
            done.out.starts_with(&format!("{seq} entries folded")),
            "{}",
            done.out
        );
    }
}

#[test]
fn a_state_that_differs_from_its_journal_fails_with_both_digests() {
    let (entries, mut running) = journal();
    let replayed = Hash(running.digest.clone().try_into().expect("32 bytes")).to_string();
    running.digest = vec![0xab; 32];
    let daemon = daemon(entries, running);
    let text = run(&daemon.socket, "journal replay");
    assert_eq!(text.exit, 4);
    assert!(
        text.err.contains(&replayed) && text.err.contains(&"ab".repeat(32)),
        "{}",
        text.err
    );
    let json = run(&daemon.socket, "journal replay --format json");
    let object = json.json();
    assert_eq!(
        (json.exit, &object["ok"], &object["equal"]),
        (4, &json!(false), &json!(false))
    );
    assert_eq!(object["digest"], json!(replayed));
    assert_eq!(object["running_digest"], json!("ab".repeat(32)));
}

#[test]
fn an_earlier_state_is_shown_and_compared_with_a_later() {
    let (entries, running) = journal();
    let daemon = daemon(entries, running);
    let then = run(&daemon.socket, "journal replay --to 3 --format json").json();
    assert_eq!(then["state"]["zones"][0]["name"], "db");
    assert_eq!(then["state"]["zones"][1]["name"], "web");
    assert_eq!(
        (&then["seq"], &then["time"]),
        (&json!(3), &json!("2025-11-24T16:00:00.123456789Z"))
    );
    let text = run(&daemon.socket, "journal replay --to 3");
    assert!(
        text.out
            .contains("the state after entry 3 of 2025-11-24T16:00:00"),
        "{}",
        text.out
    );
    for other in ["4", "live", "2025-11-24T17:00:00Z"] {
        let line = format!("journal replay --to 3 --diff {other}");
        let changed = run(&daemon.socket, &line);
        assert_eq!(changed.exit, 0, "{}", changed.err);
        let changes: Vec<_> = changed.out.lines().skip(2).collect();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(changes[0].starts_with("- zone db: "), "{changes:?}");
        let json = run(&daemon.socket, &format!("{line} --format json")).json();
        assert_eq!(json["diff"]["changes"][0]["change"], "removed");
        assert_eq!((&json["seq"], &json["diff"]["seq"]), (&json!(3), &json!(4)));
    }
    let same = run(&daemon.socket, "journal replay --diff live");
    assert!(same.out.ends_with("no difference\n"), "{}", same.out);
    let before = run(&daemon.socket, "journal replay --to 0 --diff 1");
    assert!(
        before.out.contains("before the first entry"),
        "{}",
        before.out
    );
    let none = run(
        &daemon.socket,
        "journal replay --to 2025-11-24T15:00:00Z --format json",
    );
    assert_eq!(none.json()["seq"], 0);
}

#[test]
fn a_clock_that_was_set_back_does_not_hide_what_came_after() {
    let (mut state, mut head, mut entries) = (State::default(), Hash::ZERO, Vec::new());
    for ((seq, command), minute) in (1..).zip(commands()).zip([10, 50, 20, 30]) {
        let entry = Entry {
            time_unix_ns: minute * 60_000_000_000,
            ..entry(seq, head, command)
        };
        entries.push(raw(&entry));
        head = Hash::of(&entries[entries.len() - 1].payload);
        state.fold(&entry, head).expect("folds");
    }
    let daemon = daemon(entries, StateDigestResponse::default());
    for (minute, seq) in [(5, 0), (15, 1), (25, 3), (40, 4), (55, 4)] {
        let line = format!("journal replay --to 1970-01-01T00:{minute:02}:00Z");
        let found = run(&daemon.socket, &line);
        assert!(
            found.out.starts_with(&format!("{seq} entries folded")),
            "{minute}: {}",
            found.out
        );
        assert!(
            found.err.contains("the clock was set back before entry 3"),
            "{}",
            found.err
        );
    }
}
