//! Random commands, many of them refused, as from careless clients; and the files they claim.

use syva_model::command::{
    Above, Attach, ClaimFacts, Command, LinkFacts, Pod, Policy, Reresolved, SocketFacts,
    SocketReresolved, Unresolved, ZoneType,
};
use syva_model::host_socket::{Place, SocketKey};
use syva_model::image::{CgroupId, Mode, ObjectKey, Scope};
use syva_model::name::{Party, ZoneName};
use syva_model::state::State;

use crate::odds::Odds;
use crate::reach::is_below;

const ZONES: [&str; 3] = ["web", "db", "cache"];
const PARTIES: [&str; 4] = ["web", "db", "cache", "host"];
const CONTAINERS: [&str; 3] = ["c0", "c1", "c2"];
/// Each of the first three lies below the one before.
pub const PATHS: [&str; 4] = ["/srv", "/srv/a", "/srv/a/b", "/opt"];
const SOCKETS: [&str; 3] = ["/run/a", "/run/b", "@name"];

/// Which object is at each path now.
#[derive(Clone, Default)]
pub struct Files(pub [u64; PATHS.len()]);

impl Files {
    pub fn object(&self, path: usize) -> ObjectKey {
        ObjectKey {
            dev: 0x80_0001,
            // What lies deeper has the lower number: keys are in no order of depth.
            ino: (PATHS.len() - path) as u64 + 10 * self.0[path],
            subvol: 0,
        }
    }

    /// The directories above a path, nearest first.
    fn above(&self, path: usize) -> Vec<Above> {
        let above = (0..path).rev().filter(|n| is_below(PATHS[path], PATHS[*n]));
        above
            .map(|n| Above {
                object: self.object(n),
                generation: 1,
            })
            .collect()
    }
}

pub fn socket(n: usize) -> SocketFacts {
    let place = Place::new(SOCKETS[n]).expect("a place");
    SocketFacts {
        asked: SOCKETS[n].into(),
        path: SOCKETS[n].into(),
        socket: match place.is_abstract() {
            true => SocketKey::of_abstract(place),
            false => SocketKey { dev: 24, place },
        },
    }
}

/// Every socket.
pub fn sockets() -> impl Iterator<Item = SocketKey> {
    (0..SOCKETS.len()).map(|n| socket(n).socket)
}

fn zone(odds: &Odds) -> ZoneName {
    ZoneName::new(odds.pick(&ZONES)).expect("a name")
}

fn party(odds: &Odds) -> Party {
    Party::new(odds.pick(&PARTIES)).expect("a party")
}

fn facts(odds: &Odds, files: &Files) -> ClaimFacts {
    let path = odds.below(PATHS.len());
    let scope = odds.pick(&[Scope::Subtree, Scope::Subtree, Scope::Exact]);
    facts_of(files, path, scope)
}

fn facts_of(files: &Files, path: usize, scope: Scope) -> ClaimFacts {
    ClaimFacts {
        asked: PATHS[path].into(),
        path: PATHS[path].into(),
        object: files.object(path),
        generation: 1,
        scope,
        above: files.above(path),
    }
}

fn register(odds: &Odds, files: &Files) -> Command {
    let with_policy = odds.percent(60);
    let claims = odds.below(3);
    let mut claims: Vec<_> = (0..claims).map(|_| facts(odds, files)).collect();
    claims.dedup_by(|a, b| a.path == b.path);
    let policy = Policy {
        zone_type: odds.pick(&[ZoneType::Standard, ZoneType::Standard, ZoneType::Privileged]),
        allowed_zones: (0..odds.below(3)).map(|_| party(odds)).collect(),
        allow_ptrace: odds.percent(30),
        ..Policy::default()
    };
    Command::RegisterZone {
        zone: zone(odds),
        policy: with_policy.then_some(policy),
        claims: if with_policy { claims } else { Vec::new() },
        host_sockets: match with_policy && odds.percent(30) {
            true => vec![socket(odds.below(SOCKETS.len()))],
            false => Vec::new(),
        },
    }
}

fn attach(container: &str, zone: ZoneName, path: &str, cgroup: CgroupId) -> Attach {
    Attach {
        container: container.into(),
        zone,
        cgroup,
        cgroup_path: path.into(),
        pod: Pod::default(),
        source: "simulation".into(),
        generation: 0,
        unit_sockets: Vec::new(),
    }
}

/// What makes two zones of the two cgroups `/a` and `/b`, one with a claim.
pub fn furniture(files: &Files, a: CgroupId, b: CgroupId) -> Vec<Command> {
    let name = |name| ZoneName::new(name).expect("a name");
    let register = |zone| Command::RegisterZone {
        zone,
        policy: None,
        claims: Vec::new(),
        host_sockets: Vec::new(),
    };
    vec![
        register(name("web")),
        register(name("db")),
        Command::AttachContainer(attach("c0", name("web"), "/a", a)),
        Command::AttachContainer(attach("c1", name("db"), "/b", b)),
        Command::RegisterHostPath {
            zone: name("db"),
            claim: facts_of(files, 1, Scope::Subtree),
        },
    ]
}

/// One command, of cgroups that are there.
pub fn any(odds: &Odds, files: &Files, state: &State, cgroups: &[(String, CgroupId)]) -> Command {
    let container = || odds.pick(&CONTAINERS).to_owned();
    match odds.below(17) {
        0 | 1 => register(odds, files),
        2 => Command::RemoveZone {
            zone: zone(odds),
            drain: odds.percent(50),
        },
        3..=5 if !cgroups.is_empty() => {
            let (path, cgroup) = cgroups[odds.below(cgroups.len())].clone();
            Command::AttachContainer(Attach {
                generation: odds.below(4) as u64,
                unit_sockets: match odds.percent(20) {
                    true => vec![socket(0)],
                    false => Vec::new(),
                },
                ..attach(&container(), zone(odds), &path, cgroup)
            })
        }
        3..=6 => Command::DetachContainer {
            container: container(),
            source: "simulation".into(),
            generation: odds.below(5) as u64,
        },
        7 => Command::AllowComm {
            a: party(odds),
            b: party(odds),
        },
        8 => Command::DenyComm {
            a: party(odds),
            b: party(odds),
        },
        9 => Command::RegisterHostPath {
            zone: zone(odds),
            claim: facts(odds, files),
        },
        10 => Command::RemoveHostPath {
            zone: zone(odds),
            path: odds.pick(&PATHS).into(),
        },
        11 => Command::SetMode {
            mode: odds.pick(&[Mode::Enforce, Mode::Audit]),
        },
        12 => Command::SetZoneMode {
            zone: zone(odds),
            mode: odds.pick(&[None, Some(Mode::Enforce), Some(Mode::Audit)]),
        },
        13 => reresolve(odds, files, state),
        14 => link(odds, state),
        15 => Command::AllowHostSocket {
            zone: zone(odds),
            socket: socket(odds.below(SOCKETS.len())),
        },
        _ => {
            let path = odds.pick(&SOCKETS).to_owned();
            Command::DenyHostSocket {
                zone: zone(odds),
                asked: path.clone(),
                path,
            }
        }
    }
}

/// A command that changes something whatever the state.
pub fn flip(state: &State) -> Command {
    Command::SetMode {
        mode: match state.mode {
            Mode::Enforce => Mode::Audit,
            Mode::Audit => Mode::Enforce,
        },
    }
}

/// What a look at the claims' paths finds while the daemon runs: of some of them, where they lead now.
fn reresolve(odds: &Odds, files: &Files, state: &State) -> Command {
    let held = state.claims.values().map(|claim| &claim.path);
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for path in held.chain(state.lost.keys()) {
        let at = PATHS.iter().position(|known| known == path);
        match at.filter(|_| odds.percent(70)) {
            Some(n) if odds.percent(80) => found.push(Reresolved {
                path: path.clone(),
                found: Some((files.object(n), 1)),
                above: files.above(n),
            }),
            Some(_) => lost.push(Unresolved {
                path: path.clone(),
                because: "the simulation".into(),
            }),
            None => {}
        }
    }
    Command::Reresolve { found, lost }
}

/// What the kernel notes of claims' files: some have names outside, some that had are gone.
fn link(odds: &Odds, state: &State) -> Command {
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    for (key, claim) in &state.claims {
        let facts = LinkFacts {
            claim: claim.path.clone(),
            object: ObjectKey {
                ino: 1000 + odds.below(3) as u64,
                ..*key
            },
            generation: odds.below(2) as u64,
            name: "name".into(),
        };
        match odds.below(3) {
            0 => made.push(facts),
            1 => gone.push(facts),
            _ => {}
        }
    }
    Command::Link { made, gone }
}

/// What a new boot finds at every path that the state names; some are gone, some are other objects.
pub fn boot(odds: &Odds, files: &Files, state: &State) -> Command {
    let held = state.claims.values().map(|claim| &claim.path);
    let claims = held.chain(state.lost.keys()).map(|path| {
        let at = PATHS.iter().position(|known| known == path);
        let found = at.filter(|_| odds.percent(80));
        Reresolved {
            path: path.clone(),
            found: found.map(|n| (files.object(n), 1)),
            above: found.map_or_else(Vec::new, |n| files.above(n)),
        }
    });
    let given = state.host_sockets.values().map(|given| &given.path);
    let lost = state.lost_sockets.iter().map(|lost| &lost.given.path);
    let host_sockets = given.chain(lost).map(|path| {
        let at = SOCKETS.iter().position(|known| known == path);
        let found = at.filter(|n| *n == 2 || odds.percent(80));
        SocketReresolved {
            path: path.clone(),
            found: found.map(|n| socket(n).socket),
        }
    });
    Command::Boot {
        claims: claims.collect(),
        host_sockets: host_sockets.collect(),
    }
}
