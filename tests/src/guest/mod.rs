//! The guest side: what runs inside a virtual machine, a module a suite.

pub mod actor;
pub mod attack;
pub mod bad_host;
mod changing;
pub mod checks;
pub mod count;
pub mod crash;
pub mod decide;
pub mod demo;
pub mod deny_open;
mod disk_commands;
pub mod disk_full;
pub mod docs;
pub mod empty_open;
pub mod enforce;
pub mod engine;
pub mod file_systems;
pub mod gapless;
pub mod harness;
pub mod host;
pub mod host_sockets;
mod keys;
pub mod life;
pub mod links;
pub mod load;
mod maps;
pub mod mounting;
pub mod mutating;
pub mod operations;
pub mod options;
pub mod ordinary;
pub mod podman;
pub mod preempt;
mod queues;
pub mod quota;
pub mod raw;
pub mod reresolve;
mod signalling;
pub mod silent;
mod sockets;
pub mod stage;
pub mod systemd;
mod sysv;
pub mod tracer;
mod uevents;
mod uring;
pub mod verify;

use std::env;
use std::path::PathBuf;

pub use checks::Checks;

/// Why a suite could not go on; any error will do, as will a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The path of a binary of this workspace. They lie beside this program both in a guest (`/bin`)
/// and on a development machine (`target/debug`).
pub fn binary(name: &str) -> Result<PathBuf, Failure> {
    let this = env::current_exe().map_err(|error| format!("reading /proc/self/exe: {error}"))?;
    let path = this.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("no {}: name it in the suite's `pack`", path.display()).into())
}
