//! Host sockets: who gives them, what takes them away, and what becomes of them on another boot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind;
use syva_model::command::{BootId, Command, Policy, SocketReresolved, ZoneType};
use syva_model::decision::{Answer, decide_host_socket_in};
use syva_model::host_socket::Grant;
use syva_model::image::{MapWrite, ZoneId};
use syva_model::plan::plan;
use syva_model::project::{diff, project};

const WEB: ZoneId = ZoneId(1);
const DB: ZoneId = ZoneId(2);
const BUS: &str = "/run/bus";

fn given(world: &World, zone: ZoneId, path: &str) -> bool {
    let socket = socket(path, 24).socket;
    world.image.host_sockets.contains(&Grant { zone, socket })
}

fn boot(found: Vec<SocketReresolved>) -> Command {
    Command::Boot {
        claims: vec![],
        host_sockets: found,
    }
}

#[test]
fn a_socket_is_given_to_one_zone_and_taken_again() {
    let mut world = two_zones();
    let allow = || allow_socket("web", socket(BUS, 24));
    world.run(allow()).expect("given");
    assert!(given(&world, WEB, BUS) && !given(&world, DB, BUS));
    let entries = world.entries.len();
    world.run(allow()).expect("repeated");
    world.run(deny_socket("db", BUS)).expect("it has none");
    assert_eq!(world.entries.len(), entries, "nothing is to be done");
    world.run(deny_socket("web", BUS)).expect("taken");
    assert!(!given(&world, WEB, BUS));
    let unknown = world.run(allow_socket("nobody", socket(BUS, 24)));
    refused(unknown, RefusalKind::NotFound, "nobody");
}

#[test]
fn a_policy_s_sockets_are_replaced_whole_and_leave_what_a_command_gave() {
    let mut world = two_zones();
    let [a, b, c] = ["/run/a", "/run/b", "/run/c"];
    let policy = |paths: &[&str]| {
        let sockets = paths.iter().map(|path| socket(path, 24)).collect();
        with_sockets("web", sockets)
    };
    world.run(policy(&[a, b])).expect("given");
    world
        .run(allow_socket("web", socket(b, 24)))
        .expect("given");
    let entries = world.entries.len();
    world.run(policy(&[b, a])).expect("so already");
    assert_eq!(world.entries.len(), entries);
    world.run(policy(&[c])).expect("replaced");
    assert!(!given(&world, WEB, a) && given(&world, WEB, b) && given(&world, WEB, c));
    world.run(register("web")).expect("no policy leaves it");
    assert!(given(&world, WEB, c));
    world.run(deny_socket("web", c)).expect("taken");
    assert!(!given(&world, WEB, c));
    world.run(policy(&[c])).expect("the policy gives it anew");
    assert!(given(&world, WEB, c));
}

#[test]
fn a_zone_takes_its_sockets_with_it() {
    let mut world = two_zones();
    world
        .run(allow_socket("web", socket(BUS, 24)))
        .expect("given");
    world.run(detach("c1", 0)).expect("detached");
    world.run(remove("web", false)).expect("removed");
    assert!(world.image.host_sockets.is_empty());
    world
        .run(register("web"))
        .expect("another zone of the name");
    assert!(world.image.host_sockets.is_empty());
}

#[test]
fn a_service_unit_s_zone_may_use_its_sockets_as_long_as_one_is_in_it() {
    let mut world = two_zones();
    let sockets = || vec![socket("/run/systemd/notify", 24)];
    let notify = "/run/systemd/notify";
    let reply = world
        .run(attach_unit("a.service", "web", 201, sockets()))
        .expect("attached");
    assert!(reply.message.contains(notify), "{}", reply.message);
    let first = world.run(attach_unit("b.service", "web", 202, sockets()));
    assert!(first.is_ok() && given(&world, WEB, notify));
    refused(
        world.run(deny_socket("web", notify)),
        RefusalKind::Conflict,
        "a.service",
    );
    world.run(detach("a.service", 0)).expect("detached");
    assert!(given(&world, WEB, notify), "another is still in it");
    world
        .run(attach_unit("b.service", "db", 203, sockets()))
        .expect("moved");
    assert!(!given(&world, WEB, notify) && given(&world, DB, notify));
    world
        .run(allow_socket("db", socket(notify, 24)))
        .expect("given");
    world.run(detach("b.service", 0)).expect("detached");
    assert!(given(&world, DB, notify), "somebody asked for it");
    world.run(deny_socket("db", notify)).expect("taken");
    assert!(world.image.host_sockets.is_empty());
}

#[test]
fn another_boot_voids_what_units_were_given_and_looks_the_others_up() {
    let mut world = two_zones();
    for command in [
        allow_socket("web", socket(BUS, 24)),
        allow_socket("web", socket("/mnt/s", 25)),
        allow_socket("web", socket("@name", 0)),
        attach_unit(
            "a.service",
            "web",
            201,
            vec![socket("/run/systemd/notify", 24)],
        ),
    ] {
        world.run(command).expect("admitted");
    }
    let again = |path: &str, dev: Option<u32>| SocketReresolved {
        path: path.into(),
        found: dev.map(|dev| socket(path, dev).socket),
    };
    world.boot = BootId([2; 16]);
    let found = vec![again(BUS, Some(31)), again("/mnt/s", None)];
    let reply = world.run(boot(found)).expect("a boot");
    assert!(
        reply.message.contains("1 host sockets lost"),
        "{}",
        reply.message
    );
    let held: Vec<Grant> = world.image.host_sockets.iter().copied().collect();
    let expected = [socket("@name", 0), socket(BUS, 31)].map(|facts| Grant {
        zone: WEB,
        socket: facts.socket,
    });
    assert_eq!(held, expected);
    assert_eq!(world.state.lost_sockets.len(), 1);
    world.boot = BootId([3; 16]);
    let found = vec![again(BUS, Some(32)), again("/mnt/s", Some(33))];
    world.run(boot(found)).expect("a boot");
    assert_eq!(
        (
            world.image.host_sockets.len(),
            world.state.lost_sockets.len()
        ),
        (3, 0)
    );
}

#[test]
fn what_lies_in_another_zone_s_claim_is_not_the_host_s_to_give() {
    let mut world = two_zones();
    world.run(claim("db", "/srv/db", 7)).expect("claimed");
    let there = || socket("/srv/db/run/s", 24);
    refused(
        world.run(allow_socket("web", there())),
        RefusalKind::Conflict,
        "comms allow web db",
    );
    refused(
        world.run(with_sockets("web", vec![there()])),
        RefusalKind::Conflict,
        "claimed by zone db",
    );
    let reply = world.run(allow_socket("db", there())).expect("its own");
    assert!(reply.notes.iter().any(|note| note.contains("own")));
}

#[test]
fn a_privileged_zone_is_told_that_it_needs_no_socket() {
    let mut world = two_zones();
    let privileged = Policy {
        zone_type: ZoneType::Privileged,
        ..Policy::default()
    };
    let register = Command::RegisterZone {
        zone: zone("web"),
        policy: Some(privileged),
        claims: vec![],
        host_sockets: vec![],
    };
    world.run(register).expect("registered");
    let reply = world
        .run(allow_socket("web", socket(BUS, 24)))
        .expect("given");
    assert!(reply.notes.iter().any(|note| note.contains("privileged")));
}

#[test]
fn what_does_not_fit_the_map_is_refused_before_it_is_journaled() {
    let mut world = two_zones();
    for n in 0..8 {
        let path = format!("/run/{n}");
        world
            .run(allow_socket("web", socket(&path, 24)))
            .expect("fits");
    }
    refused(
        world.run(allow_socket("web", socket("/run/8", 24))),
        RefusalKind::Exhausted,
        "8 of 8",
    );
    refused(
        world.run(attach_unit(
            "a.service",
            "web",
            201,
            vec![socket("/run/8", 24)],
        )),
        RefusalKind::Exhausted,
        "8 of 8",
    );
    world.run(deny_socket("web", "/run/0")).expect("taken");
    world
        .run(allow_socket("web", socket("/run/8", 24)))
        .expect("fits again");
}

/// I3 for host sockets, exhaustively: two zones, each given each of two sockets or not, each in a pair
/// with the host or not, the first privileged or not.
#[test]
fn no_step_of_any_plan_opens_a_socket_that_neither_end_opens() {
    let sockets = ["/run/a", "@b"].map(|path| socket(path, 24).socket);
    let asked: Vec<Grant> = [WEB, DB]
        .into_iter()
        .flat_map(|zone| sockets.map(|socket| Grant { zone, socket }))
        .collect();
    let images: Vec<_> = (0..128u32)
        .map(|bits| {
            let mut image = two_zones().image;
            let chosen = asked.iter().enumerate();
            let chosen = chosen.filter(|(n, _)| bits & 1 << n != 0);
            image.host_sockets = chosen.map(|(_, grant)| *grant).collect();
            for (bit, zone) in [(4, WEB), (5, DB)] {
                let pair = syva_model::image::Pair::new(zone, ZoneId::HOST);
                image.pairs.extend((bits & 1 << bit != 0).then_some(pair));
            }
            image.zones.entry(WEB).or_default().privileged = bits & 1 << 6 != 0;
            image
        })
        .collect();
    let open = |image: &_| -> Vec<bool> {
        let answer = |grant: &Grant| decide_host_socket_in(image, grant.zone, grant.socket);
        asked.iter().map(|g| answer(g) == Answer::Allow).collect()
    };
    let mut steps_taken = 0;
    for from in &images {
        for to in &images {
            let mut now = from.clone();
            for step in plan(&diff(from, to)) {
                now.apply(&step);
                steps_taken += 1;
                let ends = open(from).into_iter().zip(open(to));
                for (allowed, (before, after)) in open(&now).into_iter().zip(ends) {
                    assert!(!allowed || before || after, "{step:?}: {from:?} to {to:?}");
                }
            }
            assert_eq!(&now, to);
        }
    }
    assert!(steps_taken > 16_384, "the plans have steps");
}

#[test]
fn a_socket_is_taken_before_and_given_after_everything_else() {
    let mut world = two_zones();
    world
        .run(allow_socket("web", socket(BUS, 24)))
        .expect("given");
    assert!(matches!(world.steps[..], [MapWrite::PutHostSocket(_)]));
    let before = world.image.clone();
    world.run(remove("db", true)).expect("drains");
    world.run(detach("c1", 0)).expect("detached");
    world.run(remove("web", false)).expect("removed");
    let steps = plan(&diff(&before, &world.image));
    assert!(matches!(steps[0], MapWrite::DropHostSocket(_)), "{steps:?}");
    assert_eq!(project(&world.state), world.image);
    assert_eq!(world.replay(), world.state);
}
