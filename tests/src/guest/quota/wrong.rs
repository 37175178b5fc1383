//! Counts that must last, and counts that are wrong: no daemon runs, somebody changes or deletes them, an
//! earlier build kept none.

use std::fs;
use std::path::Path;

use libbpf_rs::{MapCore as _, MapFlags};
use syva_model::image::SCHEMA;

use super::ledger::{Ledger, Share, WEB, drift};
use super::{QUOTA, cgroups, ipc};
use crate::daemon::{Daemon, eventually};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Killed, the daemon leaves the bound behind, and what is made and removed is counted.
pub fn without_a_daemon(
    checks: &mut Checks,
    stage: &Stage,
    daemon: Daemon,
    ledger: &mut Ledger,
) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    daemon.kill()?;
    at_the_bound(checks, stage, "no daemon runs");
    checks.allowed(
        "web removes a cgroup",
        &cgroups::remove(&stage.web, "made-2"),
    );
    checks.allowed("web removes a semaphore", &ipc::remove(stage, 1)?);
    cgroups::make_in_the_end(&stage.web, "made-2")?;
    ipc::make_in_the_end(stage, 1)?;
    at_the_bound(checks, stage, "no daemon runs, and others were made");
    both(checks, ledger, "no daemon runs")?;
    let daemon = setup.start()?;
    at_the_bound(checks, stage, "started again");
    both(checks, ledger, "started again")?;
    ledger.drifted = 0;
    ledger.no_drift(checks, &daemon, "started again")?;
    Ok(daemon)
}

/// Counts that are too high, too low and lost are the numbers of the rows again.
pub fn repaired(
    checks: &mut Checks,
    stage: &Stage,
    daemon: &Daemon,
    ledger: &mut Ledger,
) -> Result<(), Failure> {
    for (what, count) in [("too high", 1000u64), ("too low", 0)] {
        for share in [Share::Cgroups, Share::Ipc] {
            let key = WEB.to_ne_bytes();
            let row = ledger.programs.lookup(&key, MapFlags::ANY)?;
            let mut row = row.ok_or("web is not counted")?;
            row[share.at()..share.at() + 8].copy_from_slice(&count.to_ne_bytes());
            ledger.programs.update(&key, &row, MapFlags::EXIST)?;
            mended(checks, daemon, ledger, &format!("{what}, {share:?}"), 1)?;
        }
    }
    for map in [&ledger.programs, &ledger.daemon] {
        map.delete(&WEB.to_ne_bytes())?;
    }
    mended(checks, daemon, ledger, "lost, both", 2)?;
    at_the_bound(checks, stage, "after the repairs");
    cgroups::passed(daemon)?;
    ledger.no_drift(checks, daemon, "after the repairs")
}

/// The next comparison finds it, once for each count.
fn mended(
    checks: &mut Checks,
    daemon: &Daemon,
    ledger: &mut Ledger,
    what: &str,
    counts: u64,
) -> Result<(), Failure> {
    ledger.drifted += counts;
    eventually("the repair", || Ok(drift(daemon)? >= ledger.drifted))?;
    both(checks, ledger, what)
}

/// The pins are those of a build that counted nothing: the start makes the maps, and counts.
pub fn from_an_earlier_build(
    checks: &mut Checks,
    stage: &Stage,
    daemon: Daemon,
    ledger: &mut Ledger,
) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    daemon.terminate()?;
    let maps = Path::new("/sys/fs/bpf/syva").join(format!("v{SCHEMA}/maps"));
    for name in ["zone_usage", "usage_by_daemon"] {
        fs::remove_file(maps.join(name))?;
    }
    let daemon = setup.start()?;
    *ledger = Ledger::open(&daemon)?;
    both(checks, ledger, "over the pins of an earlier build")?;
    // The programs have counted nothing yet that they could take it from.
    let removed = cgroups::remove(&stage.web, "made-2");
    checks.allowed(
        "web removes a cgroup that only the daemon counted",
        &removed,
    );
    let removed = ipc::remove(stage, 1)?;
    checks.allowed("and a semaphore", &removed);
    cgroups::make_in_the_end(&stage.web, "made-2")?;
    ipc::make_in_the_end(stage, 1)?;
    both(checks, ledger, "after a change")?;
    cgroups::passed(&daemon)?;
    ledger.no_drift(checks, &daemon, "after a change")?;
    at_the_bound(checks, stage, "over the pins of an earlier build");
    stage.kept_apart(checks, "over the pins of an earlier build");
    checks.equal("that is no drift", &ledger.drifted, &0);
    Ok(daemon)
}

fn both(checks: &mut Checks, ledger: &Ledger, when: &str) -> Result<(), Failure> {
    ledger.agrees(checks, when, Share::Cgroups, QUOTA)?;
    ledger.agrees(checks, when, Share::Ipc, QUOTA)
}

/// Web is refused more of either, and db is not.
fn at_the_bound(checks: &mut Checks, stage: &Stage, when: &str) {
    let more = cgroups::make(&stage.web, "more");
    checks.equal(
        format!("{when}: web makes a cgroup"),
        &more,
        &cgroups::full(),
    );
    let more = ipc::make(stage, 9);
    checks.equal(
        format!("{when}: web makes a semaphore"),
        &more,
        &cgroups::full(),
    );
    checks.allowed(
        format!("{when}: db makes a cgroup"),
        &cgroups::make(&stage.db, "twin"),
    );
    checks.allowed(
        format!("{when}: db removes it"),
        &cgroups::remove(&stage.db, "twin"),
    );
}
