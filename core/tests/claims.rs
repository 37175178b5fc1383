//! Which paths a zone may claim, and what becomes of claims.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind::{Conflict, Invalid};
use syva_model::command::{Command, Reresolved};
use syva_model::image::Scope;

#[test]
fn the_host_s_directories_and_the_engine_s_own_cannot_be_claimed() {
    let mut world = two_zones();
    let host = [
        "/",
        "/usr",
        "/bin",
        "/lib",
        "/lib64",
        "/usr/bin",
        "/usr/sbin",
        "/usr/lib",
        "/usr/lib64",
        "/etc",
        "/proc",
        "/sys",
        "/dev",
        "/run",
    ];
    for path in host {
        refused(world.run(claim("web", path, 9)), Invalid, "host itself");
    }
    refused(
        world.run(claim("web", "/var/lib/syva", 9)),
        Invalid,
        "engine's own",
    );
    refused(
        world.run(claim("web", "/var/lib/syva/journal", 9)),
        Invalid,
        "engine's own",
    );
    refused(world.run(claim("web", "/var", 9)), Invalid, "lies below it");
    for (ino, path) in [
        (11, "/usr/local/share"),
        (12, "/var/lib/syva2"),
        (13, "/libre/x"),
    ] {
        world.run(claim("web", path, ino)).expect(path);
    }
}

#[test]
fn an_object_belongs_to_one_zone_and_a_nested_claim_is_told() {
    let mut world = two_zones();
    world.run(claim("web", "/srv/web", 11)).expect("claimed");
    refused(world.run(claim("db", "/srv/web", 11)), Conflict, "zone web");
    refused(
        world.run(claim("db", "/mnt/same", 11)),
        Conflict,
        "/srv/web",
    );
    refused(world.run(claim("db", "/srv/web", 99)), Conflict, "zone web");
    let reply = world
        .run(claim("db", "/srv/web/data", 12))
        .expect("claimed");
    assert!(
        reply.notes[0].contains("the nearer claim wins"),
        "{:?}",
        reply.notes
    );
    let reply = world.run(claim("web", "/srv", 10)).expect("claimed");
    assert!(
        reply.notes[0].contains("stays with zone db"),
        "{:?}",
        reply.notes
    );
    assert_eq!(
        world
            .run(claim("web", "/srv", 10))
            .expect("so already")
            .notes,
        [""; 0]
    );
}

#[test]
fn a_policy_replaces_the_earlier_one_s_claims_and_no_others() {
    let mut world = World::new();
    let subtree = |path: &str, ino| facts(path, ino, Scope::Subtree);
    let first = vec![subtree("/srv/a", 11), subtree("/srv/b", 12)];
    world.run(with_policy("web", &[], first)).expect("created");
    world
        .run(claim("web", "/srv/b", 12))
        .expect("asked for twice");
    world.run(claim("web", "/srv/c", 13)).expect("claimed");
    world
        .run(with_policy("web", &[], vec![subtree("/srv/d", 14)]))
        .expect("replaced");
    let held: Vec<&str> = world
        .state
        .claims
        .values()
        .map(|c| c.path.as_str())
        .collect();
    assert_eq!(held, ["/srv/b", "/srv/c", "/srv/d"]);
}

#[test]
fn a_command_that_is_refused_in_part_is_refused_whole() {
    let mut world = two_zones();
    world.run(claim("db", "/srv/db", 20)).expect("claimed");
    let before = world.state.clone();
    let claims = vec![
        facts("/srv/a", 11, Scope::Subtree),
        facts("/srv/db", 20, Scope::Subtree),
    ];
    refused(
        world.run(with_policy("new", &[], claims)),
        Conflict,
        "zone db",
    );
    assert_eq!(world.state, before);
}

#[test]
fn a_new_boot_voids_memberships_and_finds_claims_again() {
    let mut world = two_zones();
    world.run(claim("web", "/srv/web", 11)).expect("claimed");
    world.run(claim("web", "/srv/gone", 12)).expect("claimed");
    world.run(remove("db", true)).expect("draining");
    world.boot = syva_model::command::BootId([2; 16]);
    let found = |path: &str, found| Reresolved {
        path: path.into(),
        found,
    };
    let claims = vec![
        found("/srv/gone", None),
        found("/srv/web", Some((object(77), 3))),
    ];
    world
        .run(Command::Boot {
            claims,
            host_sockets: vec![],
        })
        .expect("a boot");
    assert!(world.state.members.is_empty() && world.image.members.is_empty());
    assert!(
        !world.state.zones.contains_key(&zone("db")),
        "nothing is left to drain"
    );
    assert_eq!(world.image.claims.keys().collect::<Vec<_>>(), [&object(77)]);
    assert_eq!(world.state.lost.keys().collect::<Vec<_>>(), ["/srv/gone"]);
    world
        .run(claim("web", "/srv/gone", 12))
        .expect("claimed again");
    assert!(world.state.lost.is_empty());
}
