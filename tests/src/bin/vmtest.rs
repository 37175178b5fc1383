//! Fetches kernels, and boots them to run suites.

use std::process::ExitCode;

use clap::{Args, Parser};
use syva_e2e::suites::{self, Suite};
use syva_e2e::vm::VmError;
use syva_e2e::vm::cache::Cache;
use syva_e2e::vm::kernels::{self, Kernel, Series};
use syva_e2e::vm::run::{self, Workplace};
use syva_e2e::vm::serial::Verdict;

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
    },
    /// Runs what every change must pass: each suite on the kernels its entry names for it.
    Gate {
        /// Asks the mirror for newer kernels now, rather than once a day.
        #[arg(long)]
        refresh: bool,
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

/// What a run of several suites came to.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    suites: usize,
    broken: Vec<String>,
    skipped: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse() {
        Arguments::Kernels(which) => fetch(&which),
        Arguments::Run { which, suite } => run_suites(&which, |series| choose(&suite, series)),
        Arguments::Gate { refresh } => {
            let which = Which {
                kernel: vec![String::from("all")],
                refresh,
            };
            run_suites(&which, |series| Ok(gated(series)))
        }
        Arguments::List => {
            for suite in suites::ALL {
                println!(
                    "{:12} {} [{}]",
                    suite.name,
                    suite.claims,
                    suite.kernels.join(" ")
                );
            }
            Ok(ExitCode::SUCCESS)
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

fn fetch(which: &Which) -> anyhow::Result<ExitCode> {
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
    Ok(ExitCode::SUCCESS)
}

type Chosen = Result<Vec<&'static Suite>, VmError>;

fn run_suites(which: &Which, choose: impl Fn(&Series) -> Chosen) -> anyhow::Result<ExitCode> {
    let (cache, place) = (Cache::from_env()?, Workplace::of_this_program()?);
    let mut tally = Tally::default();
    for series in which.series()? {
        let chosen = choose(series)?;
        if chosen.is_empty() {
            continue;
        }
        let Some(kernel) = which.obtain(series, &cache)? else {
            tally.skipped.push(series.name.to_owned());
            continue;
        };
        for suite in chosen {
            tally.add(suite, &kernel, &place);
        }
    }
    Ok(tally.finish())
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
    fn add(&mut self, suite: &Suite, kernel: &Kernel, place: &Workplace) {
        self.suites += 1;
        let name = format!("{} on {}", suite.name, kernel.name);
        match run::run(suite, kernel, place) {
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

    fn finish(self) -> ExitCode {
        for broken in &self.broken {
            println!("vm: FAILED {broken}");
        }
        for skipped in &self.skipped {
            println!("vm: SKIPPED kernel {skipped}");
        }
        println!(
            "vm: {} suites, {} not passed; checks: {} passed, {} failed",
            self.suites,
            self.broken.len(),
            self.passed,
            self.failed
        );
        if self.suites == 0 && self.skipped.is_empty() {
            println!("vm: no suite is meant for that kernel: nothing was tested");
        }
        // All skipped is not a failure: only kernels that may be missing are ever skipped.
        let nothing = self.suites == 0 && self.skipped.is_empty();
        if self.broken.is_empty() && !nothing {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
