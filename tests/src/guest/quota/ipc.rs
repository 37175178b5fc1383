//! System V objects and keys.

use std::path::Path;

use super::QUOTA;
use super::cgroups::full;
use super::ledger::{Ledger, Share, WEB, reasons};
use crate::daemon::{Daemon, eventually};
use crate::guest::actor::{Outcome, act, spawn};
use crate::guest::stage::Stage;
use crate::guest::sysv::{Kind, id_of};
use crate::guest::{Checks, Failure};

/// A key that nobody else has.
const KEY: i32 = 0x5379_7661;
/// Those of others.
const DBS: i32 = KEY + 100;
const HOSTS: i32 = KEY + 200;
/// Those that are made at once.
const AT_ONCE: i32 = KEY + 300;

/// How many are made at once.
const MANY: i32 = 12;

fn sysv(cgroup: &Path, kind: Kind, operation: &str, number: i32) -> Outcome {
    let number = number.to_string();
    act(
        cgroup,
        "sysv",
        &[kind.name(), operation, &number].map(Path::new),
    )
}

/// Makes another one of web's.
pub fn make(stage: &Stage, number: i32) -> Outcome {
    sysv(&stage.web, Kind::Sem, "make", KEY + number)
}

/// Removes one.
pub fn remove(stage: &Stage, number: i32) -> Result<Outcome, Failure> {
    let id = id_of(Kind::Sem, KEY + number)?;
    Ok(sysv(&stage.web, Kind::Sem, "remove", id))
}

/// The row goes with the object, which is freed after a grace period.
pub fn make_in_the_end(stage: &Stage, number: i32) -> Result<(), Failure> {
    eventually("an object can be made again", || {
        Ok(make(stage, number) == Outcome::Done)
    })
}

/// Web takes all that it may of each kind together, and others make theirs.
pub fn run(
    checks: &mut Checks,
    stage: &Stage,
    daemon: &Daemon,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    at_once(checks, stage, ledger)?;
    for (number, kind) in (2..).zip([Kind::Shm, Kind::Msg]) {
        let outcome = sysv(&stage.web, kind, "make", KEY);
        checks.allowed(format!("web makes object {number}, {kind}"), &outcome);
    }
    let key = act(&stage.web, "make-key", &["of-web".as_ref()]);
    checks.allowed("web makes a key", &key);
    for number in 1..=3 {
        checks.allowed(
            format!("web makes semaphore {number}"),
            &make(stage, number),
        );
    }
    ledger.agrees(checks, "at the quota", Share::Ipc, QUOTA)?;
    let before = ledger.refused(WEB, Share::Ipc)?;
    for kind in Kind::ALL {
        let more = sysv(&stage.web, kind, "make", KEY + 9);
        checks.equal(format!("web makes one more {kind}"), &more, &full());
    }
    let more = act(&stage.web, "make-key", &["more-of-web".as_ref()]);
    checks.equal("web makes one more key", &more, &full());
    let refused = ledger.refused(WEB, Share::Ipc)? - before;
    checks.equal("each refusal is counted", &refused, &4);
    others(checks, stage)?;
    let told = eventually("health names the zone", || {
        Ok(reasons(daemon)?.contains("zone web wanted more System V objects and keys"))
    });
    checks.check("health names the zone for these, too", told);

    checks.allowed("web removes one", &remove(stage, 1)?);
    make_in_the_end(stage, 1)?;
    checks.equal(
        "it may have one again, and no more",
        &make(stage, 9),
        &full(),
    );
    ledger.agrees(checks, "after a change", Share::Ipc, QUOTA)?;
    ledger.no_drift(checks, daemon, "after web's objects")
}

/// Makers at the same moment, on all processors: the bound is not passed. They are removed again.
fn at_once(checks: &mut Checks, stage: &Stage, ledger: &Ledger) -> Result<(), Failure> {
    let mut makers = Vec::new();
    for number in AT_ONCE..AT_ONCE + MANY {
        let number = number.to_string();
        let args = ["sem", "make", &number].map(Path::new);
        makers.push(spawn(&stage.web, "sysv", &args)?);
    }
    let outcomes: Vec<_> = makers.into_iter().map(|maker| maker.outcome()).collect();
    let made = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::Done)
        .count() as u64;
    let refused = outcomes
        .iter()
        .filter(|outcome| **outcome == full())
        .count() as u64;
    checks.that(
        format!("of {MANY} made at once no more than {QUOTA} are"),
        (1..=QUOTA).contains(&made) && made + refused == u64::from(MANY.unsigned_abs()),
        format!("{outcomes:?}"),
    );
    ledger.agrees(checks, "made at once", Share::Ipc, made)?;
    for number in AT_ONCE..AT_ONCE + MANY {
        if let Ok(id) = id_of(Kind::Sem, number) {
            checks.allowed("web removes it", &sysv(&stage.web, Kind::Sem, "remove", id));
        }
    }
    eventually("they are gone", || Ok(ledger.rows(WEB, Share::Ipc)? == 0))?;
    ledger.agrees(checks, "and removed", Share::Ipc, 0)
}

/// The other zone and the host, while web has all that it may.
fn others(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    for kind in Kind::ALL {
        for (cgroup, who, key) in [(&stage.db, "db", DBS), (&stage.free, "the host", HOSTS)] {
            let made = sysv(cgroup, kind, "make", key);
            checks.allowed(format!("{who} makes {kind}"), &made);
            let got = sysv(&stage.web, kind, "get", key);
            let withheld = Outcome::Refused(rustix::io::Errno::ACCESS.raw_os_error());
            checks.equal(
                format!("which is not web's, {kind} of {who}"),
                &got,
                &withheld,
            );
            let id = id_of(kind, key)?;
            checks.allowed(
                format!("{who} removes {kind}"),
                &sysv(cgroup, kind, "remove", id),
            );
        }
    }
    for (cgroup, who) in [(&stage.db, "db"), (&stage.free, "the host")] {
        let name = format!("of-{}", who.replace(' ', "-"));
        let made = act(cgroup, "make-key", &[name.as_ref()]);
        checks.allowed(format!("{who} makes a key"), &made);
    }
    Ok(())
}
