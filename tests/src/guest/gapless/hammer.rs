//! Processes of zone `web` that try a forbidden file and their own, over and over, while the daemon does
//! not live through it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::daemon::eventually;
use crate::guest::actor::{Background, begin};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

const STOP: &str = "/tmp/hammer.stop";

/// Between one attempt of a process and its next.
const PAUSE: Duration = Duration::from_millis(5);

/// Processes of zone `web` that try without a pause.
pub struct Hammer {
    reports: Vec<PathBuf>,
    _running: Vec<Background>,
}

/// What one of them saw.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    denied: u64,
    leaked: u64,
    own: u64,
    own_refused: u64,
}

impl Hammer {
    /// Starts so many.
    ///
    /// # Errors
    /// The system's.
    pub fn start(stage: &Stage, processes: usize) -> Result<Hammer, Failure> {
        let reports: Vec<_> = (0..processes)
            .map(|number| PathBuf::from(format!("/tmp/hammer.{number}")))
            .collect();
        let one =
            |report: &PathBuf| begin(&stage.web, "hammer", &[&stage.secret, &stage.own, report]);
        let _running = reports.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Hammer { reports, _running })
    }

    /// Stops them, and judges what they saw: at least so many attempts must have been made at either
    /// file, or the run says nothing.
    ///
    /// # Errors
    /// One of them does not report.
    pub fn judge(self, checks: &mut Checks, over: &str, attempts: u64) -> Result<(), Failure> {
        fs::write(STOP, "")?;
        eventually("every process of the probe has reported", || {
            Ok(self.reports.iter().all(|report| report.exists()))
        })?;
        let mut sum = Seen::default();
        for report in &self.reports {
            let seen = Seen::read(&fs::read_to_string(report)?)?;
            sum.denied += seen.denied;
            sum.leaked += seen.leaked;
            sum.own += seen.own;
            sum.own_refused += seen.own_refused;
        }
        checks.note(format!("the probe, {over}: {sum:?}"));
        checks.equal(format!("{over}: no attempt got through"), &sum.leaked, &0);
        checks.equal(
            format!("{over}: none at their own file was refused"),
            &sum.own_refused,
            &0,
        );
        checks.that(
            format!("{over}: at least {attempts} attempts were made, and as many at their own"),
            sum.denied.min(sum.own) >= attempts,
            format!("{sum:?}"),
        );
        Ok(())
    }
}

impl Seen {
    fn read(text: &str) -> Result<Seen, Failure> {
        let numbers: Vec<u64> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [denied, leaked, own, own_refused] => Ok(Seen {
                denied,
                leaked,
                own,
                own_refused,
            }),
            _ => Err(format!("no report: {text:?}").into()),
        }
    }
}

/// What the actor does: tries both until told to stop, then reports.
///
/// # Errors
/// The report cannot be written.
pub fn hammer(secret: &Path, own: &Path, report: &Path) -> io::Result<()> {
    let mut seen = Seen::default();
    while !Path::new(STOP).exists() {
        for _ in 0..16 {
            match File::open(secret) {
                Err(error) if error.raw_os_error() == Some(1) => seen.denied += 1,
                _ => seen.leaked += 1,
            }
            match File::open(own) {
                Ok(_) => seen.own += 1,
                Err(_) => seen.own_refused += 1,
            }
            // Each refusal is an event for the daemon, with which this shares slow processors.
            thread::sleep(PAUSE);
        }
    }
    // Beside the name, not in place of its end, which is the number: each needs one of its own.
    let mut part = report.as_os_str().to_owned();
    part.push(".part");
    let Seen {
        denied,
        leaked,
        own,
        own_refused,
    } = seen;
    fs::write(&part, format!("{denied} {leaked} {own} {own_refused}"))?;
    fs::rename(part, report)
}
