//! Suite `daemon`: a real daemon on a real kernel, over its life: cgroups that come and go, restarts,
//! maps that others change, a new boot, file systems it does not know.

mod boot;
mod cgroups;
mod drift;
pub mod failures;
mod modes;
pub mod paths;

use super::stage::{Stage, setup};
use super::{Checks, Failure};

/// Starts the daemon in a cgroup of its own, and goes through its life.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    super::actor::make_cgroup("system/syva")?;
    let join = "echo 0 >/sys/fs/cgroup/system/syva/cgroup.procs && exec \"$0\" \"$@\"";
    let setup = setup(&["--reconcile-interval", "1"])?.under(&["sh", "-c", join]);

    let daemon = setup.start()?;
    let status = daemon.done(&["status"])?;
    checks.equal(
        "every hook is attached",
        &status.json()["attached"],
        &true.into(),
    );
    checks.equal("it is healthy", &status.text("health").as_str(), &"healthy");
    stage.register(&daemon)?;
    cgroups::refused(checks, &daemon)?;
    cgroups::nested(checks, &stage, &daemon)?;
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "attached");
    cgroups::gone(checks, &daemon)?;
    modes::of_zones(checks, &stage, &daemon)?;
    drift::repaired(checks, &stage, &daemon)?;
    paths::file_systems(checks, &stage, &daemon)?;
    paths::taken_back(checks, &stage, &daemon)?;

    let before = daemon.digest()?;
    let ended = daemon.terminate()?;
    checks.equal("SIGTERM is a success", &ended.code(), &Some(0));
    let daemon = setup.start()?;
    checks.equal("a restart keeps the state", &daemon.digest()?, &before);
    stage.kept_apart(checks, "restarted");
    daemon.kill()?;
    let daemon = setup.start()?;
    checks.equal("so does a kill", &daemon.digest()?, &before);
    stage.kept_apart(checks, "killed and restarted");
    daemon.terminate()?;
    boot::new_boot(checks, &stage, &setup)
}
