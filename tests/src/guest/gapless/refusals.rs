//! A start that is refused, and one on a journal that is, leave everything as it is, which the probe
//! sees at every moment.

use std::fs;
use std::path::Path;

use syva_model::entry::Hash;

use super::PINS;
use crate::daemon::{Daemon, Setup};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Starts what is to be refused, and sees that it changed nothing.
pub fn not_started(checks: &mut Checks, stage: &Stage, daemon: Daemon) -> Result<Daemon, Failure> {
    let setup = daemon.setup().clone();
    let beside = setup.clone().at_socket("/run/syva/beside.sock".into());
    refused(checks, &beside, "the same journal, locked", "lock")?;
    let other = beside.with_state("/run/syva/beside".into());
    let used = "another daemon uses it";
    refused(checks, &other, "another journal, the same pins", used)?;
    stage.kept_apart(checks, "with a second daemon refused");
    daemon.terminate()?;

    let smaller = setup.clone().args(&["--max-pairs", "10"]);
    refused(checks, &smaller, "other capacities", "--unload")?;
    stage.kept_apart(checks, "with other capacities refused");

    let foreign = Path::new(PINS).join("v999");
    fs::create_dir(&foreign)?;
    refused(checks, &setup, "the maps of a newer version", "v999")?;
    fs::remove_dir(&foreign)?;

    of_the_journal(checks, stage, &setup)?;
    let daemon = setup.start()?;
    stage.kept_apart(checks, "started at last");
    Ok(daemon)
}

/// A journal that is damaged, lost, or of a newer version: the daemon stands by (D11).
fn of_the_journal(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<(), Failure> {
    let db = setup.state().join("db");
    let aside = setup.state().join("db.aside");
    fs::rename(&db, &aside)?;
    stands_by(
        checks,
        stage,
        setup,
        "a journal that is lost",
        "journal's store",
    )?;
    // The refused start may have made a store of its own in its place.
    if db.is_dir() {
        fs::remove_dir_all(&db)?;
    }
    fs::write(&db, "no journal")?;
    stands_by(checks, stage, setup, "a journal that is none", "corrupted")?;
    fs::remove_file(&db)?;
    fs::rename(&aside, &db)?;

    let anchor = setup.state().join("anchor");
    let saved = fs::read(&anchor)?;
    fs::write(&anchor, of_format_2(&saved))?;
    stands_by(
        checks,
        stage,
        setup,
        "a newer version's journal",
        "has format 2",
    )?;
    fs::write(&anchor, saved)?;
    Ok(())
}

/// Checks that a daemon that starts on such a journal leaves alone what is enforced, answers, takes no
/// command, and says why.
fn stands_by(
    checks: &mut Checks,
    stage: &Stage,
    setup: &Setup,
    what: &str,
    says: &str,
) -> Result<(), Failure> {
    let daemon = setup.start()?;
    stage.kept_apart(checks, &format!("with {what}"));
    let told = told(checks, &daemon, what, "degraded")?;
    checks.that(format!("{what}: it says why"), told.contains(says), &told);
    daemon.terminate()?;
    stage.kept_apart(checks, &format!("stopped again, with {what}"));
    Ok(())
}

/// Checks what the daemon answers on a journal that is refused; returns why its node is not healthy.
fn told(checks: &mut Checks, daemon: &Daemon, what: &str, health: &str) -> Result<String, Failure> {
    let status = daemon.done(&["status"])?;
    checks.equal(
        format!("{what}: the node is {health}"),
        &status.text("health").as_str(),
        &health,
    );
    let zones = daemon.done(&["zones", "list"])?.json()["zones"].to_string();
    checks.that(
        format!("{what}: what the snapshot has is listed"),
        zones.contains("web"),
        &zones,
    );
    let refused = daemon.cli(&["zones", "register", "more"])?;
    checks.that(
        format!("{what}: a command is refused"),
        refused.exit != 0 && refused.reason().contains("not journaled"),
        format!("{refused:?}"),
    );
    Ok(status.json()["degraded_reasons"].to_string())
}

/// The kernel holds nothing, as after a boot, and the journal is refused: the snapshot is enforced.
pub fn with_nothing_left(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<(), Failure> {
    let anchor = setup.state().join("anchor");
    let saved = fs::read(&anchor)?;
    fs::write(&anchor, of_format_2(&saved))?;
    let daemon = setup.start()?;
    stage.kept_apart(
        checks,
        "by the snapshot, with nothing pinned and the journal refused",
    );
    told(checks, &daemon, "with nothing pinned", "unsafe")?;
    daemon.terminate()?;
    fs::write(&anchor, saved)?;
    Ok(())
}

/// The head anchor as another version would write it: the last byte of the format's eight, in both slots,
/// and the sums over them.
fn of_format_2(anchor: &[u8]) -> Vec<u8> {
    let mut newer = anchor.to_vec();
    for slot in [0, 4096] {
        newer[slot + 15] = 2;
        let sum = Hash::of(&newer[slot..slot + 64]);
        newer[slot + 64..slot + 96].copy_from_slice(&sum.0);
    }
    newer
}

/// Checks that a start ends at once, and says why.
pub fn refused(checks: &mut Checks, setup: &Setup, what: &str, says: &str) -> Result<(), Failure> {
    let ended = setup.end()?;
    checks.that(
        format!("{what}: it does not start, and says why"),
        !ended.status.success() && ended.log.contains(says),
        format!("{ended:?}"),
    );
    checks.note(format!(
        "{what}: {}",
        ended
            .log
            .lines()
            .find(|line| line.contains("Error"))
            .unwrap_or_default()
    ));
    Ok(())
}
