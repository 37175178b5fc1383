//! Two zones, two members, a claimed tree and one inside it; pairs and permissions.

use syva_model::decision::{Answer, Operation, decide_in};
use syva_model::hook::ObjectKind;
use syva_model::image::{CgroupId, ClaimRow, Image, ObjectKey, Pair, Scope, ZoneId, ZoneRow};
use syva_model::plan::plan;
use syva_model::project::diff;

use super::{ANY, ONE, TWO, every_prefix_is_safe, member, object};

const MEMBERS: [CgroupId; 2] = [CgroupId(101), CgroupId(102)];
/// A tree and one inside it; a file in each and one outside both.
const CLAIMS: [ObjectKey; 2] = [object(20), object(10)];

/// Every image of two zones, two members, two nested claims, the pair of zones, one pair with the
/// host, one zone's being privileged, and the other's allowing ptrace.
fn images() -> Vec<Image> {
    let mut all = Vec::new();
    for first in ANY {
        for second in ANY {
            for outer in ANY {
                for inner in ANY {
                    for bits in 0..16u32 {
                        all.push(image([first, second], [outer, inner], bits));
                    }
                }
            }
        }
    }
    all
}

fn image(members: [Option<ZoneId>; 2], claims: [Option<ZoneId>; 2], bits: u32) -> Image {
    let mut image = Image::default();
    let privileged = ZoneRow {
        privileged: bits & 4 != 0,
        ..ZoneRow::default()
    };
    let traced = ZoneRow {
        allow_ptrace: bits & 8 != 0,
        ..ZoneRow::default()
    };
    image.zones.extend([(ONE, privileged), (TWO, traced)]);
    for (id, zone) in MEMBERS.into_iter().zip(members) {
        let row = zone.map(|zone| member(id, zone));
        image.members.extend(row.map(|row| (id, row)));
    }
    for (depth, (key, zone)) in (1..).zip(CLAIMS.into_iter().zip(claims)) {
        let scope = Scope::Subtree;
        let row = zone.map(|zone| ClaimRow {
            zone,
            scope,
            generation: 0,
            depth,
        });
        image.claims.extend(row.map(|row| (key, row)));
    }
    let pairs = [(1, Pair::new(ONE, TWO)), (2, Pair::new(ZoneId::HOST, TWO))];
    image.pairs.extend(
        pairs
            .iter()
            .filter(|(bit, _)| bits & bit != 0)
            .map(|(_, pair)| *pair),
    );
    image
}

/// What everyone may do, as a bit a question: each member (as the caller) against each kind of object.
fn allowed(image: &Image) -> u64 {
    let zone = |id: CgroupId| image.members.get(&id).map_or(ZoneId::HOST, |row| row.zone);
    let claim = |key: ObjectKey| image.claims.get(&key).map(|row| row.zone);
    let outer = claim(CLAIMS[0]);
    let files = [
        ZoneId::HOST,
        outer.unwrap_or(ZoneId::HOST),
        claim(CLAIMS[1]).or(outer).unwrap_or(ZoneId::HOST),
    ];
    let mut bits = 0u64;
    let mut ask = |kind, operation, subject, object| {
        let allow = decide_in(image, kind, operation, subject, object) != Answer::Deny;
        bits = bits << 1 | u64::from(allow);
    };
    for subject in MEMBERS.map(zone) {
        files
            .iter()
            .for_each(|object| ask(ObjectKind::File, Operation::Use, subject, *object));
        for object in MEMBERS.map(zone).into_iter().chain([ZoneId::HOST]) {
            for operation in Operation::ALL {
                ask(ObjectKind::Task, operation, subject, object);
            }
        }
    }
    bits
}

#[test]
fn no_step_of_any_plan_allows_what_neither_end_allows() {
    let images = images();
    assert_eq!(images.len(), 1296);
    every_prefix_is_safe(&images, allowed, |_| 0);
}

#[test]
fn the_same_steps_in_reverse_order_would_leak() {
    // So the property above is not idle.
    let images = images();
    let from = image([Some(ONE), None], [Some(TWO), None], 1);
    let leaks = images.iter().any(|to| {
        let either = allowed(&from) | allowed(to);
        let mut now = from.clone();
        plan(&diff(&from, to)).iter().rev().any(|step| {
            now.apply(step);
            allowed(&now) & !either != 0
        })
    });
    assert!(leaks);
}
