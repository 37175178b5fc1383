//! Suite `enforce`: zones are kept apart by the kernel, seen from the library that writes the maps.

mod beforehand;
mod changing;
mod executing;
mod failures;
mod files;
mod host_sockets;
mod ipc;
mod kept_names;
mod keys;
mod labels;
mod life;
mod linked;
mod makers;
mod mutations;
mod openings;
mod overlays;
mod relabelling;
mod socket_forms;
mod sockets;
mod tasks;
mod tracing;
pub(super) mod world;

use super::{Checks, Failure};
use world::World;

/// Loads, makes three zones, and attacks one from another.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut world = World::new()?;
    files::run(checks, &mut world)?;
    labels::run(checks, &mut world)?;
    overlays::run(checks, &mut world)?;
    beforehand::run(checks, &mut world)?;
    tasks::run(checks, &mut world)?;
    sockets::run(checks, &mut world)?;
    host_sockets::run(checks, &mut world)?;
    executing::run(checks, &mut world)?;
    tracing::run(checks, &mut world)?;
    life::run(checks, &mut world)?;
    world.no_errors(checks)
}

/// Suite `mutate`: what is another zone's is not changed, and no way of opening leads around.
pub fn mutate(checks: &mut Checks) -> Result<(), Failure> {
    let mut world = World::new()?;
    mutations::run(checks, &mut world)?;
    openings::run(checks, &mut world)?;
    linked::run(checks, &mut world)?;
    world.no_errors(checks)
}

/// Suite `tasks`: another zone's task is not changed, and not signalled by any call.
pub fn change_tasks(checks: &mut Checks) -> Result<(), Failure> {
    let mut world = World::new()?;
    changing::run(checks, &mut world)?;
    world.no_errors(checks)
}

/// Suite `ipc`: what a zone makes for processes to talk by is its own.
pub fn ipc(checks: &mut Checks) -> Result<(), Failure> {
    let before = ipc::beforehand()?;
    let mut world = World::new()?;
    socket_forms::run(checks, &mut world)?;
    makers::run(checks, &mut world)?;
    ipc::run(checks, &mut world, before)?;
    keys::run(checks, &mut world)?;
    world.no_errors(checks)
}

/// Suite `failures`: what fails in the kernel is counted, and what lets something through degrades health.
pub fn failures(checks: &mut Checks) -> Result<(), Failure> {
    let mut world = World::new()?;
    failures::run(checks, &mut world)?;
    drop(world);
    super::life::failures::run(checks)
}
