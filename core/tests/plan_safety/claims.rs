//! A directory, one in it and a tree in that; each claimed exactly, claimed whole, or there because claims
//! lie below it, and a caller.

use syva_model::decision::{Answer, Operation, decide_in};
use syva_model::hook::ObjectKind;
use syva_model::image::{CgroupId, ClaimRow, Image, ObjectKey, Pair, Scope, ZoneId, ZoneRow};
use syva_model::plan::plan;
use syva_model::project::diff;

use super::{ANY, ONE, TWO, every_prefix_is_safe, member, object};

const CALLER: CgroupId = CgroupId(101);
/// Each lies in the one before; the order of their numbers is not that of their depth.
const CHAIN: [ObjectKey; 3] = [object(30), object(20), object(10)];
const OUTER: usize = 0;
const INNER: usize = 1;
const TREE: usize = 2;

/// Every row that there can be of what lies so deep.
fn rows(depth: u32) -> Vec<Option<ClaimRow>> {
    let claim = |zone, scope| ClaimRow {
        zone,
        scope,
        generation: 0,
        depth,
    };
    let claims =
        [ONE, TWO].map(|zone| [Scope::Exact, Scope::Subtree].map(|scope| Some(claim(zone, scope))));
    let above = [None, Some(ClaimRow::above(0))];
    above
        .into_iter()
        .chain(claims.into_iter().flatten())
        .collect()
}

fn images() -> Vec<Image> {
    let mut all = Vec::new();
    for outer in rows(1) {
        for inner in rows(2) {
            // Nothing lies below the tree, and whether it is claimed whole is no question.
            for tree in rows(3).into_iter().filter(is_whole) {
                for zone in ANY {
                    for pair in [false, true] {
                        all.push(image([outer, inner, tree], zone, pair));
                    }
                }
            }
        }
    }
    all
}

fn is_whole(row: &Option<ClaimRow>) -> bool {
    row.is_none_or(|row| row.scope == Scope::Subtree)
}

fn image(claims: [Option<ClaimRow>; 3], zone: Option<ZoneId>, pair: bool) -> Image {
    let mut image = Image::default();
    let zones = [ONE, TWO].map(|id| (id, ZoneRow::default()));
    image.zones.extend(zones);
    let rows = CHAIN.into_iter().zip(claims);
    image
        .claims
        .extend(rows.filter_map(|(key, row)| Some((key, row?))));
    image
        .members
        .extend(zone.map(|zone| (CALLER, member(CALLER, zone))));
    image.pairs.extend(pair.then(|| Pair::new(ONE, TWO)));
    image
}

fn row(image: &Image, n: usize) -> Option<ClaimRow> {
    image.claims.get(&CHAIN[n]).copied()
}

fn is_claimed(image: &Image, n: usize) -> bool {
    row(image, n).is_some_and(|row| row.labels())
}

/// The label of what lies in one of them, beside the next: the zone of the nearest claim that reaches it.
fn label_in(image: &Image, n: usize) -> ZoneId {
    let mut reaching = (0..=n).rev().filter_map(|n| row(image, n));
    reaching
        .find(|row| row.labels() && row.scope == Scope::Subtree)
        .map_or(ZoneId::HOST, |row| row.zone)
}

/// The label of one of them itself.
fn label(image: &Image, n: usize) -> ZoneId {
    match row(image, n).filter(ClaimRow::labels) {
        Some(row) => row.zone,
        None => n
            .checked_sub(1)
            .map_or(ZoneId::HOST, |n| label_in(image, n)),
    }
}

fn may(image: &Image, operation: Operation, object: ZoneId) -> bool {
    let subject = image.members.get(&CALLER);
    let subject = subject.map_or(ZoneId::HOST, |row| row.zone);
    decide_in(image, ObjectKind::File, operation, subject, object) != Answer::Deny
}

/// As the hook on rename decides: what has a row of its own stays where it is.
fn may_move(image: &Image, n: usize) -> bool {
    let stays = row(image, n).is_some();
    let label = label(image, n);
    may(image, Operation::Use, label) && (!stays || may(image, Operation::Relabel, label))
}

/// Whether a claim is in force though its path leads through one of them that nothing holds in place.
fn is_loose(image: &Image, claim: usize, above: usize) -> bool {
    is_claimed(image, claim) && row(image, above).is_none()
}

const LOOSE: [(usize, usize); 3] = [(INNER, OUTER), (TREE, OUTER), (TREE, INNER)];

/// What the caller may do, and which claims could be moved away.
fn yes(image: &Image) -> u64 {
    let used = (0..3).flat_map(|n| [label(image, n), label_in(image, n)]);
    let used = used.map(|label| may(image, Operation::Use, label));
    let moved = (0..3).map(|n| may_move(image, n));
    let loose = LOOSE.map(|(claim, above)| is_loose(image, claim, above));
    let all = loose.into_iter().rev().chain(used).chain(moved);
    all.enumerate()
        .fold(0, |bits, (n, yes)| bits | u64::from(yes) << n)
}

/// What is claimed itself at one end, and not only held in place, comes after what is claimed below it, or
/// goes before it: either claim is between its own two ends.
fn claimed(image: &Image) -> u64 {
    let of = LOOSE.iter().rev().enumerate();
    of.filter(|(_, (_, above))| is_claimed(image, *above))
        .fold(0, |bits, (n, _)| bits | 1 << n)
}

#[test]
fn no_step_of_any_plan_opens_or_frees_what_neither_end_does() {
    let images = images();
    assert_eq!(images.len(), 6 * 6 * 3 * 3 * 2);
    every_prefix_is_safe(&images, yes, claimed);
}

#[test]
fn a_directory_above_claims_is_in_nobody_s_way_at_any_step() {
    // The twin: what only holds a directory in place takes nobody's use of it.
    let images = images();
    let is_held = |image: &Image| !is_claimed(image, INNER);
    let (mut plans, mut steps) = (0u64, 0u64);
    for from in images.iter().filter(|image| is_held(image)) {
        let alike = images.iter().filter(|to| {
            is_held(to) && row(to, OUTER) == row(from, OUTER) && to.members == from.members
        });
        for to in alike {
            let free = |image: &Image| {
                may(image, Operation::Use, label(image, INNER))
                    && may(image, Operation::Use, label_in(image, INNER))
            };
            let mut now = from.clone();
            for step in plan(&diff(from, to)) {
                now.apply(&step);
                steps += 1;
                assert!(
                    free(&now) || !free(from) || !free(to),
                    "{step:?}\nfrom {from:#?}\nto {to:#?}"
                );
            }
            plans += 1;
        }
    }
    assert!(steps > plans, "the plans have steps");
}
