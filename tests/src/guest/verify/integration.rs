//! Suite `integration`: two zones of plain processes are kept apart, and not disturbed in themselves.

use std::fs;
use std::path::Path;

use syva_model::hook::Hook;

use super::contract::{Line, block, keep, pass, terms};
use super::{Scene, both_ways, dashed, opens};
use crate::guest::actor::act;
use crate::guest::{Checks, Failure};

/// SIGCONT: it does nothing to a task that runs.
const HARMLESS: &str = "18";

const ALLOW: [&str; 4] = ["comms", "allow", "web", "db"];
const DENY: [&str; 4] = ["comms", "deny", "web", "db"];

/// The contract's lines.
pub fn contract() -> Vec<String> {
    terms(&lines())
}

/// Starts the daemon, makes two zones, and keeps the contract.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut scene = Scene::set()?;
    fs::write(scene.path("unclaimed"), "")?;
    for side in [&scene.stage.web, &scene.stage.db] {
        fs::create_dir(side.dir.join("deep"))?;
        fs::write(side.dir.join("deep/later"), "made after the claim")?;
    }
    fs::create_dir(scene.stage.web.cgroup.join("nested"))?;
    keep(checks, &scene, scene.counters(), &lines())?;
    scene.node.stop()
}

fn lines() -> Vec<Line<Scene>> {
    let mut lines: Vec<Line<Scene>> = Hook::between_zones().flat_map(both_ways).collect();
    lines.extend(files());
    lines.extend(tasks());
    lines.extend(pairs());
    lines
}

fn files() -> Vec<Line<Scene>> {
    vec![
        pass(
            "unclaimed-file-open",
            "web opens what nobody has claimed",
            |s: &Scene| Ok(opens(&s.stage.web.cgroup, &s.path("unclaimed"))),
        ),
        pass(
            "host-file-open",
            "a task of no zone opens db's file",
            |s: &Scene| Ok(opens(&s.stage.outside.cgroup, &s.stage.db.secret)),
        ),
        pass(
            "own-later-file-open",
            "web opens its own file made after the claim",
            |s: &Scene| {
                Ok(opens(
                    &s.stage.web.cgroup,
                    &s.stage.web.dir.join("deep/later"),
                ))
            },
        ),
        block(
            Hook::FileOpen,
            "other-zone-later-file-open",
            "web opens db's file made after the claim",
            |s: &Scene| {
                Ok(opens(
                    &s.stage.web.cgroup,
                    &s.stage.db.dir.join("deep/later"),
                ))
            },
        ),
        pass(
            "own-nested-file-open",
            "a cgroup made inside web opens web's file",
            |s: &Scene| {
                Ok(opens(
                    &s.stage.web.cgroup.join("nested"),
                    &s.stage.web.secret,
                ))
            },
        ),
        block(
            Hook::FileOpen,
            "other-zone-nested-file-open",
            "a cgroup made inside web opens db's file",
            |s: &Scene| {
                Ok(opens(
                    &s.stage.web.cgroup.join("nested"),
                    &s.stage.db.secret,
                ))
            },
        ),
    ]
}

fn tasks() -> Vec<Line<Scene>> {
    let kill = |from: &Path, pid: &Path| Ok(act(from, "kill", &[pid, Path::new(HARMLESS)]));
    vec![
        block(
            Hook::TaskKill,
            "host-task-kill",
            "web signals a task of no zone",
            move |s: &Scene| {
                kill(
                    &s.stage.web.cgroup,
                    Path::new(&s.bystander.pid().to_string()),
                )
            },
        ),
        pass(
            "from-host-task-kill",
            "a task of no zone signals web's",
            move |s: &Scene| kill(&s.stage.outside.cgroup, &s.stage.web.pid()),
        ),
        block(
            Hook::PtraceAccessCheck,
            "unpermitted-ptrace-access-check",
            "db, registered without --allow-ptrace, traces its own task",
            |s: &Scene| Ok(act(&s.stage.db.cgroup, "attach", &[&s.stage.db.pid()])),
        ),
        pass(
            "own-proc-read",
            "db reads about its own task",
            |s: &Scene| {
                let exe = Path::new("/proc").join(s.stage.db.pid()).join("exe");
                Ok(act(&s.stage.db.cgroup, "readlink", &[&exe]))
            },
        ),
    ]
}

/// An allowed pair opens use, never tracing; once closed it opens nothing.
fn pairs() -> Vec<Line<Scene>> {
    let mut lines = Vec::new();
    let traces = |hook: &Hook| {
        matches!(
            hook,
            Hook::PtraceAccessCheck | Hook::PtraceTraceme | Hook::PerfEventAlloc
        )
    };
    let (traced, opened): (Vec<Hook>, Vec<Hook>) = Hook::between_zones().partition(traces);
    for hook in opened {
        let what = format!(
            "{} by zone web, on what is zone db's, the pair allowed",
            hook.name()
        );
        lines.push(pass(
            format!("pair-{}", dashed(hook)),
            what,
            move |s: &Scene| s.after(&ALLOW, hook, &s.stage.db),
        ));
    }
    for hook in traced {
        let what = format!(
            "{} by zone web, on what is zone db's, the pair allowed",
            hook.name()
        );
        lines.push(block(
            hook,
            format!("pair-{}", dashed(hook)),
            what,
            move |s: &Scene| s.after(&ALLOW, hook, &s.stage.db),
        ));
    }
    for hook in Hook::between_zones() {
        let what = format!(
            "{} by zone web, on what is zone db's, the pair closed again",
            hook.name()
        );
        lines.push(block(
            hook,
            format!("closed-pair-{}", dashed(hook)),
            what,
            move |s: &Scene| s.after(&DENY, hook, &s.stage.db),
        ));
    }
    lines
}
