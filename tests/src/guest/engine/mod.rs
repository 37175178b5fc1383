//! Suite `engine`: root in a zone, with every capability and in the host's own namespaces, neither leaves its
//! zone nor touches what enforces it, and each refusal has its allowed twin.

pub mod acting;
mod bpf;
mod cgroups;
pub mod daemon;
mod disks;
mod doors;
mod files;
mod moves;
mod naming;
mod pins;
mod pulled;
pub mod raw_bpf;
pub mod raw_doors;
mod raw_files;
mod starting;

use super::enforce::world::World;
use super::{Checks, Failure};

pub use self::files::{apparmor, selinux};

/// Loads, makes the zones, and attacks the node from one of them.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut world = World::new()?;
    cgroups::run(checks, &mut world)?;
    starting::run(checks, &mut world)?;
    moves::run(checks, &mut world)?;
    bpf::run(checks, &mut world)?;
    pins::run(checks, &mut world)?;
    files::run(checks, &mut world)?;
    disks::run(checks, &mut world)?;
    doors::run(checks, &mut world)?;
    world.no_errors(checks)
}
