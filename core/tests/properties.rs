//! Properties of the fold, the projection and the plan over random histories (I2, I3).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::*;
use proptest::prelude::*;
use syva_model::command::{
    Above, BootId, Command, LinkFacts, Reresolved, SocketReresolved, Unresolved,
};
use syva_model::entry::Entry;
use syva_model::image::{Image, Mode, Scope};
use syva_model::plan::plan;
use syva_model::project;
use syva_model::state::State;

const ZONES: [&str; 3] = ["web", "db", "cache"];
const PARTIES: [&str; 4] = ["web", "db", "cache", "host"];
const PATHS: [&str; 4] = ["/srv", "/srv/a", "/srv/a/b", "/opt/x"];
const SOCKETS: [&str; 4] = ["/run/a", "/run/b", "/srv/a/s", "@name"];

/// One random command; many are refused, as from careless clients.
fn command() -> impl Strategy<Value = Command> {
    let any_zone = || (0..ZONES.len()).prop_map(|n| ZONES[n]);
    let any_party = || (0..PARTIES.len()).prop_map(|n| PARTIES[n]);
    let path = || (0..PATHS.len(), 0..2u64);
    prop_oneof![
        any_zone().prop_map(register),
        (
            any_zone(),
            prop::collection::vec(any_party(), 0..3),
            prop::collection::vec(path(), 0..3)
        )
            .prop_map(|(name, allowed, paths)| {
                let claims = paths
                    .iter()
                    .map(|(n, other)| facts(PATHS[*n], *n as u64 + 10 * other, Scope::Subtree));
                with_policy(name, &allowed, claims.collect())
            }),
        (any_zone(), any::<bool>()).prop_map(|(name, drain)| remove(name, drain)),
        (0..3u64, any_zone(), 100..104u64, 0..4u64).prop_map(|(c, name, cgroup, g)| attach(
            &format!("c{c}"),
            name,
            cgroup,
            g
        )),
        (0..3u64, 0..4u64).prop_map(|(c, g)| detach(&format!("c{c}"), g)),
        (any_party(), any_party()).prop_map(|(a, b)| allow(a, b)),
        (any_party(), any_party()).prop_map(|(a, b)| deny(a, b)),
        (any_zone(), path()).prop_map(|(name, (n, other))| claim(
            name,
            PATHS[n],
            n as u64 + 10 * other
        )),
        (any_zone(), 0..PATHS.len()).prop_map(|(name, n)| unclaim(name, PATHS[n])),
        any::<bool>().prop_map(|audit| Command::SetMode {
            mode: if audit { Mode::Audit } else { Mode::Enforce }
        }),
        (any_zone(), prop::option::of(any::<bool>())).prop_map(|(name, audit)| {
            let mode = |audit| if audit { Mode::Audit } else { Mode::Enforce };
            Command::SetZoneMode {
                zone: zone(name),
                mode: audit.map(mode),
            }
        }),
        (any_zone(), 0..SOCKETS.len(), 0..2u32)
            .prop_map(|(name, n, dev)| { allow_socket(name, socket(SOCKETS[n], 24 + dev)) }),
        (any_zone(), 0..SOCKETS.len()).prop_map(|(name, n)| deny_socket(name, SOCKETS[n])),
        (any_zone(), prop::collection::vec(0..SOCKETS.len(), 0..3)).prop_map(|(name, sockets)| {
            let sockets = sockets.iter().map(|n| socket(SOCKETS[*n], 24));
            with_sockets(name, sockets.collect())
        }),
        (0..3u64, any_zone(), 100..104u64).prop_map(|(c, name, cgroup)| {
            let sockets = SOCKETS[..2].iter().map(|path| socket(path, 24));
            attach_unit(&format!("c{c}"), name, cgroup, sockets.collect())
        }),
        prop::collection::vec((0..PATHS.len(), prop::option::of(0..6u64), 1..3u64), 1..4)
            .prop_map(looked_at),
        prop::collection::vec((0..PATHS.len(), 50..53u64, 0..2u64, any::<bool>()), 1..4)
            .prop_map(noted),
        (
            prop::collection::vec(any::<bool>(), PATHS.len()),
            prop::collection::vec(any::<Option<bool>>(), SOCKETS.len())
        )
            .prop_map(|(there, sockets)| Command::Boot {
                host_sockets: SOCKETS
                    .iter()
                    .zip(sockets)
                    .map(|(path, there)| SocketReresolved {
                        path: (*path).into(),
                        found: there.map(|other| socket(path, 24 + u32::from(other)).socket),
                    })
                    .collect(),
                claims: PATHS
                    .iter()
                    .zip(there)
                    .enumerate()
                    .map(|(n, (path, there))| Reresolved {
                        path: (*path).into(),
                        found: there.then(|| (object(n as u64), 1)),
                        above: Vec::new(),
                    })
                    .collect()
            }),
    ]
}

/// Paths that lead to an object, of which there are few, or nowhere.
fn looked_at(paths: Vec<(usize, Option<u64>, u64)>) -> Command {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for (n, there, generation) in paths {
        let path = PATHS[n].to_owned();
        match there {
            Some(ino) => found.push(Reresolved {
                path,
                found: Some((object(ino), generation)),
                above: vec![Above {
                    object: object(20 + generation),
                    generation,
                }],
            }),
            None => lost.push(Unresolved {
                path,
                because: "gone".into(),
            }),
        }
    }
    Command::Reresolve { found, lost }
}

/// Files of claims that have names outside, or are gone.
fn noted(files: Vec<(usize, u64, u64, bool)>) -> Command {
    let (mut made, mut gone) = (Vec::new(), Vec::new());
    for (n, ino, generation, there) in files {
        let facts = LinkFacts {
            claim: PATHS[n].to_owned(),
            object: object(ino),
            generation,
            name: "name".into(),
        };
        match there {
            true => made.push(facts),
            false => gone.push(facts),
        }
    }
    Command::Link { made, gone }
}

/// The state as a snapshot gives it back: its fields alone, and the rest worked out again.
fn through_bytes(state: &State) -> State {
    let bytes = rmp_serde::to_vec_named(state).unwrap();
    rmp_serde::from_slice::<State>(&bytes).unwrap().restored()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_replay_gives_the_same_state_byte_for_byte(
        commands in prop::collection::vec(command(), 0..60)
    ) {
        let mut world = World::new();
        for (n, command) in commands.into_iter().enumerate() {
            if matches!(command, Command::Boot { .. }) {
                world.boot = BootId([n as u8; 16]);
            }
            let _ = world.run(command);
        }
        for entry in &world.entries {
            let payload = entry.encode().unwrap();
            let read = Entry::decode(&payload).unwrap();
            prop_assert_eq!(&read, entry);
            prop_assert_eq!(read.encode().unwrap(), payload);
        }
        let replayed = world.replay();
        prop_assert_eq!(world.replay().digest().unwrap(), replayed.digest().unwrap());
        prop_assert_eq!(replayed.digest().unwrap(), world.state.digest().unwrap());
        prop_assert_eq!(&replayed, &world.state);
        prop_assert_eq!(project::project(&replayed), world.image);
    }

    #[test]
    fn a_state_that_went_through_a_snapshot_goes_on_as_if_it_had_not(
        commands in prop::collection::vec(command(), 0..60), at in any::<prop::sample::Index>()
    ) {
        let mut world = World::new();
        let at = at.index(commands.len() + 1);
        for (n, command) in commands.into_iter().enumerate() {
            if n == at {
                world.state = through_bytes(&world.state);
            }
            if matches!(command, Command::Boot { .. }) {
                world.boot = BootId([n as u8; 16]);
            }
            let _ = world.run(command);
        }
        let (whole, restored) = (world.replay(), through_bytes(&world.state));
        prop_assert_eq!(world.state.digest().unwrap(), whole.digest().unwrap());
        prop_assert_eq!(project::project(&world.state), project::project(&whole));
        for state in [&world.state, &restored] {
            prop_assert_eq!(state.open_pairs(), whole.open_pairs());
        }
        prop_assert_eq!(project::project(&restored), project::project(&whole));
    }

    #[test]
    fn the_touched_rows_are_all_that_changes_and_a_plan_leads_there(
        commands in prop::collection::vec(command(), 0..60)
    ) {
        let mut world = World::new();
        let mut kernel = Image::default();
        for command in commands {
            let before = world.state.clone();
            if world.run(command).is_err() {
                prop_assert_eq!(&world.state, &before, "a refused command changes nothing");
                continue;
            }
            for _ in 0..2 {
                // The second time must change nothing.
                world.steps.iter().for_each(|step| kernel.apply(step));
                prop_assert_eq!(&kernel, &world.image);
            }
            prop_assert_eq!(&project::project(&world.state), &world.image);
        }
    }

    #[test]
    fn nothing_is_planned_between_equal_images(
        commands in prop::collection::vec(command(), 0..40)
    ) {
        let mut world = World::new();
        for command in commands {
            let _ = world.run(command);
        }
        let image = project::project(&world.state);
        prop_assert!(plan(&project::diff(&image, &image.clone())).is_empty());
    }
}
