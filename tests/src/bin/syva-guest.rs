//! Runs one suite inside a virtual machine.

use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Runs the demonstration on this very kernel, if it can enforce.
    Demo,
    /// Runs a suite that has a contract on this very kernel, if it can enforce.
    Verify {
        /// The suite's name.
        suite: String,
    },
    /// Says whether this kernel can enforce anything, and what it lacks.
    Able,
    /// Does one thing where it is; the exit status is the error number.
    Do {
        /// What to do.
        action: String,
        /// On what.
        args: Vec<PathBuf>,
    },
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

fn main() -> ExitCode {
    match Arguments::parse() {
        Arguments::Run { suite } => run(&suite, "suite"),
        Arguments::Demo if host::lacking().is_empty() => run("demo", "demo"),
        Arguments::Verify { suite } if host::lacking().is_empty() => run(&suite, "verify"),
        Arguments::Demo | Arguments::Verify { .. } => able(),
        Arguments::Able => able(),
        Arguments::Do { action, args } => std::process::exit(actor::perform_here(&action, &args)),
        Arguments::Act {
            cgroup,
            action,
            args,
        } => std::process::exit(actor::perform(&cgroup, &action, &args)),
    }
}

fn run(name: &str, title: &str) -> ExitCode {
    let Some(suite) = suites::named(name) else {
        eprintln!("syva-guest: no suite named {name:?}; `vmtest list` names them");
        return ExitCode::FAILURE;
    };
    let mut checks = Checks::new();
    if let Err(failure) = (suite.run)(&mut checks) {
        checks.check("the suite runs to its end", Err(chain(&*failure)));
    }
    if checks.finish(title) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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
