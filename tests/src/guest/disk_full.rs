//! Suite `disk-full`: the journal's file system fills up under a daemon that enforces.

use std::fs::{self, File};
use std::io::Write as _;

use super::stage::{Stage, setup};
use super::{Checks, Failure};
use crate::daemon::{Daemon, eventually};

const DISK: &str = "/mnt/small";
const STATE: &str = "/mnt/small/state";
const BALLAST: &str = "/mnt/small/ballast";

/// Fills what is left, to the last byte.
fn fill() -> Result<(), Failure> {
    let mut ballast = File::create(BALLAST)?;
    let page = [0; 4096];
    while ballast.write_all(&page).is_ok() {}
    let left = rustix::fs::statvfs(DISK)?.f_bfree;
    match left {
        0 => Ok(()),
        left => Err(format!("{left} blocks of {DISK} are still free").into()),
    }
}

fn health(daemon: &Daemon) -> Result<String, Failure> {
    Ok(daemon.done(&["status"])?.text("health"))
}

/// Fills it before a command and before a start. That it may fill up between a command's look for room and
/// its writing is journal/tests' matter: here the store may find space in what its file already has.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    fs::create_dir_all(DISK)?;
    rustix::mount::mount(
        "small",
        DISK,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        c"size=4m",
    )?;
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?.with_state(STATE.into());
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "with room on the disk");
    checks.equal("it is healthy", &health(&daemon)?.as_str(), &"healthy");
    let before = daemon.digest()?;

    fill()?;
    for name in ["late", "later"] {
        let refused = daemon.cli(&["zones", "register", name])?;
        checks.that(
            format!("{name}: a command is refused, and told what to do"),
            refused.exit == 4 && refused.reason().contains("make room"),
            format!("{refused:?}"),
        );
    }
    checks.equal("nothing of them is journaled", &daemon.digest()?, &before);
    stage.kept_apart(checks, "with a full disk");
    let zones = daemon.done(&["zones", "list"])?.json()["zones"].clone();
    let count = zones.as_array().map(Vec::len);
    checks.equal("reads go on", &count, &Some(2));
    eventually("health tells", || Ok(health(&daemon)? == "degraded"))?;
    let status = daemon.done(&["status"])?;
    let reasons = status.json()["degraded_reasons"].to_string();
    checks.that(
        "health names the journal's directory and what to do",
        reasons.contains(STATE) && reasons.contains("make room"),
        reasons,
    );

    fs::remove_file(BALLAST)?;
    let taken = daemon.cli(&["zones", "register", "late"])?;
    checks.equal(
        "with room again, the next command is taken",
        &taken.exit,
        &0,
    );
    checks.equal("it is one entry", &daemon.digest()?.0, &(before.0 + 1));
    eventually("health", || Ok(health(&daemon)? == "healthy"))?;
    checks.that("and the daemon is healthy without a restart", true, "");
    stage.kept_apart(checks, "with room again");
    daemon.terminate()?;
    let daemon = setup.start()?;
    let before = daemon.digest()?;
    daemon.terminate()?;
    fill()?;
    let ended = setup.end()?;
    checks.that(
        "a start that finds no room says so",
        ended.log.contains("make room"),
        format!("{ended:?}"),
    );
    let first = setup.clone().with_state("/mnt/small/first".into());
    let ended = first.end()?;
    checks.that(
        "so does the very first",
        ended.log.contains("No space left on device"),
        format!("{ended:?}"),
    );
    fs::remove_file(BALLAST)?;
    first.start()?.terminate()?;
    checks.that("with room it makes its journal", true, "");
    let daemon = setup.start()?;
    checks.equal("restarted, all of it is there", &daemon.digest()?, &before);
    stage.kept_apart(checks, "restarted");
    Ok(())
}
