//! Deterministic simulation: what the actors decide, over the memory backend and a disk in memory, from
//! a seed. Commands, map writes that fail, a disk that fills up, flushes that fail, torn writes, deaths
//! at any call, restarts, new boots, drift, and an operator who prunes the journal or accepts that it lost
//! entries come in any order; after each the invariants are checked.
//!
//! | variable | means |
//! |---|---|
//! | `SYVA_SIM_SEED` | run this seed alone, and print what it does |
//! | `SYVA_SIM_SEEDS` | how many seeds to run, from 0 on |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod nested;
mod node;
mod odds;
mod reach;
mod run;
mod tree;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use odds::Broken;
use run::{Figures, Run};

/// How many seeds are run unless `SYVA_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 500;
/// In how many seeds at most a fault that was built in must be found.
const ENOUGH: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is no number")),
    )
}

/// Runs a seed; a violation comes with everything that led to it.
fn seed(seed: u64, broken: Option<Broken>) -> Result<Figures, String> {
    let mut run = Run::new(seed, broken);
    let outcome = run.all();
    let trace = run.trace.join("\n  ");
    match outcome {
        Ok(()) if number("SYVA_SIM_SEED").is_some() => println!("  {trace}"),
        Ok(()) => {}
        Err(violation) => {
            return Err(format!(
                "seed {seed}: {violation}\n  {trace}\nrun it again with SYVA_SIM_SEED={seed}"
            ));
        }
    }
    Ok(run.figures)
}

#[test]
fn every_invariant_holds_from_every_seed() {
    if let Some(number) = number("SYVA_SIM_SEED") {
        let figures = seed(number, None).unwrap_or_else(|violation| panic!("{violation}"));
        println!("seed {number}: {figures:?}");
        return;
    }
    let (seeds, begun) = (number("SYVA_SIM_SEEDS").unwrap_or(SEEDS), Instant::now());
    let (next, total) = (AtomicU64::new(0), Mutex::new(Figures::default()));
    let failed: Mutex<Option<String>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds {
                        return;
                    }
                    match seed(number, None) {
                        Ok(figures) => total.lock().unwrap().add(&figures),
                        Err(violation) => *failed.lock().unwrap() = Some(violation),
                    }
                }
            });
        }
    });
    if let Some(violation) = failed.into_inner().unwrap() {
        panic!("{violation}");
    }
    let (total, took) = (total.into_inner().unwrap(), begun.elapsed());
    println!("{seeds} seeds in {took:?}: {total:?}");
    // The simulation does not pass for want of anything happening.
    for (what, count) in total.each() {
        assert!(
            count > seeds / 20,
            "{what} happened {count} times in {seeds} seeds"
        );
    }
    for (n, (kind, count)) in total.kinds.each().into_iter().enumerate() {
        assert!(
            count > seeds / 20,
            "{count} entries are of kind {n} ({kind}) of run/kinds.rs in {seeds} seeds"
        );
    }
}

/// Seeds that found something. A seed means the same only as long as the simulation draws alike, so what one
/// found has a test of its own too.
const FOUND: &[(u64, &str)] = &[(
    11774,
    "a loss of everything was accepted, and pruned away before a daemon started: \
     journal/src/journal/tests/loss.rs",
)];

#[test]
fn seeds_that_found_something_find_nothing_more() {
    for (number, what) in FOUND {
        seed(*number, None).unwrap_or_else(|violation| panic!("{what}: {violation}"));
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for number in 0..5 {
        let trace = || {
            let mut run = Run::new(number, None);
            run.all()
                .unwrap_or_else(|violation| panic!("seed {number}: {violation}"));
            run.trace
        };
        assert_eq!(trace(), trace(), "seed {number}");
    }
}

#[test]
fn what_is_broken_on_purpose_is_found() {
    for broken in [
        Broken::DiskLies,
        Broken::KernelForgets,
        Broken::AcknowledgedEarly,
        Broken::OpenForAMoment,
        Broken::NotRepaired,
    ] {
        let found = (0..ENOUGH).find_map(|number| seed(number, Some(broken)).err());
        let found = found.unwrap_or_else(|| panic!("{broken:?} is not found in {ENOUGH} seeds"));
        println!("{broken:?}: {}", found.lines().next().unwrap_or_default());
    }
}
