//! What systemd is told (sd_notify(3)): ready once the hooks are attached, the state in a line, alive as
//! long as whoever is needed answers. Without a service manager all of it does nothing.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use syva_actors::Engine;
use syva_actors::health::Health;
use tokio::task::JoinSet;

/// Tells the service manager, until it is stopped.
pub struct Telling(JoinSet<()>);

impl Telling {
    /// Ends it, and lets go of the engine.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }
}

/// Starts telling. The socket listens already.
pub fn start(engine: &Arc<Engine>) -> Telling {
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(Arc::clone(engine)));
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tasks.spawn(watchdog(Arc::clone(engine), limit));
    }
    Telling(tasks)
}

/// Says that the daemon ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Readiness and the state in words. Ready means enforcing: what is ordered after the unit relies on it.
async fn follow(engine: Arc<Engine>) {
    let mut board = engine.health();
    let mut ready = false;
    loop {
        let health = board.borrow_and_update().clone();
        let status = status(&health);
        if health.attached() && !ready {
            ready = true;
            tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
        } else {
            tell(&[NotifyState::Status(&status)]);
        }
        if board.changed().await.is_err() {
            return;
        }
    }
}

/// One line: the state, the hooks, and what is wrong.
fn status(health: &Health) -> String {
    let hooks = health.loaded.iter().flat_map(|loaded| &loaded.hooks);
    let attached = hooks.clone().filter(|hook| hook.attached).count();
    let mut words = vec![format!(
        "{}, {attached} of {} hooks attached",
        health.grade().name(),
        hooks.count()
    )];
    words.extend(health.words());
    words.join("; ").replace('\n', " ")
}

/// Degraded is alive: what degrades the node would be the same after a restart.
async fn watchdog(engine: Arc<Engine>, limit: Duration) {
    // Half the limit, as sd_watchdog_enabled(3) advises, less the time in which three may answer.
    let pause = limit / 4;
    let patience = limit / 12;
    loop {
        match engine.alive(patience).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(silent) => tracing::error!(?limit, "the watchdog is not told: {silent}"),
        }
        tokio::time::sleep(pause).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_line_and_names_what_is_wrong() {
        let mut health = Health::default();
        let words = "the disk\nis full".to_owned();
        health.reasons.insert("journal".to_owned(), words);
        let status = status(&health);
        assert_eq!(
            status,
            "unsafe, 0 of 0 hooks attached; the disk is full; no kernel side is loaded"
        );
    }
}
