//! Reports checks, a line each, in the form the host reads.

use std::env;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::fs::{File, OpenOptions};
use std::io::Write as _;

use super::actor::Outcome;

/// Counts and prints the checks of one suite.
#[derive(Debug)]
pub struct Checks {
    passed: usize,
    failed: usize,
    /// The serial port that carries nothing but results, inside a virtual machine.
    port: Option<File>,
}

impl Checks {
    /// Reports to standard output, and to the port named by `SYVA_RESULTS` if there is one.
    pub fn new() -> Self {
        let port = env::var_os("SYVA_RESULTS").and_then(|path| {
            OpenOptions::new()
                .write(true)
                .open(&path)
                .inspect_err(|error| eprintln!("opening {}: {error}", path.to_string_lossy()))
                .ok()
        });
        Self {
            passed: 0,
            failed: 0,
            port,
        }
    }

    /// Reports a claim that held (`Ok`) or did not (`Err` says why).
    pub fn check(&mut self, claim: impl Display, outcome: Result<(), impl Display>) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                self.line(&format!("PASS {claim}"));
            }
            Err(why) => {
                self.failed += 1;
                self.line(&format!("FAIL {claim}: {why}"));
            }
        }
    }

    /// Reports a claim that holds if `held`; `why` is printed otherwise.
    pub fn that(&mut self, claim: impl Display, held: bool, why: impl Display) {
        self.check(claim, if held { Ok(()) } else { Err(why) });
    }

    /// Reports that two values are equal.
    pub fn equal<T: PartialEq + Debug>(&mut self, claim: impl Display, got: &T, expected: &T) {
        self.that(
            claim,
            got == expected,
            format!("got {got:?}, expected {expected:?}"),
        );
    }

    /// Reports that an action succeeded.
    pub fn allowed(&mut self, claim: impl Display, outcome: &Outcome) {
        self.equal(claim, outcome, &Outcome::Done);
    }

    /// Reports that an action was refused with EPERM.
    pub fn denied(&mut self, claim: impl Display, outcome: &Outcome) {
        self.equal(
            claim,
            outcome,
            &Outcome::Refused(rustix::io::Errno::PERM.raw_os_error()),
        );
    }

    /// Prints a measurement or a circumstance; it neither passes nor fails.
    pub fn note(&mut self, text: impl Display) {
        self.line(&format!("NOTE {text}"));
    }

    /// Prints the final marker, `TITLE: N passed, M failed`; true if something was checked and
    /// nothing failed. The harness reads markers whose title is `suite`.
    pub fn finish(mut self, title: &str) -> bool {
        let marker = format!("{title}: {} passed, {} failed", self.passed, self.failed);
        self.line(&marker);
        self.passed > 0 && self.failed == 0
    }

    /// One line, in one write, whatever its text holds.
    fn line(&mut self, text: &str) {
        let line = text.replace(['\n', '\r'], " ") + "\n";
        print!("{line}");
        if let Some(port) = &mut self.port
            && let Err(error) = port.write_all(line.as_bytes())
        {
            eprintln!("writing a result: {error}");
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::new()
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
