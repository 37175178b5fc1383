//! `journal verify`: what was tampered with is found and named; `replay` finds it too.

use serde_json::json;

use super::*;
use crate::run;

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
        json!({"operation": "journal.verify", "ok": true, "entries": 4, "first_seq": 1, "seq": 4, "head": head})
    );
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
