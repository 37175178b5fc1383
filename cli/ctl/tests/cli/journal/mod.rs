//! `journal …` of a running daemon, against journals made here, whole and tampered with. A file a
//! subject; here is what they share.

mod exporting;
mod inspecting;
mod replaying;
mod verifying;

use syva_model::command::{BootId, Command, Policy};
use syva_model::entry::{Entry, Hash, Peer};
use syva_model::name::ZoneName;
use syva_model::state::State;
use syva_rpc::v1::{JournalEntry, StateDigestResponse};

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
