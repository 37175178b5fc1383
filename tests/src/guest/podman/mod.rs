//! Suites `podman` and `podman-crowd`: real containers, each in its zone; they need a guest with systemd,
//! podman and crun.

mod api;
mod container;
pub mod crowd;
mod host;
mod lines;
mod pods;

use super::verify::contract::{keep, terms};
use super::{Checks, Failure};
use pods::Pods;

/// The contract's lines.
pub fn contract() -> Vec<String> {
    terms(&lines::all())
}

/// Starts the daemon and two containers, and keeps the contract.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let pods = Pods::start(checks)?;
    keep(checks, &pods, &pods.host.counters, &lines::all())?;
    pods.end(checks)
}
