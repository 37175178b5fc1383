//! Suite `runtime`: the object is loaded, every hook is attached, the self-tests have passed, and the
//! kernel refuses one operation of every kind.

use libbpf_rs::query::{LinkInfoIter, ProgInfoIter};
use syva_model::hook::Hook;

use super::contract::{Line, keep, pass, terms};
use super::{Scene, both_ways, dashed};
use crate::guest::actor::Outcome;
use crate::guest::{Checks, Failure};

/// The kernel cuts programs' names to this many bytes.
const NAME: usize = 15;

/// The contract's lines.
pub fn contract() -> Vec<String> {
    terms(&lines())
}

/// Starts the daemon, and keeps the contract.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut scene = Scene::set()?;
    keep(checks, &scene, scene.counters(), &lines())?;
    scene.node.stop()
}

fn lines() -> Vec<Line<Scene>> {
    let mut lines = vec![pass(
        "object-loads",
        "the daemon is healthy and misses nothing of the kernel's",
        |scene: &Scene| {
            let status = status(scene)?;
            let nothing = serde_json::json!([]);
            let well = status["health"] == "healthy"
                && status["attached"] == true
                && status["missing"] == nothing;
            Ok(as_outcome(well, || status.to_string()))
        },
    )];
    lines.extend(Hook::ALL.iter().map(|hook| attached(*hook)));
    lines.extend(["cgroup", "inode", "unix"].map(self_test));
    for hook in [Hook::FileOpen, Hook::TaskKill, Hook::UnixStreamConnect] {
        lines.extend(both_ways(hook));
    }
    lines
}

/// The daemon says so, and so does the kernel: it has a link to a program of that name.
fn attached(hook: Hook) -> Line<Scene> {
    let what = format!(
        "the hook {} is attached, by the kernel's own list",
        hook.name()
    );
    pass(
        format!("hook-{}", dashed(hook)),
        what,
        move |scene: &Scene| {
            let status = status(scene)?;
            let rows = status["hooks"].as_array().cloned().unwrap_or_default();
            let said = rows
                .iter()
                .any(|row| row["hook"] == hook.name() && row["attached"] == true);
            let name: String = hook.name().chars().take(NAME).collect();
            let programs: Vec<u32> = ProgInfoIter::default()
                .filter(|program| program.name.to_str() == Some(name.as_str()))
                .map(|program| program.id)
                .collect();
            let linked = LinkInfoIter::default().any(|link| programs.contains(&link.prog_id));
            Ok(as_outcome(said && linked, || {
                format!("the daemon says {said}, the kernel {linked} (programs {programs:?})")
            }))
        },
    )
}

fn self_test(name: &'static str) -> Line<Scene> {
    let what = format!("what the programs see of the {name} test is what system calls say");
    pass(format!("self-test-{name}"), what, move |scene: &Scene| {
        let tests = status(scene)?["self_tests"].clone();
        let listed = tests.as_array().cloned().unwrap_or_default();
        let passed = listed
            .iter()
            .any(|test| test["name"] == name && test["state"] == "passed");
        Ok(as_outcome(passed, || tests.to_string()))
    })
}

fn status(scene: &Scene) -> Result<serde_json::Value, Failure> {
    let text = scene.node.ask(&["--format", "json", "status"])?;
    Ok(serde_json::from_str(&text)?)
}

fn as_outcome(well: bool, why: impl FnOnce() -> String) -> Outcome {
    if well {
        Outcome::Done
    } else {
        Outcome::Broken(why())
    }
}
