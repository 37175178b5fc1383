//! Claims whose paths lead elsewhere while the daemon runs (D3): they follow, what was there stays the
//! zone's, and nobody makes use of that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use syva_model::admit::RefusalKind::{Conflict, Exhausted};
use syva_model::admit::host_paths;
use syva_model::command::{Above, BootId, Command, Reresolved, Unresolved};
use syva_model::image::{ClaimRow, MapWrite, Scope, ZoneId};
use syva_model::state::FORMER;

const WEB: ZoneId = ZoneId(1);
const DB: ZoneId = ZoneId(2);

fn leads_to(path: &str, ino: u64, generation: u64) -> Reresolved {
    Reresolved {
        path: path.into(),
        found: Some((object(ino), generation)),
        above: Vec::new(),
    }
}

fn nowhere(path: &str) -> Unresolved {
    Unresolved {
        path: path.into(),
        because: "nothing is there".into(),
    }
}

fn found(found: Vec<Reresolved>) -> Command {
    let lost = Vec::new();
    Command::Reresolve { found, lost }
}

fn lost(path: &str) -> Command {
    let (found, lost) = (Vec::new(), vec![nowhere(path)]);
    Command::Reresolve { found, lost }
}

/// Whose the objects are in the kernel, and of which generation.
fn rows(world: &World) -> Vec<(u64, ZoneId, u64)> {
    let rows = world.image.claims.iter();
    rows.map(|(key, row)| (key.ino, row.zone, row.generation))
        .collect()
}

fn web_has_srv() -> World {
    let mut world = two_zones();
    world.run(claim("web", "/srv", 11)).expect("claimed");
    world
}

#[test]
fn a_claim_follows_its_path_and_what_was_there_stays_the_zone_s() {
    let mut world = web_has_srv();
    world
        .run(found(vec![leads_to("/srv", 12, 3)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 3)]);
    let (key, claim) = world.state.claim_at("/srv").expect("there");
    assert_eq!((key.ino, claim.scope()), (12, Scope::Subtree));
    assert!(
        matches!(
            world.steps[..],
            [MapWrite::PutClaim(key, _), MapWrite::AdvanceEpoch] if key == object(12)
        ),
        "the old object's row is not touched: {:?}",
        world.steps
    );
    // And back, as after an umount.
    world
        .run(found(vec![leads_to("/srv", 11, 1)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 3)]);
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    assert_eq!(
        world.state.claim_at("/srv").map(|(key, _)| *key),
        Some(object(11))
    );
}

#[test]
fn a_path_that_leads_nowhere_leaves_its_object_to_the_zone_and_comes_back() {
    let mut world = web_has_srv();
    world.run(lost("/srv")).expect("lost");
    assert!(world.state.lost.contains_key("/srv"));
    assert_eq!(rows(&world), [(11, WEB, 1)], "it may be open");
    assert!(world.steps.is_empty(), "{:?}", world.steps);
    world
        .run(found(vec![leads_to("/srv", 11, 1)]))
        .expect("back");
    assert!(world.state.lost.is_empty());
    assert_eq!(rows(&world), [(11, WEB, 1)]);
    world.run(lost("/srv")).expect("lost");
    world
        .run(found(vec![leads_to("/srv", 13, 4)]))
        .expect("made anew");
    assert_eq!(rows(&world), [(11, WEB, 1), (13, WEB, 4)]);
}

#[test]
fn a_number_that_was_given_anew_is_the_new_object_s_alone() {
    let mut world = web_has_srv();
    world
        .run(found(vec![leads_to("/srv", 11, 2)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, WEB, 2)]);
    // Of a former object as well: it is gone if another has its number.
    world
        .run(found(vec![leads_to("/srv", 12, 1)]))
        .expect("follows");
    world
        .run(found(vec![leads_to("/srv", 11, 3)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, WEB, 3), (12, WEB, 1)]);
}

#[test]
fn two_paths_that_exchange_their_objects_exchange_their_zones() {
    let mut world = web_has_srv();
    world.run(claim("db", "/opt", 21)).expect("claimed");
    let exchanged = vec![leads_to("/srv", 21, 1), leads_to("/opt", 11, 1)];
    world.run(found(exchanged)).expect("both follow");
    assert_eq!(rows(&world), [(11, DB, 1), (21, WEB, 1)]);
    let claims = world.state.claims.values();
    assert!(claims.clone().all(|claim| claim.former.is_empty()));
    // Seen one after the other it ends the same.
    world
        .run(found(vec![leads_to("/srv", 11, 1)]))
        .expect("an entry");
    assert_eq!(rows(&world), [(11, DB, 1), (21, WEB, 1)], "first come");
    assert!(world.state.lost.contains_key("/srv"));
    world
        .run(found(vec![leads_to("/opt", 21, 1)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, DB, 1), (21, DB, 1)], "db's for now");
    world
        .run(found(vec![leads_to("/srv", 11, 1)]))
        .expect("follows");
    assert_eq!(rows(&world), [(11, WEB, 1), (21, DB, 1)]);
}

#[test]
fn what_was_at_a_path_is_claimed_by_no_other_zone() {
    let mut world = web_has_srv();
    world
        .run(found(vec![leads_to("/srv", 12, 1)]))
        .expect("follows");
    refused(world.run(claim("db", "/srv.old", 11)), Conflict, "/srv");
    world.run(claim("web", "/srv.old", 11)).expect("its own");
    world.run(unclaim("web", "/srv")).expect("taken back");
    assert_eq!(rows(&world), [(11, WEB, 1)], "claimed by itself");
    world.run(unclaim("web", "/srv.old")).expect("taken back");
    world.run(claim("db", "/srv.old", 11)).expect("free");
}

#[test]
fn as_many_former_objects_stay_as_there_is_room_for_and_the_latest() {
    let mut world = web_has_srv();
    for ino in 12..30 {
        let follows = found(vec![leads_to("/srv", ino, 1)]);
        world.run(follows).expect("follows");
    }
    let held: Vec<u64> = rows(&world).iter().map(|(ino, ..)| *ino).collect();
    let expected: Vec<u64> = (29 - FORMER as u64..30).collect();
    assert_eq!(held, expected);
}

#[test]
fn what_gives_up_a_claim_gives_up_what_was_at_its_path() {
    let ends: [&dyn Fn(&mut World); 3] = [
        &|world| drop(world.run(unclaim("web", "/srv")).expect("taken back")),
        &|world| {
            world.run(detach("c1", 0)).expect("detached");
            world.run(remove("web", false)).expect("removed");
        },
        &|world| {
            world.boot = BootId([2; 16]);
            let claims = vec![leads_to("/srv", 12, 1)];
            let host_sockets = Vec::new();
            let boot = Command::Boot {
                claims,
                host_sockets,
            };
            world.run(boot).expect("a boot");
            world.run(unclaim("web", "/srv")).expect("taken back");
        },
    ];
    for end in ends {
        for is_lost in [false, true] {
            let mut world = web_has_srv();
            let follows = found(vec![leads_to("/srv", 12, 1)]);
            world.run(follows).expect("follows");
            if is_lost {
                world.run(lost("/srv")).expect("lost");
            }
            end(&mut world);
            assert_eq!(rows(&world), []);
            assert_eq!(world.state.claim_rows(), 0);
            assert_eq!(
                world.replay().digest().unwrap(),
                world.state.digest().unwrap()
            );
        }
    }
}

#[test]
fn a_boot_gives_up_what_was_at_paths_before() {
    let mut world = web_has_srv();
    world
        .run(found(vec![leads_to("/srv", 12, 1)]))
        .expect("follows");
    world.boot = BootId([2; 16]);
    let claims = vec![leads_to("/srv", 12, 1)];
    let host_sockets = Vec::new();
    let boot = Command::Boot {
        claims,
        host_sockets,
    };
    world.run(boot).expect("a boot");
    assert_eq!(
        rows(&world),
        [(12, WEB, 1)],
        "numbers of devices may be others'"
    );
}

#[test]
fn registering_a_replaced_path_again_keeps_what_was_there_as_following_does() {
    let mut world = web_has_srv();
    world.run(claim("web", "/srv", 12)).expect("claimed anew");
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 1)]);

    let mut world = World::new();
    let policy = |ino| with_policy("web", &[], vec![facts("/srv", ino, Scope::Subtree)]);
    world.run(policy(11)).expect("registered");
    world.run(policy(12)).expect("registered again");
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 1)]);
    world.run(lost("/srv")).expect("lost");
    world.run(policy(13)).expect("registered again");
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 1), (13, WEB, 1)]);
    world
        .run(with_policy("web", &[], vec![]))
        .expect("given up");
    assert_eq!(rows(&world), []);
    // What is lost is given up as well.
    world.run(policy(11)).expect("registered");
    world.run(lost("/srv")).expect("lost");
    world
        .run(with_policy("web", &[], vec![]))
        .expect("given up");
    assert!(world.state.lost.is_empty());
    assert_eq!(rows(&world), []);
}

#[test]
fn directories_above_that_were_replaced_are_part_of_it() {
    let mut world = web_has_srv();
    let mut again = leads_to("/srv", 11, 1);
    again.above = vec![Above {
        object: object(2),
        generation: 7,
    }];
    let follows = found(vec![again]);
    world.run(follows.clone()).expect("an entry");
    assert_eq!(
        world.image.claims.get(&object(2)),
        Some(&ClaimRow::above(7))
    );
    let before = world.state.seq();
    world.run(follows).expect("so already");
    assert_eq!(world.state.seq(), before);
    world.run(lost("/srv")).expect("lost");
    assert_eq!(rows(&world), [(11, WEB, 1)], "there is no way to it");
}

#[test]
fn what_is_as_it_was_is_no_entry_and_what_does_not_fit_is_refused() {
    let mut world = web_has_srv();
    world.run(claim("db", "/opt", 21)).expect("claimed");
    let before = world.state.clone();
    let same = found(vec![leads_to("/srv", 11, 1)]);
    world.run(same).expect("so already");
    assert_eq!(world.state, before);
    refused(
        world.run(found(vec![leads_to("/none", 5, 1)])),
        Conflict,
        "/none",
    );
    refused(world.run(lost("/none")), Conflict, "/none");
    // An object that another claim has stays that claim's, and saying so again is no entry.
    let taken = found(vec![leads_to("/srv", 21, 1)]);
    world.run(taken.clone()).expect("lost for it");
    assert_eq!(rows(&world), [(11, WEB, 1), (21, DB, 1)]);
    let before = world.state.clone();
    world.run(taken).expect("so already");
    world.run(lost("/srv")).expect("so already");
    assert_eq!(world.state, before);
    let mut many = leads_to("/srv", 12, 1);
    many.above = (100..200)
        .map(|ino| Above {
            object: object(ino),
            generation: 1,
        })
        .collect();
    refused(world.run(found(vec![many])), Exhausted, "do not fit");
    assert_eq!(world.state, before);
}

#[test]
fn no_step_of_a_claim_s_way_opens_what_was_there() {
    let mut world = web_has_srv();
    world.run(claim("db", "/opt", 21)).expect("claimed");
    for seen in [
        vec![leads_to("/srv", 12, 1)],
        vec![leads_to("/srv", 13, 1), leads_to("/opt", 22, 1)],
        vec![leads_to("/srv", 22, 1), leads_to("/opt", 13, 1)],
    ] {
        let mut kernel = world.image.clone();
        let before: Vec<_> = kernel.claims.keys().copied().collect();
        world.run(found(seen)).expect("follows");
        for step in &world.steps {
            kernel.apply(step);
            for key in &before {
                assert!(kernel.claims.contains_key(key), "{key} is free at {step:?}");
            }
        }
        assert_eq!(kernel, world.image);
    }
}

#[test]
fn the_host_s_directories_are_those_that_cannot_be_claimed() {
    let mut world = two_zones();
    for path in host_paths() {
        let refusal = world.run(claim("web", &path, 9)).expect_err(&path);
        assert!(refusal.message.contains("host itself"), "{refusal}");
    }
    assert!(host_paths().any(|path| path == "/usr/lib64"));
}

/// The object was moved, and its new path is registered before anybody looked.
#[test]
fn a_claim_is_followed_at_the_path_that_was_asked_for_last() {
    let mut world = web_has_srv();
    let again = claim("web", "/new", 11);
    let reply = world.run(again.clone()).expect("claimed");
    let note = "/new leads to what was claimed as /srv: it is followed here from now on";
    assert_eq!(reply.notes, [note]);
    assert!(world.state.claim_at("/srv").is_none());
    assert_eq!(world.state.claim_at("/new").expect("there").0.ino, 11);
    assert_eq!(rows(&world), [(11, WEB, 1)]);
    let seq = world.state.seq;
    world.run(again).expect("so already");
    assert_eq!(world.state.seq, seq);
    // What was claimed at that path before is the same claim's, and so is who asked.
    world.run(claim("web", "/other", 12)).expect("claimed");
    world.run(claim("web", "/new", 12)).expect("one claim");
    assert_eq!(world.state.claims.len(), 1);
    assert_eq!(rows(&world), [(11, WEB, 1), (12, WEB, 1)], "the former too");
    assert_eq!(world.replay(), world.state);
    world.run(unclaim("web", "/new")).expect("taken back");
    assert_eq!(rows(&world), []);
}
