//! Nested cgroups.

use std::fs;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapFlags};
use rustix::io::Errno;

use super::QUOTA;
use super::ledger::{DB, Ledger, Share, WEB, reasons};
use crate::daemon::{Daemon, eventually};
use crate::guest::actor::{Outcome, act, make_cgroup};
use crate::guest::stage::{Stage, attach};
use crate::guest::{Checks, Failure};

/// There is no room for it.
pub fn full() -> Outcome {
    Outcome::Refused(Errno::NOSPC.raw_os_error())
}

/// Makes a cgroup below another, as a task of that one.
pub fn make(cgroup: &Path, name: &str) -> Outcome {
    act(cgroup, "mkdir", &[&cgroup.join(name)])
}

/// Removes one that was made so.
pub fn remove(cgroup: &Path, name: &str) -> Outcome {
    act(cgroup, "rmdir", &[&cgroup.join(name)])
}

/// The row of a cgroup that is removed goes when the kernel lets go of the last of it.
pub fn make_in_the_end(cgroup: &Path, name: &str) -> Result<(), Failure> {
    eventually("a cgroup can be made again", || {
        Ok(make(cgroup, name) == Outcome::Done)
    })
}

/// Web takes all that it may, below its own and below what it made; then others make theirs.
pub fn run(
    checks: &mut Checks,
    stage: &Stage,
    daemon: &Daemon,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    for number in 1..QUOTA {
        let claim = format!("web makes cgroup {number} of {QUOTA}");
        checks.allowed(claim, &make(&stage.web, &format!("made-{number}")));
    }
    let deep = stage.web.join("made-1");
    checks.allowed("and the last below one of them", &make(&deep, "deep"));
    ledger.agrees(checks, "at the quota", Share::Cgroups, QUOTA)?;
    for (cgroup, what) in [(&stage.web, "its own"), (&deep, "one that it made")] {
        let claim = format!("web makes one more below {what}");
        checks.equal(&claim, &make(cgroup, "more"), &full());
        let there = cgroup.join("more").exists();
        checks.that(format!("{claim}: it is not there"), !there, "it is");
    }
    let refused = ledger.refused(WEB, Share::Cgroups)?;
    checks.equal("each refusal is counted", &refused, &2);
    let exists = Outcome::Refused(Errno::EXIST.raw_os_error());
    checks.equal(
        "what is there already is said to be",
        &make(&stage.web, "made-1"),
        &exists,
    );
    let elsewhere = act(&stage.web, "mkdir", &["/tmp/web/directory".as_ref()]);
    checks.allowed("web makes a directory that is no cgroup", &elsewhere);
    others(checks, stage)?;
    let told = eventually("health names the zone", || {
        Ok(reasons(daemon)?.contains("zone web wanted more nested cgroups than the 6 it may have"))
    });
    checks.check("health names the zone, and no other", told);
    let blamed = reasons(daemon)?.contains("zone db");
    checks.that("health says nothing of db", !blamed, reasons(daemon)?);

    checks.allowed("web removes one", &remove(&stage.web, "made-2"));
    make_in_the_end(&stage.web, "made-2")?;
    let more = make(&stage.web, "more");
    checks.equal("it may have one again, and no more", &more, &full());
    ledger.agrees(checks, "after a change", Share::Cgroups, QUOTA)?;
    ledger.no_drift(checks, daemon, "after web's cgroups")
}

/// The other zone and the host, while web has all that it may.
fn others(checks: &mut Checks, stage: &Stage) -> Result<(), Failure> {
    checks.allowed("db makes a cgroup", &make(&stage.db, "twin"));
    let inner = stage.db.join("twin");
    checks.allowed("which is in db", &stage.tries(&inner));
    let own = act(&inner, "open", &[&stage.own]);
    checks.denied("and in no other zone", &own);
    checks.allowed("db removes it", &remove(&stage.db, "twin"));
    checks.allowed("the host makes one of its own", &make(&stage.free, "twin"));
    fs::remove_dir(stage.free.join("twin"))?;
    // A runtime's, for a container that it started.
    let inside = stage.web.join("of-the-host");
    fs::create_dir(&inside)?;
    checks.denied(
        "what the host makes inside web is in web",
        &stage.tries(&inside),
    );
    checks.allowed("and opens web's own", &act(&inside, "open", &[&stage.own]));
    fs::remove_dir(&inside)?;
    Ok(())
}

/// A zone that nothing is refused to, moves from zone to zone, and the end of a zone.
pub fn other_hands(
    checks: &mut Checks,
    stage: &Stage,
    daemon: &Daemon,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    audited(checks, stage, daemon, ledger)?;
    let held = ledger.rows(WEB, Share::Cgroups)?;
    daemon.done(&["containers", "detach", "c-web"])?;
    ledger.agrees(checks, "detached", Share::Cgroups, 0)?;
    let answer = attach(daemon, "c-web", "db", &stage.web)?;
    checks.equal("the host attaches it to db", &answer.exit, &0);
    ledger.agrees(checks, "attached to db", Share::Cgroups, 0)?;
    let moved = ledger.counted(DB, Share::Cgroups)?;
    checks.equal("db has what web had", &moved, &held);
    let more = make(&stage.db, "more");
    checks.equal("and may have no more", &more, &full());
    daemon.done(&["containers", "detach", "c-web"])?;
    eventually("db has none", || {
        Ok(ledger.counted(DB, Share::Cgroups)? == 0)
    })?;
    checks.allowed("db makes one again", &make(&stage.db, "more"));
    checks.allowed("db removes it", &remove(&stage.db, "more"));

    attach(daemon, "c-web", "web", &stage.web)?;
    ledger.agrees(checks, "attached again", Share::Cgroups, held)?;
    removed(checks, daemon, ledger)?;
    ledger.no_drift(checks, daemon, "after the moves")
}

/// A zone that is removed takes its counts along.
fn removed(checks: &mut Checks, daemon: &Daemon, ledger: &Ledger) -> Result<(), Failure> {
    daemon.done(&["zones", "register", "short"])?;
    let (zone, cgroup) = (DB + 1, make_cgroup("short")?);
    attach(daemon, "c-short", "short", &cgroup)?;
    checks.allowed("a third zone makes a cgroup", &make(&cgroup, "inner"));
    let held = ledger.counted(zone, Share::Cgroups)?;
    checks.equal("it is counted", &held, &1);
    daemon.done(&["containers", "detach", "c-short"])?;
    daemon.done(&["zones", "remove", "short"])?;
    for map in [&ledger.programs, &ledger.daemon] {
        let row = map.lookup(&zone.to_ne_bytes(), MapFlags::ANY)?;
        checks.equal("no count is left of a removed zone", &row, &None);
    }
    Ok(())
}

/// An audited zone is refused nothing: it makes what is in no zone.
fn audited(
    checks: &mut Checks,
    stage: &Stage,
    daemon: &Daemon,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    daemon.done(&["mode", "audit", "--zone", "web"])?;
    let before = ledger.refused(WEB, Share::Cgroups)?;
    checks.allowed("audited, web makes one more", &make(&stage.web, "beyond"));
    let counted = ledger.refused(WEB, Share::Cgroups)? - before;
    checks.equal("that is counted all the same", &counted, &1);
    passed(daemon)?;
    ledger.agrees(checks, "audited", Share::Cgroups, QUOTA)?;
    checks.allowed("db makes one meanwhile", &make(&stage.db, "twin"));
    checks.allowed("db removes it", &remove(&stage.db, "twin"));
    daemon.done(&["mode", "inherit", "--zone", "web"])?;
    let beyond = stage.web.join("beyond");
    // Its own task cannot enter: it would leave the zone.
    let enters = act(&stage.web, "write", &[&beyond.join("cgroup.procs")]);
    checks.denied("what is in no zone is closed to web", &enters);
    checks.allowed("web removes another", &remove(&stage.web, "made-3"));
    // Once the kernel has let go of the last of that one.
    let in_web = eventually("with room, the daemon takes it in", || {
        Ok(stage.tries(&beyond) != Outcome::Done)
    });
    checks.check("with room, the daemon takes it in", in_web);
    checks.denied("it is in web then", &stage.tries(&beyond));
    ledger.agrees(checks, "taken in", Share::Cgroups, QUOTA)?;
    // The daemon repairs what the kernel left out, and says so.
    ledger.drifted += 1;
    checks.allowed("web removes it", &remove(&stage.web, "beyond"));
    make_in_the_end(&stage.web, "made-3")?;
    passed(daemon)?;
    ledger.no_drift(checks, daemon, "after the audit")
}

/// Waits until the daemon has compared: two seconds hold a comparison.
pub fn passed(daemon: &Daemon) -> Result<(), Failure> {
    let uptime = || Ok::<_, Failure>(daemon.done(&["status"])?.json()["uptime_secs"].as_u64());
    let from = uptime()?;
    eventually("the next comparison", || {
        Ok(uptime()? > from.map(|from| from + 2))
    })
}
