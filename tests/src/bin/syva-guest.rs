//! Runs one suite inside a virtual machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use syva_e2e::guest::checks::chain;
use syva_e2e::guest::{Checks, actor, host};
use syva_e2e::suites;

/// Runs Syvä's suites from the inside; `vmtest` starts it.
#[derive(Parser)]
enum Arguments {
    /// Runs a suite on this very kernel.
    Run {
        /// The suite's name.
        suite: String,
    },
    /// Says whether this kernel can enforce anything, and what it lacks.
    Able,
    /// Joins a cgroup and does one thing; the exit status is the error number.
    Act {
        /// The cgroup's folder.
        cgroup: PathBuf,
        /// What to do.
        action: String,
        /// On what.
        args: Vec<PathBuf>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse() {
        Arguments::Run { suite } => run(&suite),
        Arguments::Able => Ok(able()),
        Arguments::Act {
            cgroup,
            action,
            args,
        } => std::process::exit(actor::perform(&cgroup, &action, &args)),
    }
}

fn run(name: &str) -> anyhow::Result<ExitCode> {
    let suite = suites::named(name).with_context(|| format!("no suite named {name:?}"))?;
    let mut checks = Checks::new();
    if let Err(failure) = (suite.run)(&mut checks) {
        checks.check("the suite runs to its end", Err(chain(&*failure)));
    }
    Ok(if checks.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn able() -> ExitCode {
    let lacking = host::lacking();
    for what in &lacking {
        eprintln!("syva-guest: this machine cannot enforce zones: {what}");
    }
    if lacking.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
