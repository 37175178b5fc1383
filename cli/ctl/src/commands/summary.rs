//! A journaled command in words, and the zones it is about.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use syva_model::command::{
    Attach, ClaimFacts, Command, LinkFacts, Policy, Reresolved, SocketFacts, Unresolved, ZoneType,
};
use syva_model::image::{Mode, Scope, ZoneId};
use syva_model::name::{Party, ZoneName};
use syva_model::state::State;

/// The command in one line.
pub fn summary(command: &Command) -> String {
    match command {
        Command::RegisterZone {
            zone,
            policy,
            claims,
            host_sockets,
        } => register_zone(zone, policy.as_ref(), claims, host_sockets),
        Command::RemoveZone { zone, drain: true } => {
            format!("zone {zone}, when its last container goes")
        }
        Command::RemoveZone { zone, drain: false } => format!("zone {zone}, at once"),
        Command::AttachContainer(attach) => attach_container(attach),
        Command::DetachContainer {
            container,
            source,
            generation,
        } => format!("container {container}{}", stamp(source, *generation)),
        Command::AllowComm { a, b } | Command::DenyComm { a, b } => format!("{a} and {b}"),
        Command::RegisterHostPath { zone, claim } => {
            format!("zone {zone}: {}, object {}", reach(claim), claim.object)
        }
        Command::RemoveHostPath { zone, path } => format!("zone {zone}: {path}"),
        Command::SetMode { mode } => format!("mode {}", mode.name()),
        Command::SetZoneMode { zone, mode } => {
            let mode = mode.map_or("the node's", Mode::name);
            format!("zone {zone}: mode {mode}")
        }
        Command::Boot {
            claims,
            host_sockets,
        } => {
            let lost = claims.iter().filter(|claim| claim.found.is_none()).count();
            let mut said = format!(
                "a new boot: memberships are void, {} claims found, {lost} lost",
                claims.len() - lost
            );
            let lost = host_sockets.iter().filter(|again| again.found.is_none());
            if !host_sockets.is_empty() {
                let lost = lost.count();
                let found = host_sockets.len() - lost;
                let _ = write!(said, ", {found} host sockets found, {lost} lost");
            }
            said
        }
        Command::Reresolve { found, lost } => reresolve(found, lost),
        Command::Link { made, gone } => link(made, gone),
        Command::AllowHostSocket { zone, socket } => {
            format!(
                "zone {zone}: {}, socket {}",
                socket_path(socket),
                socket.socket
            )
        }
        Command::DenyHostSocket { zone, path, .. } => format!("zone {zone}: {path}"),
        Command::CgroupGone { container, cgroup } => {
            format!("container {container}: its cgroup {cgroup} is gone")
        }
        Command::Prune { up_to, .. } => format!("entries up to {up_to}, for good"),
        Command::AcceptLoss {
            acknowledged,
            because,
        } => match acknowledged {
            Some(last) => format!("entry {last} had been acknowledged: {because}"),
            None => because.clone(),
        },
    }
}

/// How many claims or files are named one by one.
const NAMED: usize = 4;

/// The first of them, and how many more there are.
fn named(all: &[String], of: &str) -> String {
    let mut said = all.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if all.len() > NAMED {
        said.push(format!("and {} {of} more", all.len() - NAMED));
    }
    said.join("; ")
}

fn link(made: &[LinkFacts], gone: &[LinkFacts]) -> String {
    let made = made.iter().map(|facts| {
        format!(
            "object {} of {} has a name outside: {}",
            facts.object, facts.claim, facts.name
        )
    });
    let gone = gone.iter();
    let gone = gone.map(|facts| format!("object {} of {} is gone", facts.object, facts.claim));
    named(&made.chain(gone).collect::<Vec<_>>(), "files")
}

fn reresolve(found: &[Reresolved], lost: &[Unresolved]) -> String {
    let found = found.iter().map(|again| match again.found {
        Some((object, _)) => format!("{} is object {object}", again.path),
        None => format!("{} is lost", again.path),
    });
    let lost = lost.iter();
    let lost = lost.map(|lost| format!("{} is lost: {}", lost.path, lost.because));
    named(&found.chain(lost).collect::<Vec<_>>(), "claims")
}

fn register_zone(
    zone: &ZoneName,
    policy: Option<&Policy>,
    claims: &[ClaimFacts],
    host_sockets: &[SocketFacts],
) -> String {
    let Some(policy) = policy else {
        return format!("zone {zone}, its policy left as it is");
    };
    let kind = match policy.zone_type {
        ZoneType::Standard => "standard",
        ZoneType::Privileged => "privileged",
        ZoneType::Isolated => "isolated",
    };
    let mut said = format!(
        "zone {zone}: {kind}, network {}",
        policy.network_mode.name()
    );
    if policy.allow_ptrace {
        said.push_str(", ptrace inside");
    }
    append(
        &mut said,
        "allows",
        policy.allowed_zones.iter().map(Party::to_string),
    );
    append(
        &mut said,
        "egress",
        policy.allowed_egress_cidrs.iter().cloned(),
    );
    append(&mut said, "claims", claims.iter().map(reach));
    append(
        &mut said,
        "host sockets",
        host_sockets.iter().map(socket_path),
    );
    said
}

fn append(said: &mut String, what: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if !items.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(said, ", {what} {}", items.join(" "));
    }
}

fn reach(claim: &ClaimFacts) -> String {
    let below = match claim.scope {
        Scope::Exact => "",
        Scope::Subtree => "/**",
    };
    if claim.asked == claim.path {
        format!("{}{below}", claim.path)
    } else {
        format!("{}{below} (asked for as {})", claim.path, claim.asked)
    }
}

fn socket_path(facts: &SocketFacts) -> String {
    if facts.asked == facts.path {
        return facts.path.clone();
    }
    format!("{} (asked for as {})", facts.path, facts.asked)
}

fn attach_container(attach: &Attach) -> String {
    let mut said = format!(
        "container {} into zone {}, cgroup {} ({})",
        attach.container, attach.zone, attach.cgroup, attach.cgroup_path
    );
    if !attach.pod.name.is_empty() {
        let _ = write!(said, ", pod {}/{}", attach.pod.namespace, attach.pod.name);
    }
    said.push_str(&stamp(&attach.source, attach.generation));
    let sockets = attach.unit_sockets.iter().map(|facts| facts.path.clone());
    append(&mut said, "a service unit, which may use", sockets);
    said
}

fn stamp(source: &str, generation: u64) -> String {
    let mut said = String::new();
    if !source.is_empty() {
        let _ = write!(said, ", source {source}");
    }
    if generation != 0 {
        let _ = write!(said, ", generation {generation}");
    }
    said
}

/// Which zone each container was last put into, and which zone last claimed each path: entries about a
/// container, or about claims that were looked up again, name no zone.
#[derive(Debug, Default)]
pub struct Whereabouts {
    containers: BTreeMap<String, ZoneName>,
    paths: BTreeMap<String, ZoneName>,
}

impl Whereabouts {
    /// Where a state's containers are, and whose its claims.
    pub fn of(state: &State) -> Whereabouts {
        let name = |zone: ZoneId| ZoneName::new(state.zone_label(zone)).ok();
        let members = state.members.iter();
        let containers = members.filter_map(|(id, it)| Some((id.clone(), name(it.zone)?)));
        let claims = state.claims.values().chain(state.lost.values());
        let paths = claims.filter_map(|claim| Some((claim.path.clone(), name(claim.zone)?)));
        Whereabouts {
            containers: containers.collect(),
            paths: paths.collect(),
        }
    }

    fn learn_claims(&mut self, zone: &ZoneName, claims: &[ClaimFacts]) {
        let claimed = claims.iter();
        let claimed = claimed.map(|claim| (claim.path.clone(), zone.clone()));
        self.paths.extend(claimed);
    }

    /// Whether the command is about the zone: it names it, or a container that was put into it by a
    /// command seen before.
    pub fn concerns(&mut self, command: &Command, zone: &str) -> bool {
        let named = |name: &ZoneName| name.as_str() == zone;
        let side = |party: &Party| match party {
            Party::Host => zone == syva_model::name::HOST,
            Party::Zone(name) => named(name),
        };
        match command {
            Command::RegisterZone {
                zone: registered,
                policy,
                claims,
                ..
            } => {
                self.learn_claims(registered, claims);
                let allows = policy.iter().flat_map(|policy| &policy.allowed_zones);
                named(registered) || allows.into_iter().any(side)
            }
            Command::RemoveZone { zone: it, .. }
            | Command::RemoveHostPath { zone: it, .. }
            | Command::SetZoneMode { zone: it, .. }
            | Command::AllowHostSocket { zone: it, .. }
            | Command::DenyHostSocket { zone: it, .. } => named(it),
            Command::RegisterHostPath { zone: it, claim } => {
                self.learn_claims(it, std::slice::from_ref(claim));
                named(it)
            }
            Command::Reresolve { found, lost } => {
                let found = found.iter().map(|again| &again.path);
                let mut paths = found.chain(lost.iter().map(|lost| &lost.path));
                paths.any(|path| self.paths.get(path).is_some_and(named))
            }
            Command::Link { made, gone } => {
                let mut paths = made.iter().chain(gone).map(|facts| &facts.claim);
                paths.any(|path| self.paths.get(path).is_some_and(named))
            }
            Command::AttachContainer(attach) => {
                let before = self
                    .containers
                    .insert(attach.container.clone(), attach.zone.clone());
                named(&attach.zone) || before.is_some_and(|zone| named(&zone))
            }
            Command::DetachContainer { container, .. } | Command::CgroupGone { container, .. } => {
                self.containers
                    .remove(container)
                    .is_some_and(|zone| named(&zone))
            }
            Command::AllowComm { a, b } | Command::DenyComm { a, b } => side(a) || side(b),
            Command::Boot { .. } => {
                // Its memberships are void.
                let had = self.containers.values().any(named);
                self.containers.clear();
                had
            }
            Command::SetMode { .. } | Command::Prune { .. } | Command::AcceptLoss { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use syva_model::command::{NetworkMode, Pod, SocketReresolved};
    use syva_model::host_socket::{Place, SocketKey};
    use syva_model::image::{CgroupId, Mode, ObjectKey};

    use super::*;

    fn zone(name: &str) -> ZoneName {
        ZoneName::new(name).expect("valid")
    }

    fn linked(name: &str) -> LinkFacts {
        LinkFacts {
            claim: "/srv/web".into(),
            object: ObjectKey {
                dev: 8 << 20 | 1,
                ino: 42,
                subvol: 0,
            },
            generation: 7,
            name: name.into(),
        }
    }

    fn attach(name: &str) -> Command {
        Command::AttachContainer(Attach {
            container: "c1".into(),
            zone: zone(name),
            cgroup: CgroupId(7),
            cgroup_path: "/pods/c1".into(),
            pod: Pod {
                namespace: "ns".into(),
                name: "p".into(),
                uid: String::new(),
            },
            source: "syva-k8s".into(),
            generation: 3,
            unit_sockets: vec![],
        })
    }

    fn claim(asked: &str, scope: Scope) -> ClaimFacts {
        ClaimFacts {
            asked: asked.into(),
            path: "/srv/web".into(),
            object: ObjectKey {
                dev: 8 << 20 | 1,
                ino: 42,
                subvol: 0,
            },
            generation: 0,
            scope,
            above: Vec::new(),
        }
    }

    fn socket(asked: &str) -> SocketFacts {
        SocketFacts {
            asked: asked.into(),
            path: "/run/s".into(),
            socket: SocketKey {
                dev: 24,
                place: Place::new("/s").expect("valid"),
            },
        }
    }

    #[test]
    fn every_kind_reads_as_a_sentence_would() {
        let (web, db) = (Party::Zone(zone("web")), Party::Zone(zone("db")));
        let policy = Policy {
            allowed_zones: vec![Party::Host, db.clone()],
            allow_ptrace: true,
            network_mode: NetworkMode::Bridged,
            ..Policy::default()
        };
        let found = Some((claim("/", Scope::Exact).object, 0));
        let table = [
            (
                Command::RegisterZone {
                    zone: zone("web"),
                    policy: Some(policy),
                    claims: vec![claim("/srv/web", Scope::Subtree)],
                    host_sockets: vec![socket("/run/s")],
                },
                "zone web: standard, network bridged, ptrace inside, allows host db, claims /srv/web/**, \
                 host sockets /run/s",
            ),
            (
                Command::RegisterZone {
                    zone: zone("web"),
                    policy: None,
                    claims: vec![],
                    host_sockets: vec![],
                },
                "zone web, its policy left as it is",
            ),
            (
                attach("web"),
                "container c1 into zone web, cgroup 7 (/pods/c1), pod ns/p, source syva-k8s, generation 3",
            ),
            (
                Command::DetachContainer {
                    container: "c1".into(),
                    source: String::new(),
                    generation: 0,
                },
                "container c1",
            ),
            (Command::AllowComm { a: web, b: db }, "web and db"),
            (
                Command::RegisterHostPath {
                    zone: zone("web"),
                    claim: claim("/link", Scope::Exact),
                },
                "zone web: /srv/web (asked for as /link), object 8:1/42",
            ),
            (
                Command::RemoveHostPath {
                    zone: zone("web"),
                    path: "/srv/web".into(),
                },
                "zone web: /srv/web",
            ),
            (Command::SetMode { mode: Mode::Audit }, "mode audit"),
            (
                Command::SetZoneMode {
                    zone: zone("web"),
                    mode: Some(Mode::Audit),
                },
                "zone web: mode audit",
            ),
            (
                Command::SetZoneMode {
                    zone: zone("web"),
                    mode: None,
                },
                "zone web: mode the node's",
            ),
            (
                Command::Boot {
                    claims: [found, None]
                        .map(|found| Reresolved {
                            path: "/p".into(),
                            found,
                            above: Vec::new(),
                        })
                        .into(),
                    host_sockets: vec![],
                },
                "a new boot: memberships are void, 1 claims found, 1 lost",
            ),
            (
                Command::Boot {
                    claims: vec![],
                    host_sockets: vec![SocketReresolved {
                        path: "/run/s".into(),
                        found: None,
                    }],
                },
                "a new boot: memberships are void, 0 claims found, 0 lost, 0 host sockets found, 1 lost",
            ),
            (
                Command::Reresolve {
                    found: vec![Reresolved {
                        path: "/p".into(),
                        found,
                        above: Vec::new(),
                    }],
                    lost: vec![Unresolved {
                        path: "/q".into(),
                        because: "nothing is there".into(),
                    }],
                },
                "/p is object 8:1/42; /q is lost: nothing is there",
            ),
            (
                Command::Reresolve {
                    found: Vec::new(),
                    lost: ["/a", "/b", "/c", "/d", "/e", "/f"]
                        .map(|path| Unresolved {
                            path: path.into(),
                            because: "gone".into(),
                        })
                        .into(),
                },
                "/a is lost: gone; /b is lost: gone; /c is lost: gone; /d is lost: gone; and 2 claims more",
            ),
            (
                Command::Link {
                    made: vec![linked("copy")],
                    gone: vec![linked("other")],
                },
                "object 8:1/42 of /srv/web has a name outside: copy; object 8:1/42 of /srv/web is gone",
            ),
            (
                Command::AllowHostSocket {
                    zone: zone("web"),
                    socket: socket("/var/run/s"),
                },
                "zone web: /run/s (asked for as /var/run/s), socket 0:24/s",
            ),
            (
                Command::DenyHostSocket {
                    zone: zone("web"),
                    asked: "/var/run/s".into(),
                    path: "/run/s".into(),
                },
                "zone web: /run/s",
            ),
        ];
        for (command, said) in table {
            assert_eq!(summary(&command), said);
        }
    }

    #[test]
    fn a_path_that_is_looked_up_again_concerns_the_zone_that_claimed_it() {
        let again = Command::Reresolve {
            found: Vec::new(),
            lost: vec![Unresolved {
                path: "/srv/web".into(),
                because: "nothing is there".into(),
            }],
        };
        let link = Command::Link {
            made: Vec::new(),
            gone: vec![linked("copy")],
        };
        let mut whereabouts = Whereabouts::default();
        assert!(!whereabouts.concerns(&again, "web"));
        let register = Command::RegisterHostPath {
            zone: zone("web"),
            claim: claim("/srv/web", Scope::Exact),
        };
        assert!(whereabouts.concerns(&register, "web"));
        assert!(whereabouts.concerns(&again, "web"));
        assert!(!whereabouts.concerns(&again, "db"));
        assert!(whereabouts.concerns(&link, "web"));
        assert!(!whereabouts.concerns(&link, "db"));
    }

    #[test]
    fn a_detach_concerns_the_zone_its_container_was_in() {
        let detach = Command::DetachContainer {
            container: "c1".into(),
            source: String::new(),
            generation: 0,
        };
        let mut whereabouts = Whereabouts::default();
        assert!(whereabouts.concerns(&attach("web"), "web"));
        assert!(whereabouts.concerns(&attach("db"), "web"), "it leaves web");
        assert!(!whereabouts.concerns(&detach, "web"));
        assert!(whereabouts.concerns(&attach("web"), "web"));
        assert!(whereabouts.concerns(&detach, "web"));
        assert!(
            !whereabouts.concerns(&detach, "web"),
            "it is in no zone any more"
        );
    }
}
