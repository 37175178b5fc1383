//! Fetches kernels, and boots them to run suites.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use clap::{Args, Parser};
use syva_e2e::selftest;
use syva_e2e::suites::{self, Suite};
use syva_e2e::vm::VmError;
use syva_e2e::vm::cache::Cache;
use syva_e2e::vm::kernels::{self, Kernel, Series};
use syva_e2e::vm::run::{self, Outcome, Workplace};
use syva_e2e::vm::serial::Verdict;
use syva_e2e::vm::techniques;

/// Runs Syvä's suites on real kernels, under emulation.
#[derive(Parser)]
enum Arguments {
    /// Fetches kernels into the cache and says where they are.
    Kernels(Which),
    /// Runs suites, each in a virtual machine of its own.
    Run {
        #[command(flatten)]
        which: Which,
        /// A suite's name, or `all` for every suite meant for the kernel; may be repeated.
        #[arg(long, default_value = "all")]
        suite: Vec<String>,
        #[command(flatten)]
        jobs: Jobs,
    },
    /// Runs the demonstration, and ends with one line that says how it went.
    Demo(Which),
    /// Runs what every change must pass: each suite on the kernels its entry names for it.
    Gate {
        /// Asks the mirror for newer kernels now, rather than once a day.
        #[arg(long)]
        refresh: bool,
        #[command(flatten)]
        jobs: Jobs,
    },
    /// Runs suites that must fail, to see that the harness notices.
    SelfTest(Which),
    /// Writes docs/attacks.md from the results of the last runs of suite `attack`, a column a kernel.
    Techniques {
        /// Where to write it.
        #[arg(long, default_value = "docs/attacks.md")]
        page: PathBuf,
    },
    /// Lists the suites.
    List,
}

#[derive(Args)]
struct Which {
    /// 5.10, 6.1, 6.12, latest or all; may be repeated.
    #[arg(long, default_value = "6.1")]
    kernel: Vec<String>,
    /// Asks the mirror for newer kernels now, rather than once a day.
    #[arg(long)]
    refresh: bool,
}

#[derive(Args)]
struct Jobs {
    /// How many guests run at a time. One hardly uses more than a processor: emulation is slow, not wide
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// A suite to be run on a kernel.
struct Job {
    suite: &'static Suite,
    kernel: Arc<Kernel>,
}

/// What a run of several suites came to.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    suites: usize,
    broken: Vec<String>,
    skipped: Vec<String>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse() {
        Arguments::Kernels(which) => fetch(&which),
        Arguments::Run { which, suite, jobs } => {
            run_suites(&which, &jobs, |series| choose(&suite, series)).map(Tally::finish)
        }
        Arguments::Demo(which) => {
            let demo = [String::from("demo")];
            let chosen = |series: &Series| choose(&demo, series);
            run_suites(&which, &Jobs { jobs: 1 }, chosen).map(|tally| tally.finish_demo())
        }
        Arguments::Gate { refresh, jobs } => {
            let which = Which {
                kernel: vec![String::from("all")],
                refresh,
            };
            run_suites(&which, &jobs, |series| Ok(gated(series))).map(Tally::finish)
        }
        Arguments::SelfTest(which) => self_test(&which),
        Arguments::Techniques { page } => write_techniques(&page),
        Arguments::List => {
            for suite in suites::ALL {
                println!(
                    "{:20} {} [{}]",
                    suite.name,
                    suite.claims,
                    suite.kernels.join(" ")
                );
            }
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("vmtest: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Which {
    fn series(&self) -> Result<Vec<&'static Series>, VmError> {
        let mut series = Vec::new();
        for name in &self.kernel {
            series.extend(kernels::named(name)?);
        }
        Ok(series)
    }

    /// The kernel, or `None` when it may be missing and is, which is said loudly.
    fn obtain(&self, series: &'static Series, cache: &Cache) -> Result<Option<Kernel>, VmError> {
        match kernels::obtain(series, cache, self.refresh) {
            Ok(kernel) => Ok(Some(kernel)),
            Err(error) if series.optional => {
                eprintln!(
                    "vmtest: SKIPPED: NOTHING IS TESTED ON {}: {error}",
                    series.name
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn fetch(which: &Which) -> Result<bool, VmError> {
    let cache = Cache::from_env()?;
    for series in which.series()? {
        if let Some(kernel) = which.obtain(series, &cache)? {
            println!(
                "{}\t{}\t{}",
                kernel.name,
                kernel.version,
                kernel.dir.display()
            );
        }
    }
    Ok(true)
}

fn write_techniques(page: &Path) -> Result<bool, VmError> {
    let text = techniques::page(&Workplace::of_this_program()?.logs)?;
    fs::write(page, text).map_err(VmError::io("writing", page))?;
    println!("{}", page.display());
    Ok(true)
}

fn self_test(which: &Which) -> Result<bool, VmError> {
    let (cache, place) = (Cache::from_env()?, Workplace::of_this_program()?);
    let mut good = true;
    for series in which.series()? {
        let Some(kernel) = which.obtain(series, &cache)? else {
            continue;
        };
        for (suite, expected) in selftest::ALL {
            let outcome = run::attempt(suite, &kernel, &place)?;
            let noticed = expected(&outcome.verdict);
            good &= noticed;
            let word = if noticed { "noticed" } else { "NOT NOTICED" };
            println!(
                "{} on {}: {word}: {}",
                suite.name, kernel.name, outcome.verdict
            );
        }
    }
    Ok(good)
}

type Chosen = Result<Vec<&'static Suite>, VmError>;

fn run_suites(
    which: &Which,
    jobs: &Jobs,
    choose: impl Fn(&Series) -> Chosen,
) -> Result<Tally, VmError> {
    let (cache, place) = (Cache::from_env()?, Workplace::of_this_program()?);
    let mut tally = Tally::default();
    let mut waiting = VecDeque::new();
    for series in which.series()? {
        let chosen = choose(series)?;
        if chosen.is_empty() {
            continue;
        }
        match which.obtain(series, &cache) {
            Ok(Some(kernel)) => {
                let kernel = Arc::new(kernel);
                waiting.extend(chosen.into_iter().map(|suite| Job {
                    suite,
                    kernel: Arc::clone(&kernel),
                }));
            }
            Ok(None) => tally.skipped.push(series.name.to_owned()),
            // The other kernels are worth testing all the same.
            Err(error) => {
                eprintln!("vmtest: {error}");
                tally
                    .broken
                    .push(format!("kernel {}: not to be had", series.name));
            }
        }
    }
    let (waiting, tally) = (Mutex::new(waiting), Mutex::new(tally));
    thread::scope(|scope| {
        for _ in 0..jobs.jobs.max(1) {
            scope.spawn(|| work(&waiting, &tally, &place));
        }
    });
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs what is waiting, one suite after another, until nothing is.
fn work(waiting: &Mutex<VecDeque<Job>>, tally: &Mutex<Tally>, place: &Workplace) {
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    while let Some(job) = next() {
        run::announce(job.suite, &job.kernel);
        let outcome = run::run(job.suite, &job.kernel, place);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add(&job, outcome);
    }
}

fn gated(series: &Series) -> Vec<&'static Suite> {
    suites::ALL
        .iter()
        .filter(|suite| suite.gate.contains(&series.name))
        .collect()
}

/// The suites to run on a kernel. One asked for by name runs on kernels it is not meant for too.
fn choose(names: &[String], series: &Series) -> Chosen {
    let known = || {
        suites::ALL
            .iter()
            .map(|s| s.name)
            .collect::<Vec<_>>()
            .join(", ")
            + ", all"
    };
    let mut chosen: Vec<&'static Suite> = Vec::new();
    for name in names {
        if name == "all" {
            chosen.extend(
                suites::ALL
                    .iter()
                    .filter(|s| s.kernels.contains(&series.name)),
            );
        } else {
            let unknown = || VmError::Unknown {
                kind: "suite",
                name: name.clone(),
                known: known(),
            };
            chosen.push(suites::named(name).ok_or_else(unknown)?);
        }
    }
    Ok(chosen)
}

impl Tally {
    fn add(&mut self, job: &Job, outcome: Result<Outcome, VmError>) {
        self.suites += 1;
        let name = format!("{} on {}", job.suite.name, job.kernel.name);
        match outcome {
            Ok(outcome) => {
                self.passed += outcome.results.passed.len();
                self.failed += outcome.results.failed.len();
                if outcome.verdict != Verdict::Passed {
                    self.broken.push(format!("{name}: {}", outcome.verdict));
                }
            }
            Err(error) => {
                println!("   {name}: could not be run: {error}");
                self.broken.push(format!("{name}: could not be run"));
            }
        }
    }

    /// Says what went wrong, and last of all how many checks of the demonstration passed.
    fn finish_demo(self) -> bool {
        for broken in self.broken.iter().chain(&self.skipped) {
            println!("vm: FAILED {broken}");
        }
        // A guest that did not come to its end has failed, whatever it checked before.
        let failed = self.failed.max(self.broken.len() + self.skipped.len());
        println!("demo: {} passed, {failed} failed", self.passed);
        failed == 0 && self.passed > 0
    }

    /// Prints the sums; true if all is well.
    fn finish(self) -> bool {
        for broken in &self.broken {
            println!("vm: FAILED {broken}");
        }
        for skipped in &self.skipped {
            println!("vm: SKIPPED kernel {skipped}");
        }
        println!(
            "vm: suites: {} run, {} problems; checks: {} passed, {} failed",
            self.suites,
            self.broken.len(),
            self.passed,
            self.failed
        );
        // All skipped is not a failure: only kernels that may be missing are ever skipped.
        let nothing = self.suites == 0 && self.skipped.is_empty();
        if nothing {
            println!("vm: nothing was tested");
        }
        self.broken.is_empty() && !nothing
    }
}
