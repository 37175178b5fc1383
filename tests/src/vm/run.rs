//! Runs one suite on one kernel and says how it went.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::VmError;
use super::cache::{Cache, make_dir};
use super::command::output;
use super::initramfs::{self, Contents};
use super::kernels::Kernel;
use super::qemu::{self, Boot, Ended, Files, Root};
use super::root;
use super::serial::{self, Results, Verdict};
use crate::suites::Suite;

/// How many of the console's last lines a failure prints.
const TAIL: usize = 40;

/// Where binaries are found and logs are kept.
#[derive(Debug, Clone)]
pub struct Workplace {
    /// The folder of the built binaries, beside `vmtest` itself.
    pub binaries: PathBuf,
    /// `target/vm`.
    pub logs: PathBuf,
}

/// How a suite went on a kernel.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it passed and if not, why.
    pub verdict: Verdict,
    /// What its checks printed.
    pub results: Results,
    /// What the guest left behind.
    pub ended: Ended,
    /// Where the console's output is kept.
    pub log: PathBuf,
}

impl Workplace {
    /// The place this program was built into; `CARGO_TARGET_DIR` is thereby honoured.
    pub fn of_this_program() -> Result<Self, VmError> {
        let program = Path::new("/proc/self/exe");
        let exe = env::current_exe().map_err(VmError::io("reading", program))?;
        let binaries = exe.parent().unwrap_or(Path::new(".")).to_owned();
        let logs = binaries.parent().unwrap_or(&binaries).join("vm");
        make_dir(&logs)?;
        Ok(Self { binaries, logs })
    }

    /// The file that collects a line for every suite run: kernel, suite, verdict, counts, seconds.
    pub fn summary(&self) -> PathBuf {
        self.logs.join("results.tsv")
    }
}

/// Packs, boots, judges and reports. What it has to say comes in one piece when it is over, since others
/// may run beside it.
pub fn run(suite: &Suite, kernel: &Kernel, place: &Workplace) -> Result<Outcome, VmError> {
    let outcome = attempt(suite, kernel, place)?;
    print!("{}", report(suite, kernel, &outcome));
    record(suite, kernel, &outcome, &place.summary())?;
    Ok(outcome)
}

/// What is announced before anything is run: the claim, and a line for each thing it must keep.
pub fn announce(suite: &Suite, kernel: &Kernel) {
    let mut said = vec![format!(
        "── {} on {} ({}): {}",
        suite.name, kernel.name, kernel.version, suite.claims
    )];
    let contract = (suite.contract)();
    said.extend(contract.iter().map(|line| format!("   contract: {line}")));
    println!("{}", said.join("\n"));
}

/// Packs, boots and judges, without a word.
pub fn attempt(suite: &Suite, kernel: &Kernel, place: &Workplace) -> Result<Outcome, VmError> {
    let stem = format!("{}-{}", suite.name, kernel.name);
    let work = place.logs.join(&stem);
    make_dir(&work)?;
    let binaries: Vec<PathBuf> = ["syva-guest"]
        .iter()
        .chain(suite.pack)
        .map(|name| place.binaries.join(name))
        .collect();
    let initrd = work.join("initrd");
    let contents = Contents {
        kernel,
        root: suite.boot.root,
        modules: &suite.boot.all_modules(),
        binaries: &binaries,
        work: &work,
    };
    initramfs::write(&contents, &initrd)?;
    let files = Files {
        kernel: &kernel.image(),
        initrd: &initrd,
        root: match suite.boot.root {
            Root::Initramfs => None,
            Root::Debian => Some(root::obtain(&Cache::from_env()?)?),
        },
        disk: make_disk(&suite.boot, &work)?,
        console: place.logs.join(format!("{stem}.serial.log")),
        results: place.logs.join(format!("{stem}.results.log")),
    };
    let ended = qemu::boot(
        &suite.boot,
        suite.name,
        &files,
        Duration::from_secs(suite.limit),
    )?;
    // Large, and made anew by the next run.
    let _ = fs::remove_dir_all(&work);
    let results = serial::parse(&ended.results);
    let timed_out = ended.timed_out.then_some(suite.limit);
    let verdict = serial::judge(&results, &ended.console, timed_out);
    let verdict = serial::judge_contract(verdict, &results, &(suite.contract)());
    Ok(Outcome {
        verdict,
        results,
        ended,
        log: files.console,
    })
}

/// A sparse disk, with the file system it is to have.
fn make_disk(boot: &Boot, work: &Path) -> Result<Option<PathBuf>, VmError> {
    if boot.disk == 0 {
        return Ok(None);
    }
    let path = work.join("disk");
    let file = File::create(&path).map_err(VmError::io("creating", &path))?;
    file.set_len(boot.disk << 20)
        .map_err(VmError::io("sizing", &path))?;
    if let [program, args @ ..] = boot.format {
        output(
            "make a file system",
            Command::new(program).args(args).arg(&path),
        )?;
    }
    Ok(Some(path))
}

/// How it went, a line for each check.
fn report(suite: &Suite, kernel: &Kernel, outcome: &Outcome) -> String {
    let mut said = Vec::new();
    let Outcome {
        verdict,
        results,
        ended,
        log,
    } = outcome;
    // A line of a contract says itself whether it is one that passes.
    let contract = (suite.contract)();
    for claim in &results.passed {
        let word = if contract.contains(claim) {
            "ok  "
        } else {
            "PASS"
        };
        said.push(format!("   {word} {claim}"));
    }
    for note in &results.notes {
        said.push(format!("   NOTE {note}"));
    }
    for claim in &results.failed {
        said.push(format!("   FAIL {claim}"));
    }
    let took = ended.took.as_secs_f64();
    let (passed, failed) = (results.passed.len(), results.failed.len());
    if *verdict != Verdict::Passed {
        said.push(format!("   the end of the console ({}):", log.display()));
        let lines: Vec<&str> = ended.console.lines().collect();
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            said.push(format!("   | {line}"));
        }
    }
    if took > suite.budget as f64 {
        said.push(format!(
            "   WARNING: took {took:.1} s, over its budget of {} s",
            suite.budget
        ));
    }
    said.push(format!(
        "   {} on {}: {verdict}; {passed} passed, {failed} failed, {took:.1} s",
        suite.name, kernel.name
    ));
    said.join("\n") + "\n"
}

fn record(
    suite: &Suite,
    kernel: &Kernel,
    outcome: &Outcome,
    summary: &Path,
) -> Result<(), VmError> {
    let Outcome {
        verdict,
        results,
        ended,
        ..
    } = outcome;
    let opened = OpenOptions::new().create(true).append(true).open(summary);
    let mut file = opened.map_err(VmError::io("opening", summary))?;
    writeln!(
        file,
        "{}\t{}\t{verdict}\t{}\t{}\t{:.1}",
        kernel.name,
        suite.name,
        results.passed.len(),
        results.failed.len(),
        ended.took.as_secs_f64()
    )
    .map_err(VmError::io("writing", summary))
}
