//! Suite `disk-full`: the journal's file system fills up under a daemon that enforces.

use std::fs::{self, File};
use std::io::Write as _;
use std::thread;
use std::time::Duration;

use super::stage::{Stage, setup};
use super::{Checks, Failure, binary};
use crate::daemon::{Daemon, Setup, eventually};

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

/// Fills it before a command, between a command's look for room and its writing, and before a start.
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
    let before = by_surprise(checks, &stage, &setup)?;
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

/// The disk is full when the journal's store writes, though there was room when the daemon looked: the
/// store can then only be opened again, and needs space for that. Says what the journal holds then.
fn by_surprise(
    checks: &mut Checks,
    stage: &Stage,
    setup: &Setup,
) -> Result<(u64, String), Failure> {
    let slow = setup
        .clone()
        .program(binary("syva-core-failpoints")?)
        .variable("FAILPOINTS", "journal-after-append=1*sleep(2000)");
    let daemon = slow.start()?;
    let before = daemon.digest()?;
    let asking = slow.clone();
    // More than what the store's file already has on the disk and does not use.
    let mut words = ["zones", "register", "surprise"]
        .map(str::to_owned)
        .to_vec();
    for number in 0..1500 {
        words.extend(["--allow-zone".to_owned(), format!("z{number:0100}")]);
    }
    let asked = thread::spawn(move || {
        let answer = asking.cli(&words);
        answer.map_err(|error| error.to_string())
    });
    thread::sleep(Duration::from_millis(500));
    fill()?;
    let answer = asked.join().map_err(|_| "it panicked")??;
    // The store may find space in what its file already has: what was told is what counts.
    let taken = answer.exit == 0;
    checks.note(format!(
        "filled before its writing, a command was taken: {taken}"
    ));
    stage.kept_apart(checks, "filled before a writing");
    fs::remove_file(BALLAST)?;
    eventually("health", || {
        Ok(daemon.cli(&["status"])?.text("health") == "healthy")
    })?;
    checks.equal(
        "with room again it is healthy without a restart, and what was called done is journaled, and nothing else",
        &daemon.digest()?.0,
        &(before.0 + u64::from(taken)),
    );
    let taken = daemon.cli(&["zones", "register", "surprise"])?;
    checks.equal("and takes commands", &taken.exit, &0);
    let after = daemon.digest()?;
    checks.equal("one entry each", &after.0, &(before.0 + 1));
    daemon.terminate()?;
    Ok(after)
}
