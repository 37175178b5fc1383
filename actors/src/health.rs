//! The health actor: whether the node can claim enforcement, and with how much confidence.

use std::collections::BTreeMap;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use syva_model::kernel::Loaded;
use tokio::sync::watch;

/// The node's state, as `/healthz` spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Every hook is attached, every self-test passed, the maps hold what the journal says.
    Healthy,
    /// It runs with less confidence.
    Degraded,
    /// It cannot claim enforcement.
    Unsafe,
}

impl Grade {
    /// As the API spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Grade::Healthy => "healthy",
            Grade::Degraded => "degraded",
            Grade::Unsafe => "unsafe",
        }
    }
}

/// The reason of a node whose kernel enforces something that no journal vouches for, or nothing though
/// something should be. It cannot claim enforcement then.
pub const UNPROVEN: &str = "policy_unproven";

/// What everyone can read of the node's health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What loading achieved; none before it has.
    pub loaded: Option<Loaded>,
    /// Why the node is not healthy: a stable key, and words.
    pub reasons: BTreeMap<String, String>,
    /// Actors restarted since the start.
    pub restarts: u64,
}

impl Health {
    /// Whether a kernel enforces and every hook is attached to it.
    pub fn attached(&self) -> bool {
        self.loaded
            .as_ref()
            .is_some_and(|loaded| loaded.enforcing && loaded.hooks.iter().all(|hook| hook.attached))
    }

    /// The node's state.
    pub fn grade(&self) -> Grade {
        let passed = self
            .loaded
            .as_ref()
            .is_some_and(|loaded| loaded.self_tests.iter().all(|test| test.outcome.is_ok()));
        let proven = !self.reasons.contains_key(UNPROVEN);
        match (self.attached() && proven, passed && self.reasons.is_empty()) {
            (false, _) => Grade::Unsafe,
            (true, false) => Grade::Degraded,
            (true, true) => Grade::Healthy,
        }
    }

    /// Every reason in words, self-tests and hooks included.
    pub fn words(&self) -> Vec<String> {
        self.findings()
            .into_iter()
            .map(|(_, words)| words)
            .collect()
    }

    /// Every reason, self-tests and hooks included: a stable key, and words.
    pub fn findings(&self) -> Vec<(String, String)> {
        let raised = self.reasons.iter();
        let mut found: Vec<(String, String)> =
            raised.map(|(k, w)| (k.clone(), w.clone())).collect();
        let mut add = |key: String, words: String| found.push((key, words));
        let Some(loaded) = &self.loaded else {
            add("not_loaded".into(), "no kernel side is loaded".into());
            return found;
        };
        if !loaded.enforcing {
            let words = format!("the {} backend enforces nothing", loaded.backend);
            add("not_enforcing".into(), words);
        }
        for hook in loaded
            .hooks
            .iter()
            .filter(|hook| loaded.enforcing && !hook.attached)
        {
            let why = hook.problem.as_deref().unwrap_or("not attached");
            let name = hook.hook.name();
            add(
                format!("hook_not_attached:{name}"),
                format!("hook {name}: {why}"),
            );
        }
        for test in &loaded.self_tests {
            if let Err(said) = &test.outcome {
                let name = test.name;
                let words = format!("self-test {name} failed: {said}");
                add(format!("selftest_failed:{name}"), words);
            }
        }
        found
    }
}

/// What the others report.
#[derive(Debug)]
pub enum HealthMsg {
    /// The kernel side was loaded.
    Loaded(Box<Loaded>),
    /// Something is wrong, under a stable key.
    Raise(String, String),
    /// It no longer is.
    Clear(String),
    /// An actor was restarted.
    Restarted,
}

/// The actor.
#[derive(Debug)]
pub struct HealthActor;

impl Actor for HealthActor {
    type Msg = HealthMsg;
    type State = watch::Sender<Health>;
    type Arguments = watch::Sender<Health>;

    async fn pre_start(
        &self,
        _: ActorRef<HealthMsg>,
        board: watch::Sender<Health>,
    ) -> Result<watch::Sender<Health>, ActorProcessingErr> {
        Ok(board)
    }

    async fn handle(
        &self,
        _: ActorRef<HealthMsg>,
        message: HealthMsg,
        board: &mut watch::Sender<Health>,
    ) -> Result<(), ActorProcessingErr> {
        board.send_modify(|health| match message {
            HealthMsg::Loaded(loaded) => health.loaded = Some(*loaded),
            HealthMsg::Raise(key, words) => {
                if health.reasons.get(&key) != Some(&words) {
                    tracing::warn!(reason = %key, "degraded: {words}");
                }
                health.reasons.insert(key, words);
            }
            HealthMsg::Clear(key) => {
                if health.reasons.remove(&key).is_some() {
                    tracing::info!(reason = %key, "no longer degraded");
                }
            }
            HealthMsg::Restarted => health.restarts += 1,
        });
        Ok(())
    }
}
