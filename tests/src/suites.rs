//! The table of suites: what each claims, where it runs and how it is booted.
//!
//! To add one: write `guest/NAME.rs` with `pub fn run(checks: &mut Checks) -> Result<(), Failure>`,
//! name the module in `guest/mod.rs`, and add an entry here.

use crate::guest::{self, Checks, Failure};
use crate::vm::qemu::Boot;

/// One suite.
#[derive(Debug)]
pub struct Suite {
    /// Its name on the command line.
    pub name: &'static str,
    /// What a pass proves, in one sentence.
    pub claims: &'static str,
    /// The kernels it is meant for, by the names of [`crate::vm::kernels::ALL`].
    pub kernels: &'static [&'static str],
    /// The kernels `make test` runs it on.
    pub gate: &'static [&'static str],
    /// Seconds after which the guest is killed and the suite has failed.
    pub limit: u64,
    /// Seconds it should take; more is a warning.
    pub budget: u64,
    /// How its guest is booted.
    pub boot: Boot,
    /// Binaries of this workspace that it needs in the guest, besides `syva-guest`.
    pub pack: &'static [&'static str],
    /// The suite itself, run in the guest.
    pub run: fn(&mut Checks) -> Result<(), Failure>,
}

/// Every kernel.
pub const EVERY: &[&str] = &["5.10", "6.1", "6.12", "latest"];

/// The kernels most suites are run on by `make test`.
pub const USUAL: &[&str] = &["6.1", "6.12"];

/// Every suite, in the order they run.
pub const ALL: &[Suite] = &[
    Suite {
        name: "harness",
        claims: "this kernel enforces a BPF LSM program, for one cgroup and one inode only",
        kernels: EVERY,
        gate: EVERY,
        limit: 120,
        budget: 30,
        boot: Boot::DEFAULT,
        pack: &[],
        run: guest::harness::run,
    },
    Suite {
        name: "load",
        claims: "this kernel accepts every program, alone and with the others",
        kernels: EVERY,
        gate: EVERY,
        limit: 300,
        budget: 60,
        boot: Boot::DEFAULT,
        pack: &[],
        run: guest::load::run,
    },
    Suite {
        name: "enforce",
        claims: "zones are kept apart: files, signals, sockets, nested cgroups, renames",
        kernels: EVERY,
        gate: USUAL,
        limit: 300,
        budget: 60,
        boot: Boot {
            modules: &["overlay"],
            ..Boot::DEFAULT
        },
        pack: &[],
        run: guest::enforce::run,
    },
    Suite {
        name: "count",
        claims: "the hooks cost an unzoned caller almost nothing, counted in instructions",
        kernels: EVERY,
        gate: &["6.12"],
        limit: 300,
        budget: 60,
        boot: Boot::COUNT,
        pack: &[],
        run: guest::count::run,
    },
    Suite {
        name: "preempt",
        claims: "on a fully preemptible kernel no hook is skipped, and denials are counted exactly",
        kernels: EVERY,
        gate: &["6.12"],
        limit: 300,
        budget: 60,
        boot: Boot {
            processors: 1,
            kernel_args: &["preempt=full"],
            ..Boot::DEFAULT
        },
        pack: &[],
        run: guest::preempt::run,
    },
];

/// The suite with that name.
pub fn named(name: &str) -> Option<&'static Suite> {
    ALL.iter().find(|suite| suite.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels;

    #[test]
    fn every_entry_is_coherent() {
        for (at, suite) in ALL.iter().enumerate() {
            let name = suite.name;
            assert!(
                ALL[at + 1..].iter().all(|other| other.name != name),
                "{name} is there twice"
            );
            assert!(
                suite.budget < suite.limit,
                "{name}: no time over its budget"
            );
            for kernel in suite.kernels.iter().chain(suite.gate) {
                assert!(kernels::named(kernel).is_ok(), "{name}: no kernel {kernel}");
            }
            assert!(
                suite.gate.iter().all(|k| suite.kernels.contains(k)),
                "{name}: gate"
            );
        }
    }
}
