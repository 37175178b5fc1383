//! The golden journals: what every released version has written must be read by every later one.
//!
//! `golden/v1/journal.hex` holds one payload a line, in hex, independent of any store;
//! `golden/v1/journal.txt` what each must decode to. A released version's payloads never change.
//! Before the first release, and for a version of its own after each, `SYVA_BLESS=1` writes them
//! anew; the difference is then for a reviewer to read.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syva_journal::record::{Head, RawRecord, check};
use syva_journal::{Journal, Record};
use syva_model::command::{
    Above, Attach, BootId, ClaimFacts, Command, LinkFacts, NetworkMode, Pod, Policy, Reresolved,
    SocketFacts, SocketReresolved, Unresolved, ZoneType,
};
use syva_model::entry::{Entry, Hash, Peer};
use syva_model::host_socket::{Place, SocketKey};
use syva_model::image::{CgroupId, Mode, ObjectKey, Scope};
use syva_model::name::{Party, ZoneName};

/// The version whose payloads the code of today writes.
const CURRENT: &str = "v1";

/// The kinds of all commands. The match makes a new one a compile error here: add it to the list
/// and to [`commands`], and bless.
const KINDS: [&str; 18] = {
    const fn _every_command_is_listed(command: &Command) {
        match command {
            Command::RegisterZone { .. }
            | Command::RemoveZone { .. }
            | Command::AttachContainer(_)
            | Command::DetachContainer { .. }
            | Command::AllowComm { .. }
            | Command::DenyComm { .. }
            | Command::RegisterHostPath { .. }
            | Command::RemoveHostPath { .. }
            | Command::SetMode { .. }
            | Command::SetZoneMode { .. }
            | Command::Boot { .. }
            | Command::Reresolve { .. }
            | Command::Link { .. }
            | Command::CgroupGone { .. }
            | Command::AllowHostSocket { .. }
            | Command::DenyHostSocket { .. }
            | Command::Prune { .. }
            | Command::AcceptLoss { .. } => {}
        }
    }
    [
        "register_zone",
        "remove_zone",
        "attach_container",
        "detach_container",
        "allow_comm",
        "deny_comm",
        "register_host_path",
        "set_mode",
        "boot",
        "cgroup_gone",
        "remove_host_path",
        "allow_host_socket",
        "deny_host_socket",
        "set_zone_mode",
        "prune",
        "accept_loss",
        "reresolve",
        "link",
    ]
};

fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).expect("is a name")
}

fn party(name: &str) -> Party {
    Party::new(name).expect("is a name")
}

fn object(ino: u64) -> ObjectKey {
    ObjectKey {
        dev: 254 << 20 | 1,
        ino,
        subvol: 257,
    }
}

fn claim(path: &str, scope: Scope) -> ClaimFacts {
    ClaimFacts {
        asked: format!("{path}/../asked"),
        path: path.to_owned(),
        object: object(u64::MAX),
        generation: 4_123_456_789,
        scope,
        above: vec![above()],
    }
}

fn above() -> Above {
    Above {
        object: object(2),
        generation: 4_123_456_780,
    }
}

fn policy(zone_type: ZoneType, network_mode: NetworkMode) -> Policy {
    Policy {
        allowed_zones: vec![party("host"), party("db"), party("k8s.prod:web_1")],
        allow_ptrace: true,
        zone_type,
        network_mode,
        allowed_egress_cidrs: vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()],
    }
}

fn register(policy: Option<Policy>, claims: Vec<ClaimFacts>) -> Command {
    Command::RegisterZone {
        zone: zone("web"),
        policy,
        claims,
        host_sockets: vec![],
    }
}

fn socket(path: &str, dev: u32, place: &str) -> SocketFacts {
    let place = Place::new(place).expect("is a place");
    SocketFacts {
        asked: format!("/var{path}"),
        path: path.to_owned(),
        socket: SocketKey { dev, place },
    }
}

/// Every variant, and every variant of what is in it, with all fields filled.
fn commands() -> Vec<Command> {
    vec![
        register(
            Some(policy(ZoneType::Standard, NetworkMode::Isolated)),
            vec![
                claim("/srv/web", Scope::Subtree),
                claim("/srv/ü", Scope::Exact),
            ],
        ),
        register(
            Some(policy(ZoneType::Privileged, NetworkMode::Bridged)),
            vec![],
        ),
        register(Some(policy(ZoneType::Isolated, NetworkMode::Host)), vec![]),
        register(None, vec![]),
        Command::RemoveZone {
            zone: zone("web"),
            drain: true,
        },
        Command::AttachContainer(Attach {
            container: "containerd://6f1c".to_owned(),
            zone: zone("web"),
            cgroup: CgroupId(0x0001_0000_0000_1234),
            cgroup_path: "/kubepods.slice/pod1/6f1c".to_owned(),
            pod: Pod {
                namespace: "prod".to_owned(),
                name: "web-0".to_owned(),
                uid: "5d3a".to_owned(),
            },
            source: "syva-k8s".to_owned(),
            generation: 7,
            unit_sockets: vec![],
        }),
        Command::DetachContainer {
            container: "containerd://6f1c".to_owned(),
            source: "syva-k8s".to_owned(),
            generation: 8,
        },
        Command::AllowComm {
            a: party("web"),
            b: party("db"),
        },
        Command::DenyComm {
            a: party("host"),
            b: party("web"),
        },
        Command::RegisterHostPath {
            zone: zone("db"),
            claim: claim("/srv/db", Scope::Exact),
        },
        Command::SetMode { mode: Mode::Audit },
        Command::SetMode {
            mode: Mode::Enforce,
        },
        Command::Boot {
            claims: vec![
                Reresolved {
                    path: "/srv/web".to_owned(),
                    found: Some((object(12), 1)),
                    above: vec![above()],
                },
                Reresolved {
                    path: "/srv/db".to_owned(),
                    found: None,
                    above: Vec::new(),
                },
            ],
            host_sockets: vec![],
        },
        Command::CgroupGone {
            container: "containerd://6f1c".to_owned(),
            cgroup: CgroupId(9),
        },
        Command::RemoveHostPath {
            zone: zone("db"),
            path: "/srv/ü".to_owned(),
        },
    ]
}

/// What was added for host sockets: behind everything older, whose payloads stay what they were.
fn of_host_sockets() -> Vec<Command> {
    let (bus, name) = (
        socket("/run/dbus/system_bus_socket", 24, "/dbus/system_bus_socket"),
        SocketFacts {
            asked: "@name".to_owned(),
            path: "@name".to_owned(),
            socket: SocketKey::of_abstract(Place::new("@name").expect("is a place")),
        },
    );
    let again = |path: &str, found| SocketReresolved {
        path: path.to_owned(),
        found,
    };
    vec![
        Command::AllowHostSocket {
            zone: zone("web"),
            socket: bus.clone(),
        },
        Command::AllowHostSocket {
            zone: zone("web"),
            socket: name.clone(),
        },
        Command::DenyHostSocket {
            zone: zone("web"),
            asked: "/var/run/dbus/system_bus_socket".to_owned(),
            path: bus.path.clone(),
        },
        Command::RegisterZone {
            zone: zone("web"),
            policy: Some(policy(ZoneType::Standard, NetworkMode::Host)),
            claims: vec![],
            host_sockets: vec![bus.clone(), name],
        },
        Command::AttachContainer(Attach {
            container: "nginx.service".to_owned(),
            zone: zone("web"),
            cgroup: CgroupId(77),
            cgroup_path: "/system.slice/nginx.service".to_owned(),
            pod: Pod::default(),
            source: "syva-cli".to_owned(),
            generation: 77,
            unit_sockets: vec![socket("/run/systemd/notify", 24, "/systemd/notify")],
        }),
        Command::Boot {
            claims: vec![],
            host_sockets: vec![
                again("/run/dbus/system_bus_socket", Some(bus.socket)),
                again("/mnt/gone", None),
            ],
        },
    ]
}

fn of_modes() -> Vec<Command> {
    let mode = |mode| Command::SetZoneMode {
        zone: zone("web"),
        mode,
    };
    vec![
        mode(Some(Mode::Audit)),
        mode(Some(Mode::Enforce)),
        mode(None),
    ]
}

/// What was added for retention, and for what is lost against one's will.
fn of_retention() -> Vec<Command> {
    let loss = |acknowledged| Command::AcceptLoss {
        acknowledged,
        because: "entry 4 is missing".into(),
    };
    vec![
        Command::Prune {
            up_to: 17,
            hash: Hash::of(b"the entry"),
            digest: Hash::of(b"the state"),
        },
        loss(Some(9)),
        loss(None),
    ]
}

/// What was added for claims whose paths lead elsewhere while the daemon runs.
fn of_paths() -> Vec<Command> {
    let lost = Unresolved {
        path: "/srv/db".to_owned(),
        because: "nothing is there".to_owned(),
    };
    vec![Command::Reresolve {
        found: vec![Reresolved {
            path: "/srv/web".to_owned(),
            found: Some((object(13), 2)),
            above: vec![above()],
        }],
        lost: vec![lost],
    }]
}

/// What was added for files that the host links out of claims.
fn of_links() -> Vec<Command> {
    let facts = |ino| LinkFacts {
        claim: "/srv/web".to_owned(),
        object: object(ino),
        generation: 3,
        name: "copy".to_owned(),
    };
    vec![Command::Link {
        made: vec![facts(14)],
        gone: vec![facts(15)],
    }]
}

fn all_commands() -> Vec<Command> {
    let later = [
        of_host_sockets(),
        of_modes(),
        of_retention(),
        of_paths(),
        of_links(),
    ];
    [commands(), later.concat()].concat()
}

fn written_today() -> Vec<Vec<u8>> {
    let mut head = Head::EMPTY;
    let mut payloads = Vec::new();
    for (number, command) in (0..).zip(all_commands()) {
        let peer = Peer {
            uid: 1000,
            gid: 998,
            pid: 4242,
            adapter: "syva-cli".to_owned(),
        };
        let boot = BootId(*b"boot 01234567890");
        let entry = head.next(1_764_000_000_000_000_000 + number, boot, peer, command);
        let payload = entry.encode().expect("encodes");
        head = head.after(&payload);
        payloads.push(payload);
    }
    payloads
}

fn golden(version: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(version)
        .join(file)
}

fn read(version: &str, file: &str) -> String {
    let path = golden(version, file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn to_hex(payloads: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for payload in payloads {
        for byte in payload {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Vec<Vec<u8>> {
    text.lines()
        .map(|line| {
            (0..line.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&line[at..at + 2], 16).expect("is hex"))
                .collect()
        })
        .collect()
}

fn decoded(payloads: &[Vec<u8>]) -> Vec<Record> {
    let mut head = Head::EMPTY;
    payloads
        .iter()
        .map(|payload| {
            let record = check(head, RawRecord::new(head, payload.clone()))
                .unwrap_or_else(|fault| panic!("entry {}: {fault}", head.seq + 1));
            head = record.head();
            record
        })
        .collect()
}

fn described(records: &[Record]) -> String {
    records
        .iter()
        .map(|record| format!("{:#?}\n", record.entry))
        .collect()
}

fn versions() -> Vec<String> {
    let mut versions: Vec<String> = std::fs::read_dir(golden("", ""))
        .expect("lists")
        .map(|item| {
            item.expect("lists")
                .file_name()
                .into_string()
                .expect("is text")
        })
        .collect();
    versions.sort();
    versions
}

#[test]
fn every_released_journal_decodes_to_what_it_said_then() {
    if std::env::var_os("SYVA_BLESS").is_some() {
        let payloads = written_today();
        std::fs::write(golden(CURRENT, "journal.hex"), to_hex(&payloads)).expect("writes");
        let text = described(&decoded(&payloads));
        std::fs::write(golden(CURRENT, "journal.txt"), text).expect("writes");
    }
    for version in versions() {
        let records = decoded(&from_hex(&read(&version, "journal.hex")));
        assert!(
            described(&records) == read(&version, "journal.txt"),
            "a journal of {version} means something else now"
        );
    }
}

#[test]
fn the_current_version_still_writes_the_same_bytes() {
    assert!(
        to_hex(&written_today()) == read(CURRENT, "journal.hex"),
        "the payload format changed: if it was released, add a golden version, else bless"
    );
    for payload in from_hex(&read(CURRENT, "journal.hex")) {
        let entry = Entry::decode(&payload).expect("decodes");
        assert_eq!(entry.encode().expect("encodes"), payload);
    }
}

#[test]
fn the_golden_journal_holds_every_kind_of_command() {
    let mut kinds: Vec<&str> = all_commands().iter().map(Command::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut listed = KINDS;
    listed.sort_unstable();
    assert_eq!(kinds, listed);
}

#[test]
fn the_golden_journal_can_be_appended_and_read_back() {
    for version in versions() {
        let dir = tempfile::tempdir().expect("a directory");
        let payloads = from_hex(&read(&version, "journal.hex"));
        let (mut journal, _) = Journal::open(dir.path()).expect("creates");
        journal.append(&payloads).expect("appends");
        drop(journal);
        let (journal, _) = Journal::open(dir.path()).expect("opens");
        let records = journal.reader().read(1, usize::MAX).expect("reads");
        assert_eq!(records, decoded(&payloads));
    }
}
