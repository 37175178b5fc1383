//! Files that the host links out of claims (D3): the journal knows them as long as they and the claim are there,
//! over boots and wherever the claim's path leads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind::Exhausted;
use syva_model::command::{BootId, Command, LinkFacts, Reresolved, Unresolved};
use syva_model::image::ObjectKey;
use syva_model::kernel::Linked;

fn file(claim: &str, ino: u64, generation: u64) -> LinkFacts {
    LinkFacts {
        claim: claim.into(),
        object: object(ino),
        generation,
        name: "copy".into(),
    }
}

fn made(made: Vec<LinkFacts>) -> Command {
    let gone = Vec::new();
    Command::Link { made, gone }
}

fn gone(gone: Vec<LinkFacts>) -> Command {
    let made = Vec::new();
    Command::Link { made, gone }
}

fn boot(found: Option<(ObjectKey, u64)>) -> Command {
    Command::Boot {
        claims: vec![Reresolved {
            path: "/srv".into(),
            found,
            above: Vec::new(),
        }],
        host_sockets: Vec::new(),
    }
}

/// What the kernel is to know: which file is which claim's.
fn linked(world: &World) -> Vec<(ObjectKey, u64, ObjectKey)> {
    let row = |linked: Linked| (linked.object, linked.generation, linked.claim);
    world.state.linked().map(row).collect()
}

fn web_has_srv() -> World {
    let mut world = two_zones();
    world.run(claim("web", "/srv", 11)).expect("claimed");
    let files = vec![file("/srv", 20, 3), file("/srv", 21, 0)];
    world.run(made(files)).expect("noted");
    assert_eq!(
        linked(&world),
        [(object(20), 3, object(11)), (object(21), 0, object(11))]
    );
    world
}

#[test]
fn what_is_known_is_no_entry_and_what_is_gone_is_forgotten() {
    let mut world = web_has_srv();
    let seq = world.state.seq;
    world.run(made(vec![file("/srv", 20, 3)])).expect("known");
    world.run(gone(vec![file("/srv", 20, 4)])).expect("another");
    world.run(gone(vec![file("/srv", 22, 3)])).expect("unknown");
    world
        .run(made(vec![file("/opt", 20, 3)]))
        .expect("no claim");
    assert_eq!(world.state.seq, seq, "nothing of that is news");
    world
        .run(made(vec![file("/srv", 20, 4)]))
        .expect("replaced");
    assert_eq!(linked(&world)[0], (object(20), 4, object(11)));
    world.run(gone(vec![file("/srv", 20, 4)])).expect("gone");
    assert_eq!(linked(&world), [(object(21), 0, object(11))]);
    assert_eq!(world.replay(), world.state);
}

#[test]
fn they_go_with_the_claim_and_no_zone_has_them_after_it() {
    let mut world = web_has_srv();
    world.run(unclaim("web", "/srv")).expect("taken back");
    assert_eq!(linked(&world), []);
    world.run(claim("db", "/srv", 11)).expect("another zone's");
    assert_eq!(linked(&world), []);
    let mut world = web_has_srv();
    world.run(detach("c1", 0)).expect("detached");
    world.run(remove("web", false)).expect("removed");
    assert_eq!(world.state.links(), 0);
}

#[test]
fn they_stay_when_the_path_leads_elsewhere_or_nowhere() {
    let mut world = web_has_srv();
    let away = Command::Reresolve {
        found: vec![Reresolved {
            path: "/srv".into(),
            found: Some((object(12), 1)),
            above: Vec::new(),
        }],
        lost: Vec::new(),
    };
    world.run(away).expect("follows");
    assert_eq!(linked(&world)[0], (object(20), 3, object(12)));
    let lost = Command::Reresolve {
        found: Vec::new(),
        lost: vec![Unresolved {
            path: "/srv".into(),
            because: "nothing is there".into(),
        }],
    };
    world.run(lost).expect("lost");
    assert_eq!(linked(&world), [], "the kernel has them yet");
    assert_eq!(world.state.links(), 2);
    // The kernel knows them by the object that was at the path.
    let known = world.state.claim_known_as(object(11), 1).expect("known");
    assert_eq!(known.path, "/srv");
    assert!(world.state.claim_known_as(object(11), 2).is_none());
}

/// Devices have other numbers then; what has no generation may be another file.
#[test]
fn a_new_boot_looks_for_them_on_the_claim_s_device() {
    let on = |dev, ino| ObjectKey { dev, ..object(ino) };
    for late in [false, true] {
        let mut world = web_has_srv();
        world.boot = BootId([9; 16]);
        let found = Some((on(77, 11), 1));
        world.run(boot(found.filter(|_| !late))).expect("boot");
        if late {
            assert_eq!(linked(&world), [], "its file system is not mounted yet");
            let again = Command::Reresolve {
                found: vec![Reresolved {
                    path: "/srv".into(),
                    found,
                    above: Vec::new(),
                }],
                lost: Vec::new(),
            };
            world.run(again).expect("found");
        }
        assert_eq!(linked(&world), [(on(77, 20), 3, on(77, 11))], "{late}");
        // That the kernel has it is news, once.
        let facts = LinkFacts {
            object: on(77, 20),
            ..file("/srv", 20, 3)
        };
        let seq = world.state.seq;
        world.run(made(vec![facts.clone()])).expect("seen");
        world.run(made(vec![facts])).expect("known");
        assert_eq!(world.state.seq, seq + 1);
    }
}

#[test]
fn there_are_no_more_than_the_kernel_has_room_for() {
    let mut world = web_has_srv();
    world.node.capacity.claims = 3;
    let two = vec![file("/srv", 30, 1), file("/srv", 31, 1)];
    refused(
        world.run(made(two.clone())),
        Exhausted,
        "capacity of claims",
    );
    assert_eq!(world.state.links(), 2, "nothing of it");
    let exchanged = Command::Link {
        made: two,
        gone: vec![file("/srv", 20, 3)],
    };
    world.run(exchanged).expect("one goes");
    assert_eq!(world.state.links(), 3);
}
