//! I3, exhaustively on small worlds: no prefix of any plan between any two images allows what neither
//! end allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use syva_model::decision::{Answer, Operation, decide_in};
use syva_model::hook::ObjectKind;
use syva_model::image::{
    CgroupId, ClaimRow, Image, MemberRow, ObjectKey, Origin, Pair, Scope, ZoneId, ZoneRow,
};
use syva_model::plan::plan;
use syva_model::project::diff;

const ONE: ZoneId = ZoneId(1);
const TWO: ZoneId = ZoneId(2);
const MEMBERS: [CgroupId; 2] = [CgroupId(101), CgroupId(102)];
/// A tree and one inside it; a file in each and one outside both.
const CLAIMS: [ObjectKey; 2] = [
    ObjectKey {
        dev: 1,
        ino: 10,
        subvol: 0,
    },
    ObjectKey {
        dev: 1,
        ino: 20,
        subvol: 0,
    },
];

const ANY: [Option<ZoneId>; 3] = [None, Some(ONE), Some(TWO)];

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
        let row = zone.map(|zone| MemberRow {
            zone,
            root: id,
            origin: Origin::Journal,
        });
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
fn allowed(image: &Image) -> u32 {
    let zone = |id: CgroupId| image.members.get(&id).map_or(ZoneId::HOST, |row| row.zone);
    let claim = |key: ObjectKey| image.claims.get(&key).map(|row| row.zone);
    let outer = claim(CLAIMS[0]);
    let files = [
        ZoneId::HOST,
        outer.unwrap_or(ZoneId::HOST),
        claim(CLAIMS[1]).or(outer).unwrap_or(ZoneId::HOST),
    ];
    let mut bits = 0;
    let mut ask = |kind, operation, subject, object| {
        let allow = decide_in(image, kind, operation, subject, object) != Answer::Deny;
        bits = bits << 1 | u32::from(allow);
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
    let (mut plans, mut prefixes) = (0u32, 0u64);
    for from in &images {
        let before = allowed(from);
        for to in &images {
            let either = before | allowed(to);
            let mut now = from.clone();
            let steps = plan(&diff(from, to));
            for (done, step) in steps.iter().enumerate() {
                now.apply(step);
                prefixes += 1;
                let more = allowed(&now) & !either;
                assert_eq!(
                    more,
                    0,
                    "after {} of {steps:#?}\nfrom {from:#?}\nto {to:#?}",
                    done + 1
                );
            }
            assert_eq!(&now, to, "the plan leads there");
            steps.iter().for_each(|step| now.apply(step));
            assert_eq!(&now, to, "a second time it changes nothing");
            assert_eq!(
                steps.is_empty(),
                from == to,
                "and is empty if there is nothing to do"
            );
            plans += 1;
        }
    }
    assert_eq!(plans, 1296 * 1296);
    assert!(prefixes > u64::from(plans), "the plans have steps");
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
