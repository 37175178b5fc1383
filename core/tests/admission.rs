//! What is admitted, what is refused and what changes nothing, case by case of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind::{Conflict, Exhausted, Invalid, NotFound, Stale};
use syva_model::command::{Attach, Command, Policy};
use syva_model::image::{Mode, Pair, ZoneId};

#[test]
fn registering_twice_returns_the_same_id_and_writes_no_second_entry() {
    let mut world = World::new();
    let first = world.run(register("web")).expect("created").zone;
    let entries = world.entries.len();
    assert_eq!(world.run(register("web")).expect("so already").zone, first);
    assert_eq!(world.entries.len(), entries);
    assert_ne!(first, Some(ZoneId(0)));
}

#[test]
fn a_removed_zone_s_id_is_never_given_again() {
    let mut world = World::new();
    let first = world
        .run(register("web"))
        .expect("created")
        .zone
        .expect("an id");
    world.run(remove("web", false)).expect("removed");
    let second = world
        .run(register("web"))
        .expect("created")
        .zone
        .expect("an id");
    assert!(second > first);
}

#[test]
fn removal_waits_for_members_only_when_asked_to() {
    let mut world = two_zones();
    refused(world.run(remove("nowhere", false)), NotFound, "nowhere");
    refused(world.run(remove("web", false)), Conflict, "1 members");
    world.run(remove("web", true)).expect("draining");
    assert!(world.state.zones[&zone("web")].draining);
    refused(world.run(attach("c9", "web", 109, 0)), Conflict, "draining");
    world.run(detach("c1", 0)).expect("detached");
    assert!(
        !world.state.zones.contains_key(&zone("web")),
        "the last member took it along"
    );
}

#[test]
fn registering_a_draining_zone_revives_it() {
    let mut world = two_zones();
    world.run(remove("web", true)).expect("draining");
    world.run(register("web")).expect("revived");
    world.run(detach("c1", 0)).expect("detached");
    assert!(world.state.zones.contains_key(&zone("web")));
}

#[test]
fn an_unknown_zone_is_refused_everywhere() {
    let mut world = two_zones();
    refused(
        world.run(attach("c9", "nowhere", 109, 0)),
        NotFound,
        "nowhere",
    );
    refused(world.run(allow("web", "nowhere")), NotFound, "nowhere");
    refused(world.run(deny("nowhere", "web")), NotFound, "nowhere");
    refused(
        world.run(claim("nowhere", "/srv/x", 9)),
        NotFound,
        "nowhere",
    );
}

#[test]
fn generations_only_go_up() {
    let mut world = two_zones();
    refused(world.run(attach("c2", "db", 102, 4)), Stale, "stale");
    refused(world.run(detach("c2", 4)), Stale, "stale");
    world
        .run(attach("c2", "db", 102, 0))
        .expect("a repeat that keeps no generations");
    assert_eq!(world.state.members["c2"].generation, 5);
    world
        .run(attach("c2", "web", 102, 6))
        .expect("a newer generation moves it");
    assert_eq!(world.state.members["c2"].generation, 6);
    world.run(detach("c2", 6)).expect("detached");
}

#[test]
fn a_repeat_that_changes_only_metadata_keeps_the_generation() {
    let mut world = two_zones();
    let Command::AttachContainer(again) = attach("c2", "db", 102, 5) else {
        unreachable!()
    };
    world
        .run(Command::AttachContainer(Attach {
            source: "other".into(),
            ..again
        }))
        .expect("taken");
    let held = &world.state.members["c2"];
    assert_eq!((held.source.as_str(), held.generation), ("other", 5));
}

#[test]
fn a_conflicting_assignment_is_refused() {
    let mut world = two_zones();
    refused(
        world.run(attach("c1", "db", 101, 0)),
        Conflict,
        "attached to zone web",
    );
    refused(
        world.run(attach("c1", "web", 111, 0)),
        Conflict,
        "cgroup 101",
    );
    refused(
        world.run(attach("c9", "db", 101, 0)),
        Conflict,
        "container c1",
    );
}

#[test]
fn the_host_s_own_cgroups_cannot_be_attached() {
    let mut world = two_zones();
    for (path, word) in [
        ("/", "root cgroup"),
        ("/system.slice/syva-core.service", "daemon"),
        ("/system.slice", "daemon"),
        ("/init.scope", "PID 1"),
    ] {
        let Command::AttachContainer(a) = attach("c9", "web", 109, 0) else {
            unreachable!()
        };
        let command = Command::AttachContainer(Attach {
            cgroup_path: path.into(),
            ..a
        });
        refused(world.run(command), Invalid, word);
    }
    let Command::AttachContainer(a) = attach("c9", "web", 109, 0) else {
        unreachable!()
    };
    let sibling = Attach {
        cgroup_path: "/system.slice/syva-core.servicex".into(),
        ..a
    };
    world
        .run(Command::AttachContainer(sibling))
        .expect("a sibling is not the daemon's");
}

#[test]
fn texts_are_checked() {
    let mut world = two_zones();
    refused(world.run(attach("", "web", 109, 0)), Invalid, "empty");
    refused(world.run(attach("a\nb", "web", 109, 0)), Invalid, "control");
    refused(
        world.run(attach(&"x".repeat(5000), "web", 109, 0)),
        Invalid,
        "5000 bytes",
    );
    refused(world.run(attach("c9", "web", 0, 0)), Invalid, "cgroup id 0");
}

#[test]
fn a_pair_opens_once_both_policies_list_each_other_and_denying_lasts_until_one_does_again() {
    let mut world = World::new();
    let open = |world: &World| world.state.open_pairs().len();
    world
        .run(with_policy("web", &["db"], vec![]))
        .expect("db is waited for");
    world.run(with_policy("db", &[], vec![])).expect("created");
    assert_eq!(open(&world), 0);
    world
        .run(with_policy("db", &["web"], vec![]))
        .expect("updated");
    assert_eq!(open(&world), 1);
    world.run(deny("db", "web")).expect("closed");
    assert_eq!(open(&world), 0);
    world
        .run(with_policy("web", &["db"], vec![]))
        .expect("listed again");
    assert_eq!(open(&world), 1);
    world.run(remove("db", false)).expect("removed");
    assert_eq!(open(&world), 0);
}

#[test]
fn equal_names_are_an_accepted_no_op_and_the_host_can_be_paired() {
    let mut world = two_zones();
    let entries = world.entries.len();
    world.run(allow("web", "web")).expect("accepted");
    world.run(allow("host", "host")).expect("accepted");
    assert_eq!(world.entries.len(), entries);
    let web = world.state.zones[&zone("web")].id;
    world.run(allow("host", "web")).expect("opened");
    assert!(
        world
            .state
            .open_pairs()
            .contains(&Pair::new(ZoneId::HOST, web))
    );
}

#[test]
fn bad_policies_are_refused() {
    let mut world = World::new();
    refused(
        world.run(with_policy("web", &["web"], vec![])),
        Invalid,
        "lists itself",
    );
    for cidr in ["10.0.0.0", "10.0.0.0/33", "x/8", "::/129"] {
        let policy = Some(Policy {
            allowed_egress_cidrs: vec![cidr.into()],
            ..Policy::default()
        });
        let command = Command::RegisterZone {
            zone: zone("web"),
            policy,
            claims: vec![],
            host_sockets: vec![],
        };
        refused(world.run(command), Invalid, cidr);
    }
}

#[test]
fn every_capacity_is_checked_before_the_kernel_meets_it() {
    let mut world = World::new();
    for n in 0..8 {
        world
            .run(register(&format!("z{n}")))
            .expect("there is room");
        world
            .run(attach(&format!("c{n}"), "z0", 100 + n, 0))
            .expect("there is room");
        world
            .run(claim("z0", &format!("/srv/{n}"), 10 + n))
            .expect("there is room");
    }
    let before = world.state.clone();
    refused(world.run(register("z8")), Exhausted, "max_zones 8");
    refused(
        world.run(attach("c8", "z0", 200, 0)),
        Exhausted,
        "8 members",
    );
    refused(
        world.run(claim("z0", "/srv/8", 99)),
        Exhausted,
        "8 of 8 claims",
    );
    assert_eq!(world.state, before);
    for n in 0..7 {
        world
            .run(allow(&format!("z{n}"), &format!("z{}", n + 1)))
            .expect("there is room");
    }
    world.run(allow("z0", "z7")).expect("the eighth pair");
    refused(
        world.run(allow("z0", "z4")),
        Exhausted,
        "8 of 8 allowed pairs",
    );
}

#[test]
fn a_zone_s_own_mode_goes_before_the_node_s_until_it_follows_again() {
    let mut world = two_zones();
    let set = |mode| Command::SetZoneMode {
        zone: zone("web"),
        mode,
    };
    let audited = |world: &World| -> Vec<_> {
        let rows = world.image.zones.iter();
        let rows = rows.filter(|(_, row)| row.audit);
        rows.map(|(id, _)| world.state.zone_label(*id)).collect()
    };
    let reply = world.run(set(Some(Mode::Audit))).expect("changed");
    assert_eq!(reply.message, "zone web: mode is audit");
    assert_eq!(audited(&world), ["web"]);
    world.run(set(Some(Mode::Audit))).expect("so already");
    assert!(world.steps.is_empty());
    // It stays with the zone, whatever becomes of the node's mode and of the policy.
    let node = |mode| Command::SetMode { mode };
    world.run(node(Mode::Audit)).expect("changed");
    world
        .run(set(Some(Mode::Enforce)))
        .expect("enforced on an audited node");
    assert_eq!(audited(&world), ["db"]);
    world
        .run(with_policy("web", &["db"], vec![]))
        .expect("updated");
    assert_eq!(audited(&world), ["db"]);
    let reply = world.run(set(None)).expect("follows");
    assert_eq!(reply.message, "zone web: mode is the node's, audit");
    assert_eq!(audited(&world).len(), 2);
    world.run(node(Mode::Enforce)).expect("changed");
    assert_eq!(audited(&world), [""; 0]);
    let nobody = Command::SetZoneMode {
        zone: zone("nobody"),
        mode: None,
    };
    let refusal = world.run(nobody).expect_err("there is no such zone");
    assert_eq!(refusal.kind, NotFound);
}

#[test]
fn the_mode_is_every_zone_s() {
    let mut world = two_zones();
    world
        .run(Command::SetMode { mode: Mode::Audit })
        .expect("changed");
    assert!(world.image.zones.values().all(|row| row.audit));
    assert_eq!(world.steps.len(), 2);
    world
        .run(Command::SetMode { mode: Mode::Audit })
        .expect("so already");
    assert!(world.steps.is_empty());
}
