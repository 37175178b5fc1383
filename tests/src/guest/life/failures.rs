//! A failure in the kernel that lets something through degrades the node, by the name of its site.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use libbpf_rs::{MapCore as _, MapFlags};

use crate::daemon::{Daemon, eventually};
use crate::guest::maps::{self, loaded};
use crate::guest::stage::{Stage, attach, setup};
use crate::guest::{Checks, Failure};

/// Spoils the row of a membership, which nobody repairs meanwhile, and has a task of it try.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "3600"])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "nothing failed");
    let reasons = reasons(&daemon)?;
    checks.equal("then health has no reason to complain", &reasons, &vec![]);

    let members = loaded("members")?;
    let key = fs::metadata(&stage.web)?.ino().to_ne_bytes();
    let row = maps::spoil(&members, &key, 0)?;
    // Whatever the daemon writes to the table makes copies of its rows stale.
    attach(&daemon, "c-free", "db", &stage.free)?;
    daemon.done(&["containers", "detach", "c-free"])?;
    let outcome = stage.tries(&stage.web);
    checks.allowed("a task whose zone is not known is let through", &outcome);
    let named = |reason: &String| reason.contains("site member_reused");
    let told = eventually("health names the site", || {
        Ok(self::reasons(&daemon)?.iter().any(named))
    });
    checks.check("the node is degraded, and health names the site", told);
    let status = daemon.done(&["status"])?;
    let counted = status.json()["kernel_errors"]["member_reused"].as_u64();
    let some = counted.is_some_and(|count| count > 0);
    checks.that("status counts it by its site", some, format!("{counted:?}"));
    checks.equal(
        "it is degraded",
        &status.text("health").as_str(),
        &"degraded",
    );

    members.update(&key, &row, MapFlags::EXIST)?;
    attach(&daemon, "c-free", "db", &stage.free)?;
    daemon.done(&["containers", "detach", "c-free"])?;
    stage.kept_apart(checks, "the row is well again");
    daemon.terminate()?;
    let daemon = setup.start()?;
    let reasons = self::reasons(&daemon)?;
    checks.equal(
        "what was counted before a start is no news",
        &reasons,
        &vec![],
    );
    daemon.terminate()?;
    Ok(())
}

fn reasons(daemon: &Daemon) -> Result<Vec<String>, Failure> {
    let status = daemon.done(&["status"])?;
    let reasons = status.json()["degraded_reasons"].as_array().cloned();
    let words = reasons.unwrap_or_default();
    Ok(words
        .iter()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect())
}
