//! A pure engine for the tests: admits commands, makes entries of them and folds them.
#![allow(dead_code)] // each test binary uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use syva_model::admit::{Admission, Node, Refusal, RefusalKind, admit};
use syva_model::command::{Attach, BootId, ClaimFacts, Command, Pod, Policy, SocketFacts};
use syva_model::entry::{Entry, Hash, Peer};
use syva_model::fold::Reply;
use syva_model::host_socket::{Place, SocketKey};
use syva_model::image::{CgroupId, Image, MapWrite, ObjectKey, Scope};
use syva_model::kernel::Capacity;
use syva_model::name::{Party, ZoneName};
use syva_model::plan::plan;
use syva_model::project;
use syva_model::state::State;

pub const BOOT: BootId = BootId([1; 16]);

pub struct World {
    pub state: State,
    pub image: Image,
    pub node: Node,
    pub entries: Vec<Entry>,
    pub boot: BootId,
    /// The steps of the last command's plan.
    pub steps: Vec<MapWrite>,
}

impl World {
    pub fn new() -> World {
        let node = Node {
            capacity: Capacity {
                zones: 8,
                members: 8,
                claims: 8,
                pairs: 8,
                host_sockets: 8,
            },
            engine_paths: vec!["/var/lib/syva".into(), "/run/syva".into()],
            own_cgroup: "/system.slice/syva-core.service".into(),
            init_cgroup: "/init.scope".into(),
        };
        let mut world = World {
            state: State::default(),
            image: Image::default(),
            node,
            entries: Vec::new(),
            boot: BOOT,
            steps: Vec::new(),
        };
        world
            .run(Command::Boot {
                claims: vec![],
                host_sockets: vec![],
            })
            .expect("the first boot");
        world
    }

    pub fn run(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.steps.clear();
        if let Admission::Unchanged(reply) = admit(&self.state, &self.node, &command)? {
            return Ok(reply);
        }
        let entry = Entry {
            seq: self.state.seq() + 1,
            time_unix_ns: 1_764_000_000_000_000_000 + self.state.seq(),
            boot: self.boot,
            peer: Peer::default(),
            command,
            prev: self.state.head,
        };
        let hash = Hash::of(&entry.encode().expect("encodes"));
        let folded = self
            .state
            .fold(&entry, hash)
            .expect("an admitted command folds");
        let diff = project::update(&mut self.image, &self.state, &folded.touched);
        self.steps = plan(&diff);
        self.entries.push(entry);
        Ok(folded.reply)
    }

    pub fn replay(&self) -> State {
        let mut state = State::default();
        for entry in &self.entries {
            let payload = entry.encode().expect("encodes");
            let read = Entry::decode(&payload).expect("decodes");
            state.fold(&read, Hash::of(&payload)).expect("folds");
        }
        state
    }
}

pub fn zone(name: &str) -> ZoneName {
    ZoneName::new(name).expect("a zone name")
}

pub fn party(name: &str) -> Party {
    Party::new(name).expect("a party")
}

pub fn register(name: &str) -> Command {
    Command::RegisterZone {
        zone: zone(name),
        policy: None,
        claims: vec![],
        host_sockets: vec![],
    }
}

pub fn with_policy(name: &str, allowed: &[&str], claims: Vec<ClaimFacts>) -> Command {
    let allowed_zones = allowed.iter().map(|name| party(name)).collect();
    let policy = Some(Policy {
        allowed_zones,
        ..Policy::default()
    });
    Command::RegisterZone {
        zone: zone(name),
        policy,
        claims,
        host_sockets: vec![],
    }
}

pub fn remove(name: &str, drain: bool) -> Command {
    Command::RemoveZone {
        zone: zone(name),
        drain,
    }
}

pub fn attach(container: &str, name: &str, cgroup: u64, generation: u64) -> Command {
    Command::AttachContainer(Attach {
        container: container.into(),
        zone: zone(name),
        cgroup: CgroupId(cgroup),
        cgroup_path: format!("/containers/{cgroup}"),
        pod: Pod::default(),
        source: "test".into(),
        generation,
        unit_sockets: vec![],
    })
}

/// As [`attach`], of a systemd service unit.
pub fn attach_unit(container: &str, name: &str, cgroup: u64, sockets: Vec<SocketFacts>) -> Command {
    let Command::AttachContainer(attach) = attach(container, name, cgroup, cgroup) else {
        unreachable!("it is one");
    };
    Command::AttachContainer(Attach {
        unit_sockets: sockets,
        ..attach
    })
}

pub fn socket(path: &str, dev: u32) -> SocketFacts {
    let place = Place::new(path).expect("a place");
    SocketFacts {
        asked: path.into(),
        path: path.into(),
        socket: match place.is_abstract() {
            true => SocketKey::of_abstract(place),
            false => SocketKey { dev, place },
        },
    }
}

pub fn allow_socket(name: &str, socket: SocketFacts) -> Command {
    Command::AllowHostSocket {
        zone: zone(name),
        socket,
    }
}

pub fn deny_socket(name: &str, path: &str) -> Command {
    Command::DenyHostSocket {
        zone: zone(name),
        asked: path.into(),
        path: path.into(),
    }
}

pub fn with_sockets(name: &str, host_sockets: Vec<SocketFacts>) -> Command {
    Command::RegisterZone {
        zone: zone(name),
        policy: Some(Policy::default()),
        claims: vec![],
        host_sockets,
    }
}

pub fn detach(container: &str, generation: u64) -> Command {
    Command::DetachContainer {
        container: container.into(),
        source: "test".into(),
        generation,
    }
}

pub fn allow(a: &str, b: &str) -> Command {
    Command::AllowComm {
        a: party(a),
        b: party(b),
    }
}

pub fn deny(a: &str, b: &str) -> Command {
    Command::DenyComm {
        a: party(a),
        b: party(b),
    }
}

pub fn object(ino: u64) -> ObjectKey {
    ObjectKey {
        dev: 0x80_0001,
        ino,
        subvol: 0,
    }
}

pub fn facts(path: &str, ino: u64, scope: Scope) -> ClaimFacts {
    ClaimFacts {
        asked: path.into(),
        path: path.into(),
        object: object(ino),
        generation: 1,
        scope,
        above: Vec::new(),
    }
}

pub fn claim(name: &str, path: &str, ino: u64) -> Command {
    Command::RegisterHostPath {
        zone: zone(name),
        claim: facts(path, ino, Scope::Subtree),
    }
}

pub fn unclaim(name: &str, path: &str) -> Command {
    Command::RemoveHostPath {
        zone: zone(name),
        path: path.into(),
    }
}

/// It is refused, as that kind of refusal, in words that name the reason.
pub fn refused(outcome: Result<Reply, Refusal>, kind: RefusalKind, word: &str) {
    let refusal = outcome.expect_err("refused");
    assert_eq!(refusal.kind, kind, "{refusal}");
    assert!(
        refusal.message.contains(word),
        "{refusal} should say {word:?}"
    );
}

/// Two zones, a container in each.
pub fn two_zones() -> World {
    let mut world = World::new();
    for command in [
        register("web"),
        register("db"),
        attach("c1", "web", 101, 0),
        attach("c2", "db", 102, 5),
    ] {
        world.run(command).expect("admitted");
    }
    world
}
