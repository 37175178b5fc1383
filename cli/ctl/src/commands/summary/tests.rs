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
