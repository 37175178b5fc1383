//! clone3(2) into a cgroup: what no LSM hook is asked of at a price that all could pay.

use std::fs;
use std::path::Path;

use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, ZoneId};
use syva_model::kernel::Verdict;

use crate::guest::actor::{Outcome, act};
use crate::guest::enforce::world::{AUDITED, ONE, TWO, World};
use crate::guest::{Checks, Failure};

const MARKER: &str = "/tmp/engine-started";

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (two, marker) = (world.two.clone(), Path::new(MARKER));
    let nested = two.join("started-into");
    fs::create_dir(&nested)?;
    for (what, from, into) in [
        ("zone two, its own nested cgroup", &two, nested.clone()),
        ("zone two, its own root", &two, two.clone()),
        (
            "a host task, zone one's",
            &world.free.clone(),
            world.one.clone(),
        ),
        (
            "a privileged zone, zone one's",
            &world.privileged.clone(),
            world.one.clone(),
        ),
        (
            "a privileged zone, a host's",
            &world.privileged.clone(),
            world.free.clone(),
        ),
    ] {
        let _ = fs::remove_file(marker);
        let claim = format!("a child is started: {what}");
        world.allowed(checks, &claim, from, "start-into", &[&into, marker])?;
        checks.that(format!("{claim}: it ran"), marker.exists(), "it did not");
    }
    let _ = fs::remove_file(marker);
    for (whose, into, object) in [
        ("zone one's", world.one.clone(), ONE),
        ("a host's", world.free.clone(), ZoneId::HOST),
        ("the root", "/sys/fs/cgroup".into(), ZoneId::HOST),
    ] {
        for pair in [None, Some(Pair::new(object, TWO))] {
            if let Some(pair) = pair {
                world.pairs.write(&MapWrite::PutPair(pair))?;
            }
            let claim = format!("zone two starts a child in {whose} cgroup, pair {pair:?}");
            let (outcome, (denied, _), events) =
                world.watch(|| act(&two, "start-into", &[&into, marker]))?;
            checks.equal(
                format!("{claim}: the caller is killed"),
                &outcome,
                &Outcome::Killed,
            );
            checks.that(
                format!("{claim}: the child never ran"),
                !marker.exists(),
                "it made its file",
            );
            let once: Vec<u64> = Hook::ALL
                .iter()
                .map(|h| u64::from(*h == Hook::CgroupCanFork))
                .collect();
            checks.equal(format!("{claim}: counted once"), &denied, &once);
            let told: Vec<_> = events
                .iter()
                .map(|e| (e.hook, e.subject, e.object))
                .collect();
            let expected = vec![(Hook::CgroupCanFork, TWO, object)];
            checks.equal(format!("{claim}: told once"), &told, &expected);
            if let Some(pair) = pair {
                world.pairs.write(&MapWrite::DropPair(pair))?;
            }
        }
    }
    let (audited, one) = (world.audited.clone(), world.one.clone());
    let (outcome, _, events) = world.watch(|| act(&audited, "start-into", &[&one, marker]))?;
    checks.allowed("an audited zone starts a child elsewhere", &outcome);
    checks.that("and it ran", marker.exists(), "it did not");
    let told: Vec<_> = events.iter().map(|e| (e.verdict, e.subject)).collect();
    checks.equal(
        "and is reported",
        &told,
        &vec![(Verdict::WouldDeny, AUDITED)],
    );
    Ok(())
}
