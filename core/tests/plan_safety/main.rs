//! I3, exhaustively on small worlds: no prefix of any plan between any two images allows what neither
//! end allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod zones;

use syva_model::image::{CgroupId, Image, MemberRow, ObjectKey, Origin, ZoneId};
use syva_model::plan::{Diff, plan};
use syva_model::project::diff;

const ONE: ZoneId = ZoneId(1);
const TWO: ZoneId = ZoneId(2);
const ANY: [Option<ZoneId>; 3] = [None, Some(ONE), Some(TWO)];

const fn object(ino: u64) -> ObjectKey {
    ObjectKey {
        dev: 1,
        ino,
        subvol: 0,
    }
}

fn member(id: CgroupId, zone: ZoneId) -> MemberRow {
    MemberRow {
        zone,
        root: id,
        origin: Origin::Journal,
    }
}

/// Runs every plan between two of the images, and looks after every step at what is answered with yes
/// there, a bit a question, and at neither end. `not_asked` says what of it does not count on the way from
/// that image or to it.
fn every_prefix_is_safe(images: &[Image], yes: fn(&Image) -> u64, not_asked: fn(&Image) -> u64) {
    let answers: Vec<u64> = images.iter().map(yes).collect();
    let mut prefixes = 0u64;
    for (from, before) in images.iter().zip(&answers) {
        for (to, after) in images.iter().zip(&answers) {
            let either = before | after | not_asked(from) | not_asked(to);
            let changes = diff(from, to);
            prefixes += one_plan_is_safe(from, to, &changes, either, yes);
            let found = as_found(&changes);
            if found != changes {
                prefixes += one_plan_is_safe(from, to, &found, either, yes);
            }
        }
    }
    assert!(
        prefixes > (images.len() * images.len()) as u64,
        "there are steps"
    );
}

/// Runs a plan, twice. Returns how many steps it has.
fn one_plan_is_safe(
    from: &Image,
    to: &Image,
    changes: &Diff,
    either: u64,
    yes: fn(&Image) -> u64,
) -> u64 {
    let mut now = from.clone();
    let steps = plan(changes);
    for (done, step) in steps.iter().enumerate() {
        now.apply(step);
        let more = yes(&now) & !either;
        assert_eq!(
            more,
            0,
            "{more:b} after {} of {steps:#?}\nfrom {from:#?}\nto {to:#?}",
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
    steps.len() as u64
}

/// The same change, of claims that were found in the kernel: how deep those lie that shall go, nobody knows.
fn as_found(changes: &Diff) -> Diff {
    let mut found = changes.clone();
    let going = found
        .claims
        .iter_mut()
        .filter(|change| change.new.is_none());
    for row in going.filter_map(|change| change.old.as_mut()) {
        row.depth = 0;
    }
    found
}
