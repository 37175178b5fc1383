//! Modes, of the node and of one zone, changed while tasks run.

use serde_json::json;

use crate::daemon::Daemon;
use crate::guest::actor::act;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// One zone is only audited, then the node is but for that zone.
pub fn of_zones(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let before = counted(daemon)?;
    daemon.done(&["mode", "audit", "--zone", "web"])?;
    let outcome = stage.tries(&stage.web);
    checks.allowed("web, audited, opens db's file", &outcome);
    of_db(checks, stage, "with web audited");
    checks.equal(
        "one denial and one operation that would have been denied are counted",
        &counted(daemon)?,
        &Counted {
            deny: before.deny + 1,
            would_deny: before.would_deny + 1,
        },
    );
    let status = daemon.done(&["status"])?;
    let status = status.json();
    checks.equal(
        "status says that the node enforces, and web does not",
        &(&status["mode"], &status["zones_of_other_mode"]),
        &(&json!("enforce"), &json!(["web"])),
    );

    daemon.done(&["mode", "audit"])?;
    daemon.done(&["mode", "enforce", "--zone", "web"])?;
    stage.kept_apart(checks, "enforced on an audited node");
    let outcome = act(&stage.db, "open", &[&stage.own]);
    checks.allowed("db, which follows the node, opens web's file", &outcome);

    daemon.done(&["mode", "enforce"])?;
    daemon.done(&["mode", "inherit", "--zone", "web"])?;
    stage.kept_apart(checks, "all enforced again");
    of_db(checks, stage, "all enforced again");
    let status = daemon.done(&["status"])?;
    let status = status.json();
    checks.equal(
        "no zone has another mode than the node",
        &status["zones_of_other_mode"],
        &json!([]),
    );
    Ok(())
}

/// What `db` may and may not, which web's mode has nothing to do with.
fn of_db(checks: &mut Checks, stage: &Stage, when: &str) {
    checks.denied(
        format!("{when}, db is denied web's file"),
        &act(&stage.db, "open", &[&stage.own]),
    );
    checks.allowed(format!("{when}, db opens its own"), &stage.tries(&stage.db));
}

/// What `file_open` has counted.
#[derive(Debug, PartialEq)]
struct Counted {
    deny: u64,
    would_deny: u64,
}

fn counted(daemon: &Daemon) -> Result<Counted, Failure> {
    let status = daemon.done(&["status"])?;
    let status = status.json();
    let hooks = status["hooks"].as_array().ok_or("no hooks")?;
    let hook = hooks
        .iter()
        .find(|hook| hook["hook"] == "file_open")
        .ok_or("no file_open")?;
    let count = |of: &str| hook[of].as_u64().ok_or("no count");
    Ok(Counted {
        deny: count("deny")?,
        would_deny: count("would_deny")?,
    })
}
