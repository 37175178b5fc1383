//! What `make verify-…` runs: each suite prints its contract and keeps it, with the real programs.

pub mod contract;
pub mod integration;
pub mod runtime;
pub mod wrong;

use std::path::{Path, PathBuf};

use syva_model::hook::Hook;

use super::Failure;
use super::actor::{Background, Outcome, begin};
use super::demo::counters::DenyCounters;
use super::demo::node::Node;
use super::demo::{Place, Side, Stage};
use contract::{Line, block, pass};

/// The demonstration's two zones, web and db, and a process of the host beside them.
pub struct Scene {
    stage: Stage,
    bystander: Background,
    node: Node,
    place: Place,
}

impl Scene {
    fn set() -> Result<Scene, Failure> {
        let place = Place::make()?;
        let node = Node::start(&place.dir)?;
        let stage = Stage::set(&node, &place)?;
        let bystander = begin(&stage.outside.cgroup, "wait", &[])?;
        Ok(Scene {
            stage,
            bystander,
            node,
            place,
        })
    }

    fn counters(&self) -> &DenyCounters {
        &self.stage.counters
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.dir.join(name)
    }

    /// What a hook is about, done by web to a side.
    fn attempt(&self, hook: Hook, to: &Side) -> Outcome {
        self.stage.attempt(hook, to)
    }

    /// The same after a command.
    fn after(&self, command: &[&str], hook: Hook, to: &Side) -> Result<Outcome, Failure> {
        self.node.ask(command)?;
        Ok(self.attempt(hook, to))
    }
}

/// A hook's name as part of a line's.
fn dashed(hook: Hook) -> String {
    hook.name().replace('_', "-")
}

/// What a hook is about passes inside the zone, and is blocked across.
fn both_ways(hook: Hook) -> [Line<Scene>; 2] {
    let does = format!("{} by zone web", hook.name());
    [
        pass(
            format!("own-{}", dashed(hook)),
            format!("{does}, on what is its own"),
            move |scene: &Scene| Ok(scene.attempt(hook, &scene.stage.web)),
        ),
        block(
            hook,
            format!("other-zone-{}", dashed(hook)),
            format!("{does}, on what is zone db's"),
            move |scene: &Scene| Ok(scene.attempt(hook, &scene.stage.db)),
        ),
    ]
}

/// Opens a file from inside a cgroup.
fn opens(cgroup: &Path, path: &Path) -> Outcome {
    super::actor::act(cgroup, "open", &[path])
}
