//! Suites that must not pass: a harness that cannot fail proves nothing.
//!
//! They are in a table of their own, so that no run of `all` meets them.

use std::process;
use std::time::Duration;
use std::{fs, thread};

use crate::guest::verify::wrong;
use crate::guest::{Checks, Failure};
use crate::suites::{DAEMON, SUITE, Suite};
use crate::vm::serial::Verdict;

/// A suite that goes wrong, and whether a verdict says that it did so in the way it should.
pub type Wrong = (Suite, fn(&Verdict) -> bool);

/// One of every way in which a suite can fail.
pub const ALL: &[Wrong] = &[
    (
        Suite {
            name: "self-panic",
            claims: "a panic is noticed",
            run: panic,
            ..SUITE
        },
        |verdict| matches!(verdict, Verdict::Panicked(_)),
    ),
    (
        Suite {
            name: "self-hang",
            claims: "the limit ends it",
            limit: 8,
            run: hang,
            ..SUITE
        },
        |verdict| *verdict == Verdict::TimedOut(8),
    ),
    (
        Suite {
            name: "self-silent",
            claims: "no marker is no pass",
            run: silent,
            ..SUITE
        },
        |verdict| *verdict == Verdict::Unfinished,
    ),
    (
        Suite {
            name: "self-empty",
            claims: "no checks is no pass",
            run: empty,
            ..SUITE
        },
        |verdict| *verdict == Verdict::NothingChecked,
    ),
    (
        Suite {
            name: "self-failing",
            claims: "a failed check and an error",
            run: fail,
            ..SUITE
        },
        |verdict| *verdict == Verdict::ChecksFailed(2),
    ),
    (
        Suite {
            name: "self-contract",
            claims: "every wrong line of a contract, and no other",
            pack: DAEMON,
            contract: wrong::contract,
            run: wrong::run,
            ..SUITE
        },
        |verdict| *verdict == Verdict::ChecksFailed(wrong::WRONG),
    ),
    (
        Suite {
            name: "self-contract-short",
            claims: "lines of a contract that are not run",
            pack: DAEMON,
            contract: wrong::contract,
            run: wrong::run_short,
            ..SUITE
        },
        |verdict| matches!(verdict, Verdict::Unkept(lines) if lines.len() == wrong::WRONG),
    ),
];

fn panic(checks: &mut Checks) -> Result<(), Failure> {
    checks.that("something passed before", true, "");
    checks.note("about to crash the kernel");
    fs::write("/proc/sysrq-trigger", "c")?;
    Ok(())
}

fn hang(checks: &mut Checks) -> Result<(), Failure> {
    checks.that("something passed before", true, "");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

fn silent(checks: &mut Checks) -> Result<(), Failure> {
    checks.that("something passed before", true, "");
    process::exit(0)
}

fn empty(_: &mut Checks) -> Result<(), Failure> {
    Ok(())
}

fn fail(checks: &mut Checks) -> Result<(), Failure> {
    checks.that("something passed before", true, "");
    checks.that("this fails", false, "as it should");
    Err("the suite could not go on".into())
}
