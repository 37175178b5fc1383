//! `journal inspect` and `journal replay` against journals made here, whole and tampered with.

use serde_json::json;
use syva_model::command::{BootId, Command, Policy};
use syva_model::entry::{Entry, Hash, Peer};
use syva_model::name::ZoneName;
use syva_model::state::State;
use syva_rpc::v1::{JournalEntry, StateDigestResponse};

use crate::run;
use crate::scripted::{Script, start};

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).expect("valid")
}

fn commands() -> Vec<Command> {
    let register = |name| Command::RegisterZone {
        zone: zone(name),
        policy: Some(Policy::default()),
        claims: vec![],
        host_sockets: vec![],
    };
    let (remove, drain) = (zone("db"), false);
    vec![
        Command::Boot {
            claims: vec![],
            host_sockets: vec![],
        },
        register("web"),
        register("db"),
        Command::RemoveZone {
            zone: remove,
            drain,
        },
    ]
}

fn entry(seq: u64, prev: Hash, command: Command) -> Entry {
    Entry {
        seq,
        time_unix_ns: 1_764_000_000_123_456_789,
        boot: BootId([7; 16]),
        peer: Peer {
            uid: 0,
            gid: 0,
            pid: 42,
            adapter: "syva-file".into(),
        },
        command,
        prev,
    }
}

fn raw(entry: &Entry) -> JournalEntry {
    let payload = entry.encode().expect("encodes");
    JournalEntry {
        seq: entry.seq,
        hash: Hash::of(&payload).0.into(),
        payload,
    }
}

/// A journal, and what a daemon that folded it says of its state.
fn journal() -> (Vec<JournalEntry>, StateDigestResponse) {
    let (mut state, mut head, mut entries) = (State::default(), Hash::ZERO, Vec::new());
    for (seq, command) in (1..).zip(commands()) {
        let entry = entry(seq, head, command);
        entries.push(raw(&entry));
        head = Hash::of(&entries[entries.len() - 1].payload);
        state.fold(&entry, head).expect("folds");
    }
    let running = StateDigestResponse {
        seq: state.seq(),
        digest: state.digest().expect("encodes").0.into(),
        head: head.0.into(),
    };
    (entries, running)
}

fn daemon(journal: Vec<JournalEntry>, running: StateDigestResponse) -> crate::scripted::Daemon {
    start(Script {
        journal,
        ..Script::replying(running)
    })
}

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

type Tamper = fn(&mut Vec<JournalEntry>, &mut StateDigestResponse);

#[test]
fn a_tampered_journal_fails_and_names_the_entry() {
    let table: [(&str, Tamper, &str); 8] = [
        (
            "a byte is changed",
            |j, _| j[1].payload[40] ^= 1,
            "entry 2 is bad: it is damaged",
        ),
        (
            "an entry is replaced together with its hash",
            |j, _| {
                let prev = Hash::of(&j[0].payload);
                let (zone, policy, claims) = (zone("evil"), None, vec![]);
                j[1] = raw(&entry(
                    2,
                    prev,
                    Command::RegisterZone {
                        zone,
                        policy,
                        claims,
                        host_sockets: vec![],
                    },
                ));
            },
            "entry 3 is bad: the chain is broken",
        ),
        (
            "one is missing",
            |j, _| drop(j.remove(1)),
            "entry 2 is bad: it is missing, the next in the store is 3",
        ),
        (
            "the first is missing",
            |j, _| drop(j.remove(0)),
            "entry 1 is bad: it is missing, the next in the store is 2",
        ),
        (
            "one stands in another's place",
            |j, _| j[2].seq = 4,
            "entry 3 is bad: it is missing, the next in the store is 4",
        ),
        (
            "the end is missing",
            |j, _| drop(j.pop()),
            "ends at entry 3, and must go on to entry 4",
        ),
        (
            "the daemon folded another last entry",
            |_, r| r.head[0] ^= 1,
            "entry 4 hashes to",
        ),
        (
            "it does not fold",
            |j, r| {
                let prev = Hash::of(&j[2].payload);
                let (zone, drain) = (zone("none"), false);
                j[3] = raw(&entry(4, prev, Command::RemoveZone { zone, drain }));
                r.head = j[3].hash.clone();
            },
            "entry 4 names",
        ),
    ];
    for (what, tamper, said) in table {
        let (mut entries, mut running) = journal();
        tamper(&mut entries, &mut running);
        let daemon = daemon(entries, running);
        let failed = run(&daemon.socket, "journal replay");
        assert_eq!((failed.exit, failed.out.as_str()), (4, ""), "{what}");
        assert!(failed.err.contains(said), "{what}: {}", failed.err);
        let checked = run(&daemon.socket, "journal verify");
        if said == "entry 4 names" {
            assert_eq!(
                checked.exit, 0,
                "{what}: it is whole, and only folding tells"
            );
        } else {
            assert_eq!(checked.exit, 4, "{what}");
            assert!(checked.err.contains(said), "{what}: {}", checked.err);
        }
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
fn a_whole_journal_is_verified() {
    let (entries, running) = journal();
    let head = Hash(running.head.clone().try_into().expect("32 bytes")).to_string();
    let daemon = daemon(entries, running);
    let text = run(&daemon.socket, "journal verify");
    assert_eq!(text.exit, 0, "{}", text.err);
    assert!(
        text.out
            .starts_with("4 entries, the hash chain is whole\nhead "),
        "{}",
        text.out
    );
    let json = run(&daemon.socket, "journal verify --format json");
    assert_eq!(
        json.json(),
        json!({"operation": "journal.verify", "ok": true, "entries": 4, "seq": 4, "head": head})
    );
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

#[test]
fn what_is_exported_from_the_daemon_is_imported_as_the_same_journal() {
    let (entries, running) = journal();
    let daemon = daemon(entries.clone(), running);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("export");
    let line = format!("journal export {} --format json", file.display());
    let done = run(&daemon.socket, &line);
    assert_eq!(done.exit, 0, "{}", done.out);
    let answer = done.json();
    assert_eq!(
        (&answer["entries"], &answer["last_seq"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(
        answer["bytes"],
        std::fs::metadata(&file).expect("there").len()
    );
    let again = run(&daemon.socket, &line);
    assert_eq!(again.exit, 1, "an export replaces nothing");
    assert!(again.out.contains("it exists"), "{}", again.out);
    let piped = crate::command(&daemon.socket, "journal export -")
        .output()
        .expect("runs");
    assert_eq!(piped.stdout, std::fs::read(&file).expect("there"));
    let new = dir.path().join("new");
    let line = format!("journal import {} --path {}", file.display(), new.display());
    let made = run(&daemon.socket, &line);
    assert_eq!(made.exit, 0, "{}", made.err);
    let line = format!("journal inspect --path {} --format json", new.display());
    let offline = run(&daemon.socket, &line);
    let live = run(&daemon.socket, "journal inspect --format json");
    assert_eq!(offline.out, live.out);
}

#[test]
fn a_broken_journal_is_not_exported_and_leaves_no_file() {
    let (mut entries, running) = journal();
    entries[2].payload[40] ^= 1;
    let daemon = daemon(entries, running);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("export");
    let failed = run(
        &daemon.socket,
        &format!("journal export {}", file.display()),
    );
    assert_eq!(failed.exit, 4);
    assert!(
        failed.err.contains("entry 3 of the export"),
        "{}",
        failed.err
    );
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
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
