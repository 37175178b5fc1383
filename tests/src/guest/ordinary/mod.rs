//! Suite `ordinary`: programs that nobody wrote for zones run in zones, on a node that enforces, and nothing
//! is denied to them. Then what they are kept from is denied, so that the suite cannot pass by enforcing
//! nothing.

mod container;
mod services;
mod work;

use std::path::Path;
use std::process::Command;

use super::systemd::node::{self, CORE, denials};
use super::systemd::unit;
use super::{Checks, Failure};
use crate::daemon::Setup;

/// Installs the node and goes through everything.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    unit::systemctl(&["is-system-running", "--wait"])?;
    node::unpack()?;
    let installed = node::script("install.sh", &[])?;
    checks.that(
        "the node installs",
        installed.status.success(),
        format!("{installed:?}"),
    );
    unit::must(&["start", CORE])?;
    let core = node::installed();
    let zones = services::zones(&core)?;
    services::run(checks, &core)?;
    work::run(checks, &core)?;
    container::run(checks, &core)?;
    let status = core.done(&["status"])?;
    checks.equal(
        "the node is healthy",
        &status.text("health").as_str(),
        &"healthy",
    );
    zones.are_kept_apart(checks, &core)
}

/// Does something, which must succeed and of which nothing must be denied.
fn undisturbed(
    checks: &mut Checks,
    core: &Setup,
    what: &str,
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let before = denials(core)?;
    let done = act().map_err(|failure| failure.to_string());
    let denied = denials(core)? - before;
    checks.check(what, done);
    let events = if denied == 0 {
        String::new()
    } else {
        format!("{denied}: {:?}", core.done(&["events"])?.lines)
    };
    checks.that(format!("{what}: nothing is denied"), denied == 0, events);
    Ok(())
}

/// A script, as root on the host.
fn shell(script: &str) -> Result<String, Failure> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{script}: {}: {said}", output.status).into())
}

/// The same in a cgroup, which the shell joins first.
fn shell_in(cgroup: &Path, script: &str) -> Result<String, Failure> {
    shell(&format!(
        "echo 0 >{}/cgroup.procs\n{script}",
        cgroup.display()
    ))
}
