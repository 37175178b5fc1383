//! Suite `systemd`: a real systemd runs the daemon, from the installation to its removal.

mod faults;
mod install;
mod life;
pub mod node;
mod paths;
pub mod unit;
pub mod zoned;

use super::gapless::hammer::Hammer;
use super::stage::Stage;
use super::{Checks, Failure};

/// So often must the probe have tried, or it says nothing.
const ATTEMPTS: u64 = 2_000;

/// Installs, runs, disturbs, stops, removes.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    // The system has to be up: what is measured here is not its start.
    unit::systemctl(&["is-system-running", "--wait"])?;
    node::unpack()?;
    paths::prepare()?;
    let before = node::files()?;
    install::installed(checks)?;
    let stage = Stage::build()?;
    let core = node::installed();
    life::started(checks, &core)?;
    let running = life::populated(&stage, &core)?;
    stage.kept_apart(checks, "started by systemd");
    let hammer = Hammer::start(&stage, 2)?;
    life::restarted(checks, &stage, &core)?;
    life::killed(checks, &stage, &core)?;
    hammer.judge(checks, "over systemctl restart and kill -9", ATTEMPTS)?;
    paths::of_the_host(checks, &stage, &core)?;
    faults::watchdog(checks, &stage, &core)?;
    faults::port_in_use(checks, &stage)?;
    faults::without_journald(checks, &stage, &core)?;
    life::stopped(checks, &stage, &core)?;
    drop(running);
    install::removed(checks, &stage, &before)
}
