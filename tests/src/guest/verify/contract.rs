//! A contract: what must pass and what must be blocked, in one table that is printed before it is run.

use std::fmt;

use rustix::io::Errno;
use syva_model::hook::Hook;

use crate::guest::actor::Outcome;
use crate::guest::demo::counters::DenyCounters;
use crate::guest::demo::crossing::{self, errno};
use crate::guest::{Checks, Failure};

/// What must become of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It succeeds, and no hook counts a denial.
    Pass,
    /// It fails with this error, and this hook alone counts a denial, one.
    Block(Hook, Errno),
}

/// How an attempt is made in a world.
pub type Attempt<W> = Box<dyn Fn(&W) -> Result<Outcome, Failure>>;

/// One line of a contract.
pub struct Line<W> {
    name: String,
    what: String,
    expect: Expect,
    attempt: Attempt<W>,
}

/// Something that must pass.
pub fn pass<W>(
    name: impl Into<String>,
    what: impl Into<String>,
    attempt: impl Fn(&W) -> Result<Outcome, Failure> + 'static,
) -> Line<W> {
    Line {
        name: name.into(),
        what: what.into(),
        expect: Expect::Pass,
        attempt: Box::new(attempt),
    }
}

/// Something that hook must block, with EPERM or what its system calls make of that.
pub fn block<W>(
    hook: Hook,
    name: impl Into<String>,
    what: impl Into<String>,
    attempt: impl Fn(&W) -> Result<Outcome, Failure> + 'static,
) -> Line<W> {
    block_as(hook, errno(hook), name, what, attempt)
}

/// The same where the system call makes another error of it (/proc says EACCES, whatever the reason).
pub fn block_as<W>(
    hook: Hook,
    errno: Errno,
    name: impl Into<String>,
    what: impl Into<String>,
    attempt: impl Fn(&W) -> Result<Outcome, Failure> + 'static,
) -> Line<W> {
    Line {
        expect: Expect::Block(hook, errno),
        ..pass(name, what, attempt)
    }
}

impl<W> fmt::Display for Line<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { name, what, .. } = self;
        match self.expect {
            Expect::Pass => write!(f, "PASS {name}: {what}, deny_delta=0"),
            Expect::Block(hook, errno) => {
                let hook = hook.name();
                let errno = crossing::name(errno);
                write!(f, "BLOCK {name}: {what}, {errno}, {hook} deny_delta=1")
            }
        }
    }
}

/// The lines as they are printed.
pub fn terms<W>(lines: &[Line<W>]) -> Vec<String> {
    lines.iter().map(Line::to_string).collect()
}

/// Prints the contract, and then keeps it, line by line.
pub fn keep<W>(
    checks: &mut Checks,
    world: &W,
    counters: &DenyCounters,
    lines: &[Line<W>],
) -> Result<(), Failure> {
    println!("contract, {} lines:", lines.len());
    for line in lines {
        println!("  {line}");
    }
    for line in lines {
        let before = counters.read()?;
        let outcome = (line.attempt)(world)?;
        let grown = grown(&before, &counters.read()?);
        checks.that(
            line,
            kept(line.expect, &outcome, &grown),
            format!("{outcome:?}, deny counters grew by {grown:?}"),
        );
    }
    Ok(())
}

/// Whether an attempt that came to this, with this growth of each hook's counter, is as expected.
fn kept(expect: Expect, outcome: &Outcome, grown: &[u64]) -> bool {
    let (expected, hook) = match expect {
        Expect::Pass => (Outcome::Done, None),
        Expect::Block(hook, errno) => (Outcome::Refused(errno.raw_os_error()), Some(hook)),
    };
    let counted: Vec<u64> = Hook::ALL
        .iter()
        .map(|each| u64::from(Some(*each) == hook))
        .collect();
    *outcome == expected && grown == counted
}

/// By how much each counter grew.
pub fn grown(before: &[u64], after: &[u64]) -> Vec<u64> {
    let pairs = after.iter().zip(before);
    pairs
        .map(|(after, before)| after.wrapping_sub(*before))
        .collect()
}
