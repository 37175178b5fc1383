//! Which paths a zone may claim, and what becomes of claims.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind::{Conflict, Invalid, NotFound};
use syva_model::command::{Above, Command, Reresolved};
use syva_model::image::{ClaimRow, MapWrite, Scope};

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
        above: Vec::new(),
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

#[test]
fn a_claim_is_taken_back_by_its_path_and_what_is_beside_it_stays() {
    let mut world = two_zones();
    world.run(claim("web", "/srv/web", 11)).expect("claimed");
    world.run(claim("web", "/srv/other", 12)).expect("claimed");
    refused(world.run(unclaim("db", "/srv/web")), Conflict, "zone web");
    refused(world.run(unclaim("none", "/srv/web")), NotFound, "none");
    refused(world.run(unclaim("web", "/srv")), Conflict, "list");
    refused(world.run(unclaim("web", "srv/web")), Invalid, "absolute");
    let reply = world.run(unclaim("web", "/srv/web")).expect("removed");
    assert!(reply.message.contains("no zone any more"), "{reply:?}");
    assert_eq!(
        world.steps,
        [MapWrite::DropClaim(object(11)), MapWrite::AdvanceEpoch],
        "labels cached under it are stale from then on"
    );
    assert_eq!(world.image.claims.keys().collect::<Vec<_>>(), [&object(12)]);
    refused(
        world.run(unclaim("web", "/srv/web")),
        Conflict,
        "nothing is claimed",
    );
    assert_eq!(
        world.replay().digest().unwrap(),
        world.state.digest().unwrap()
    );
    world.run(claim("db", "/srv/web", 11)).expect("free again");
}

#[test]
fn directories_above_claims_have_rows_of_their_own_as_long_as_there_are_claims_below() {
    let mut world = two_zones();
    let srv = Above {
        object: object(2),
        generation: 7,
    };
    let below = |zone: &str, path: &str, ino| {
        let mut command = claim(zone, path, ino);
        if let Command::RegisterHostPath { claim, .. } = &mut command {
            claim.above = vec![srv];
        }
        command
    };
    world.run(below("web", "/srv/web", 11)).expect("claimed");
    assert_eq!(
        world.image.claims.get(&srv.object),
        Some(&ClaimRow::above(7)),
        "nobody's, and it stays where it is"
    );
    world.run(below("db", "/srv/db", 12)).expect("claimed");
    world.run(unclaim("web", "/srv/web")).expect("removed");
    assert!(world.image.claims.contains_key(&srv.object), "db's is left");
    world.run(claim("web", "/srv", 2)).expect("claimed itself");
    assert!(world.image.claims[&srv.object].labels(), "it is web's now");
    world.run(unclaim("web", "/srv")).expect("removed");
    assert!(
        !world.image.claims[&srv.object].labels(),
        "and nobody's again"
    );
    assert_eq!(
        world.replay().digest().unwrap(),
        world.state.digest().unwrap()
    );
    world.run(unclaim("db", "/srv/db")).expect("removed");
    assert!(world.image.claims.is_empty(), "nothing lies below it");
}

#[test]
fn what_loses_its_claim_falls_to_the_claim_above_it() {
    let mut world = two_zones();
    world.run(claim("db", "/srv", 10)).expect("claimed");
    world.run(claim("web", "/srv/web", 11)).expect("claimed");
    let reply = world.run(unclaim("web", "/srv/web")).expect("removed");
    assert!(reply.message.contains("falls to zone db"), "{reply:?}");
    assert_eq!(world.image.claims.keys().collect::<Vec<_>>(), [&object(10)]);
}

#[test]
fn what_a_policy_claims_its_policy_gives_up() {
    let mut world = World::new();
    let claims = vec![facts("/srv/a", 11, Scope::Subtree)];
    world.run(with_policy("web", &[], claims)).expect("created");
    refused(world.run(unclaim("web", "/srv/a")), Conflict, "policy");
    world.run(claim("web", "/srv/a", 11)).expect("asked too");
    let reply = world.run(unclaim("web", "/srv/a")).expect("taken back");
    assert!(reply.message.contains("its policy claims it"), "{reply:?}");
    assert!(world.steps.is_empty(), "nothing changes in the kernel");
    refused(world.run(unclaim("web", "/srv/a")), Conflict, "policy");
    world
        .run(with_policy("web", &[], vec![]))
        .expect("replaced");
    assert!(world.state.claims.is_empty());
}

#[test]
fn a_lost_claim_can_be_taken_back() {
    let mut world = two_zones();
    world.run(claim("web", "/srv/web", 11)).expect("claimed");
    world.boot = syva_model::command::BootId([2; 16]);
    let path = "/srv/web".to_owned();
    let above = Vec::new();
    let found = None;
    let claims = vec![Reresolved { path, found, above }];
    let host_sockets = Vec::new();
    let boot = Command::Boot {
        claims,
        host_sockets,
    };
    world.run(boot).expect("a boot");
    assert_eq!(world.state.lost.len(), 1);
    refused(world.run(unclaim("db", "/srv/web")), Conflict, "zone web");
    world.run(unclaim("web", "/srv/web")).expect("removed");
    assert!(world.state.lost.is_empty() && world.state.claims.is_empty());
}
