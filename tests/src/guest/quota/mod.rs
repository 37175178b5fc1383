//! Suite `quota`: one zone takes all that it may of what all zones share — nested cgroups, System V objects and
//! keys — and is refused more; other zones and the host make theirs at that moment. The counts outlive the
//! daemon, and are put right where they are wrong.

mod cgroups;
mod ipc;
mod ledger;
mod wrong;

use super::stage::{Stage, setup};
use super::{Checks, Failure};
use ledger::Ledger;

/// How much a zone may have, of either.
const QUOTA: u64 = 6;

/// Runs a daemon with a small quota, and has a zone reach it.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let quota = QUOTA.to_string();
    let setup = setup(&[
        "--zone-cgroups",
        &quota,
        "--zone-ipc",
        &quota,
        "--reconcile-interval",
        "1",
    ])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    let mut ledger = Ledger::open(&daemon)?;
    cgroups::run(checks, &stage, &daemon, &mut ledger)?;
    ipc::run(checks, &stage, &daemon, &mut ledger)?;
    let daemon = wrong::without_a_daemon(checks, &stage, daemon, &mut ledger)?;
    wrong::repaired(checks, &stage, &daemon, &mut ledger)?;
    let daemon = wrong::from_an_earlier_build(checks, &stage, daemon, &mut ledger)?;
    cgroups::other_hands(checks, &stage, &daemon, &mut ledger)?;
    stage.kept_apart(checks, "after all of that");
    daemon.terminate()?;
    Ok(())
}
