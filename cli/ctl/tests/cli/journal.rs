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
            "entry 2: the payload hashes to",
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
            "entry 3 says that the entry before it hashes to",
        ),
        (
            "one is missing",
            |j, _| drop(j.remove(1)),
            "entry 2 should come, entry 3 came",
        ),
        (
            "the first is missing",
            |j, _| drop(j.remove(0)),
            "entry 1 should come, entry 2 came",
        ),
        (
            "one stands in another's place",
            |j, _| j[2].seq = 4,
            "entry 3 should come, entry 4 came",
        ),
        (
            "the end is missing",
            |j, _| drop(j.pop()),
            "ends at entry 3, the running state is at entry 4",
        ),
        (
            "the daemon folded another last entry",
            |_, r| r.head[0] ^= 1,
            "entry 4 hashes to",
        ),
        (
            "it does not fold",
            |j, _| {
                let prev = Hash::of(&j[2].payload);
                let (zone, drain) = (zone("none"), false);
                j[3] = raw(&entry(4, prev, Command::RemoveZone { zone, drain }));
            },
            "entry 4 names",
        ),
    ];
    for (what, tamper, said) in table {
        let (mut entries, mut running) = journal();
        tamper(&mut entries, &mut running);
        let failed = run(&daemon(entries, running).socket, "journal replay");
        assert_eq!((failed.exit, failed.out.as_str()), (4, ""), "{what}");
        assert!(failed.err.contains(said), "{what}: {}", failed.err);
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
        shown.out.starts_with("     2  the payload has format 9"),
        "{}",
        shown.out
    );
}
