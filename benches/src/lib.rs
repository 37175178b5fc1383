//! What the benchmarks measure on: a journal's head that commands are admitted, folded and projected
//! behind, as the daemon's ledger does it, without a disk and without a kernel.
#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark's liberty")]

pub mod programs;

use syva_model::admit::{Admission, Node, admit};
use syva_model::command::{Attach, BootId, ClaimFacts, Command, Pod};
use syva_model::entry::{Entry, Hash, Peer};
use syva_model::image::{CgroupId, Image, MapWrite, ObjectKey, Scope};
use syva_model::kernel::Capacity;
use syva_model::name::{Party, ZoneName};
use syva_model::plan::plan;
use syva_model::project;
use syva_model::state::State;

/// A state and its desired image.
pub struct Bench {
    node: Node,
    /// What the commands so far have led to.
    pub state: State,
    image: Image,
}

impl Default for Bench {
    fn default() -> Self {
        let mut bench = Bench::empty();
        bench.run(Command::Boot {
            claims: Vec::new(),
            host_sockets: Vec::new(),
        });
        bench
    }
}

impl Bench {
    /// Nothing, not even a boot.
    fn empty() -> Bench {
        let node = Node {
            capacity: Capacity {
                zones: 20_000,
                ..Capacity::default()
            },
            engine_paths: vec!["/var/lib/syva".into(), "/run/syva".into()],
            own_cgroup: "/system.slice/syva-core.service".into(),
            init_cgroup: "/init.scope".into(),
        };
        Bench {
            node,
            state: State::default(),
            image: Image::default(),
        }
    }

    /// A node with so many zones, members and claims, every zone having an allowed pair.
    pub fn with(zones: usize, members: usize, claims: usize) -> Bench {
        let mut bench = Bench::default();
        for n in 0..zones {
            bench.run(register(n));
        }
        for n in 1..zones {
            bench.run(allow(n - 1, n));
        }
        for n in 0..members {
            bench.run(attach(n, n % zones));
        }
        for n in 0..claims {
            bench.run(claim(n, n % zones));
        }
        bench
    }

    /// The entry for a command, and its payload.
    pub fn entry(&self, command: Command) -> (Entry, Vec<u8>) {
        let entry = Entry {
            seq: self.state.seq() + 1,
            time_unix_ns: 1_764_000_000_000_000_000 + self.state.seq(),
            boot: BootId([7; 16]),
            peer: Peer {
                uid: 0,
                gid: 0,
                pid: 4242,
                adapter: "syva-k8s".into(),
            },
            command,
            prev: self.state.head,
        };
        let payload = entry.encode().expect("encodes");
        (entry, payload)
    }

    /// Admits a command, makes an entry of it, folds that, and plans the map writes.
    pub fn run(&mut self, command: Command) -> Vec<MapWrite> {
        let admitted = admit(&self.state, &self.node, &command);
        assert!(matches!(admitted, Ok(Admission::Append)), "{admitted:?}");
        let (entry, payload) = self.entry(command);
        let folded = self.state.fold(&entry, Hash::of(&payload)).expect("folds");
        let diff = project::update(&mut self.image, &self.state, &folded.touched);
        plan(&diff)
    }
}

fn zone(n: usize) -> ZoneName {
    ZoneName::new(format!("tenant-{n}")).expect("is a name")
}

/// Creates a zone.
pub fn register(n: usize) -> Command {
    Command::RegisterZone {
        zone: zone(n),
        policy: None,
        claims: Vec::new(),
        host_sockets: Vec::new(),
    }
}

/// Opens a pair.
pub fn allow(a: usize, b: usize) -> Command {
    let (a, b) = (Party::Zone(zone(a)), Party::Zone(zone(b)));
    Command::AllowComm { a, b }
}

/// Closes it.
pub fn deny(a: usize, b: usize) -> Command {
    let (a, b) = (Party::Zone(zone(a)), Party::Zone(zone(b)));
    Command::DenyComm { a, b }
}

/// Attaches a container as an orchestrator does: the commonest command.
pub fn attach(n: usize, to: usize) -> Command {
    Command::AttachContainer(Attach {
        container: format!("containerd://{n:064x}"),
        zone: zone(to),
        cgroup: CgroupId(n as u64 + 1000),
        cgroup_path: format!("/kubepods.slice/kubepods-pod{to:032x}.slice/{n:064x}"),
        pod: Pod::default(),
        source: "syva-k8s".into(),
        generation: 0,
        unit_sockets: Vec::new(),
    })
}

/// Detaches it.
pub fn detach(n: usize) -> Command {
    Command::DetachContainer {
        container: format!("containerd://{n:064x}"),
        source: "syva-k8s".into(),
        generation: 0,
    }
}

/// Claims a directory.
pub fn claim(n: usize, of: usize) -> Command {
    let path = format!("/srv/tenants/{of}/volumes/{n}");
    let object = ObjectKey {
        dev: 8 << 20 | 1,
        ino: n as u64 + 12,
        subvol: 0,
    };
    Command::RegisterHostPath {
        zone: zone(of),
        claim: ClaimFacts {
            asked: path.clone(),
            path,
            object,
            generation: 1,
            scope: Scope::Subtree,
            above: Vec::new(),
        },
    }
}

/// Removes a zone and what it has claimed.
pub fn remove(n: usize) -> Command {
    Command::RemoveZone {
        zone: zone(n),
        drain: false,
    }
}

/// How many zones of a [`history`] live at once: half of what a node takes unless it is told otherwise.
const LIVING: usize = 5_000;

/// Payloads of a journal with so many entries behind the boot's, as zones come and go: each is
/// registered, paired with the one before it, claims two directories and is attached four containers,
/// and goes, its containers first, when [`LIVING`] have come after it.
pub fn history(entries: usize) -> Vec<Vec<u8>> {
    let mut bench = Bench::empty();
    let boot = Command::Boot {
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    let life = (0..).flat_map(|zone: usize| coming(zone).chain(going(zone.checked_sub(LIVING))));
    let commands = std::iter::once(boot).chain(life.take(entries));
    commands
        .map(|command| {
            let payload = bench.entry(command.clone()).1;
            bench.run(command);
            payload
        })
        .collect()
}

fn coming(zone: usize) -> impl Iterator<Item = Command> {
    let pair = zone.checked_sub(1).map(|before| allow(zone, before));
    std::iter::once(register(zone))
        .chain(pair)
        .chain((2 * zone..2 * zone + 2).map(move |n| claim(n, zone)))
        .chain((4 * zone..4 * zone + 4).map(move |n| attach(n, zone)))
}

fn going(zone: Option<usize>) -> impl Iterator<Item = Command> {
    zone.into_iter()
        .flat_map(|zone| (4 * zone..4 * zone + 4).map(detach).chain([remove(zone)]))
}

/// Folds payloads as a start does: each hashed, decoded and folded.
pub fn replay(payloads: &[Vec<u8>]) -> State {
    let mut state = State::default();
    for payload in payloads {
        let entry = Entry::decode(payload).expect("decodes");
        state.fold(&entry, Hash::of(payload)).expect("folds");
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_folds_to_what_it_was_made_from() {
        let state = replay(&history(7 + 8 * 99));
        assert_eq!(state.seq(), 1 + 7 + 8 * 99);
        assert_eq!(state.zones.len(), 100);
        assert_eq!(state.members.len(), 400);
        assert_eq!(state.claims.len(), 200);
    }

    #[test]
    fn a_long_history_holds_as_many_zones_as_live_at_once() {
        // The first zone has no pair; each later one brings eight commands, and five that take an older one.
        let state = replay(&history(7 + 8 * (LIVING - 1) + 13 * 1000));
        assert_eq!(state.zones.len(), LIVING);
    }
}
