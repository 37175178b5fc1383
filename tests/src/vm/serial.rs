//! Reads a guest's output and decides whether its suite passed.
//!
//! The guest reports on a serial port of its own, so that neither the kernel nor a program under
//! test can break a result line in two; the console only tells of panics.

use std::fmt;

/// What a guest's checks printed before their last word.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Results {
    /// Claims that held.
    pub passed: Vec<String>,
    /// Claims that did not, each with its reason.
    pub failed: Vec<String>,
    /// What the suite measured, as it printed it (lines that begin with `NOTE `).
    pub notes: Vec<String>,
    /// The final marker's counts, passed and failed.
    pub marker: Option<(usize, usize)>,
}

/// Why a suite did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed, and there was at least one.
    Passed,
    /// Checks ran and some failed.
    ChecksFailed(usize),
    /// The kernel panicked: the line that says so.
    Panicked(String),
    /// The time limit, in seconds, ran out.
    TimedOut(u64),
    /// The guest ended without its final marker.
    Unfinished,
    /// The suite ended properly and had checked nothing.
    NothingChecked,
    /// Every check passed, and these lines of the contract were not among them.
    Unkept(Vec<String>),
    /// The marker and the result lines disagree: counted, then claimed.
    Miscounted((usize, usize), (usize, usize)),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => write!(f, "passed"),
            Self::ChecksFailed(n) => write!(f, "{n} checks failed"),
            Self::Panicked(line) => write!(f, "the guest's kernel panicked: {line}"),
            Self::TimedOut(seconds) => write!(f, "timed out after {seconds} s"),
            Self::Unfinished => write!(f, "the guest ended without its final marker"),
            Self::NothingChecked => write!(f, "the suite ran no checks at all"),
            Self::Unkept(lines) => {
                write!(f, "not run, though announced: {}", lines.join("; "))
            }
            Self::Miscounted(counted, claimed) => write!(
                f,
                "the guest claims {} passed and {} failed, its lines say {} and {}",
                claimed.0, claimed.1, counted.0, counted.1
            ),
        }
    }
}

/// Parses the lines of the result port.
pub fn parse(text: &str) -> Results {
    let mut results = Results::default();
    for line in text.lines().map(|line| line.trim_end_matches('\r')) {
        if let Some(claim) = line.strip_prefix("PASS ") {
            results.passed.push(claim.to_owned());
        } else if let Some(claim) = line.strip_prefix("FAIL ") {
            results.failed.push(claim.to_owned());
        } else if let Some(note) = line.strip_prefix("NOTE ") {
            results.notes.push(note.to_owned());
        } else if let Some(counts) = parse_marker(line) {
            results.marker = Some(counts);
        }
    }
    results
}

/// `suite: N passed, M failed`.
fn parse_marker(line: &str) -> Option<(usize, usize)> {
    let (passed, failed) = line.strip_prefix("suite: ")?.split_once(" passed, ")?;
    Some((
        passed.parse().ok()?,
        failed.strip_suffix(" failed")?.parse().ok()?,
    ))
}

/// Judges a finished guest. `timed_out` holds the limit, in seconds, if it was that which ended it.
pub fn judge(results: &Results, console: &str, timed_out: Option<u64>) -> Verdict {
    let panic = console
        .lines()
        .find(|line| line.contains("Kernel panic - not syncing"));
    if let Some(line) = panic {
        return Verdict::Panicked(line.trim().to_owned());
    }
    if let Some(seconds) = timed_out {
        return Verdict::TimedOut(seconds);
    }
    let counted = (results.passed.len(), results.failed.len());
    match results.marker {
        None => Verdict::Unfinished,
        Some(claimed) if claimed != counted => Verdict::Miscounted(counted, claimed),
        Some((0, 0)) => Verdict::NothingChecked,
        Some((_, 0)) => Verdict::Passed,
        Some((_, failed)) => Verdict::ChecksFailed(failed),
    }
}

/// The same of a suite with a contract: that it passed is not enough, it must have kept every line.
pub fn judge_contract(verdict: Verdict, results: &Results, contract: &[String]) -> Verdict {
    let missing: Vec<String> = contract
        .iter()
        .filter(|line| !results.passed.contains(line))
        .cloned()
        .collect();
    match verdict {
        Verdict::Passed if !missing.is_empty() => Verdict::Unkept(missing),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(results: &str) -> Verdict {
        judge(&parse(results), "", None)
    }

    #[test]
    fn a_suite_passes_when_every_check_did() {
        let text =
            "PASS one\r\nPASS two: with a colon\r\nNOTE 42 ns\r\nsuite: 2 passed, 0 failed\r\n";
        let results = parse(text);
        assert_eq!(results.passed, ["one", "two: with a colon"]);
        assert_eq!(results.notes, ["42 ns"]);
        assert_eq!(judge(&results, "", None), Verdict::Passed);
    }

    #[test]
    fn one_failed_check_fails_the_suite() {
        let text = "PASS one\nFAIL two: got 1, expected 2\nsuite: 1 passed, 1 failed\n";
        assert_eq!(parse(text).failed, ["two: got 1, expected 2"]);
        assert_eq!(judged(text), Verdict::ChecksFailed(1));
    }

    #[test]
    fn passes_without_the_marker_are_not_a_pass() {
        assert_eq!(judged("PASS one\nPASS two\n"), Verdict::Unfinished);
        assert_eq!(judged(""), Verdict::Unfinished);
        assert_eq!(
            judged("PASS one\nsuite: 1 passed, 0 fai"),
            Verdict::Unfinished
        );
    }

    #[test]
    fn a_suite_that_checked_nothing_did_not_pass() {
        assert_eq!(
            judged("suite: 0 passed, 0 failed\n"),
            Verdict::NothingChecked
        );
    }

    #[test]
    fn a_lost_line_is_noticed() {
        let text = "PASS one\nsuite: 2 passed, 0 failed\n";
        assert_eq!(judged(text), Verdict::Miscounted((1, 0), (2, 0)));
    }

    #[test]
    fn a_line_of_the_contract_that_was_not_run_is_noticed() {
        let results = parse("PASS PASS one\nPASS BLOCK two\nsuite: 2 passed, 0 failed\n");
        let lines = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let judged = |contract: Vec<String>, verdict| judge_contract(verdict, &results, &contract);
        let kept = lines(&["PASS one", "BLOCK two"]);
        assert_eq!(judged(kept, Verdict::Passed), Verdict::Passed);
        let more: Vec<String> = lines(&["PASS one", "BLOCK two", "BLOCK three"]);
        let unkept = Verdict::Unkept(lines(&["BLOCK three"]));
        assert_eq!(judged(more.clone(), Verdict::Passed), unkept);
        assert_eq!(judged(more, Verdict::TimedOut(1)), Verdict::TimedOut(1));
    }

    #[test]
    fn a_panic_or_the_time_limit_outweighs_passes() {
        let results = parse("PASS one\nsuite: 1 passed, 0 failed\n");
        let console = "[ 1.2] Kernel panic - not syncing: Fatal exception\n";
        assert!(matches!(
            judge(&results, console, None),
            Verdict::Panicked(_)
        ));
        let verdict = judge(&results, "", Some(60));
        assert_eq!(verdict.to_string(), "timed out after 60 s");
    }
}
