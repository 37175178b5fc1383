//! Contracts that must not be kept: every way in which a line can be wrong, and a line that is left out.

use std::path::Path;

use syva_model::hook::Hook;

use super::contract::{Line, block, keep, pass, terms};
use super::{Scene, both_ways, opens};
use crate::guest::actor::Outcome;
use crate::guest::{Checks, Failure};

/// How many of the lines are wrong.
pub const WRONG: usize = 7;

/// The lines of which some are wrong.
pub fn contract() -> Vec<String> {
    terms(&lines())
}

/// Runs all of them.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut scene = Scene::set()?;
    keep(checks, &scene, scene.counters(), &lines())?;
    scene.node.stop()
}

/// Runs the honest ones, and says nothing of the others.
pub fn run_short(checks: &mut Checks) -> Result<(), Failure> {
    let mut scene = Scene::set()?;
    keep(checks, &scene, scene.counters(), &both_ways(Hook::FileOpen))?;
    scene.node.stop()
}

fn lines() -> Vec<Line<Scene>> {
    let own = |s: &Scene| opens(&s.stage.web.cgroup, &s.stage.web.secret);
    let others = |s: &Scene| opens(&s.stage.web.cgroup, &s.stage.db.secret);
    let hook = Hook::FileOpen;
    let mut lines: Vec<Line<Scene>> = both_ways(hook).into();
    lines.extend([
        pass("wrong-pass", "what is blocked", move |s: &Scene| {
            Ok(others(s))
        }),
        pass(
            "wrong-side",
            "what is blocked on the way",
            move |s: &Scene| {
                others(s);
                Ok(own(s))
            },
        ),
        block(hook, "wrong-block", "what passes", move |s: &Scene| {
            Ok(own(s))
        }),
        block(
            Hook::TaskKill,
            "wrong-hook",
            "what another hook blocks",
            move |s: &Scene| Ok(others(s)),
        ),
        block(
            hook,
            "wrong-count",
            "what is blocked twice",
            move |s: &Scene| {
                others(s);
                Ok(others(s))
            },
        ),
        block(hook, "wrong-errno", "what is not there", |s: &Scene| {
            Ok(opens(&s.stage.web.cgroup, Path::new("/nowhere")))
        }),
        block(
            hook,
            "wrong-refusal",
            "what no hook has counted",
            |_: &Scene| Ok(Outcome::Refused(rustix::io::Errno::PERM.raw_os_error())),
        ),
    ]);
    lines
}
