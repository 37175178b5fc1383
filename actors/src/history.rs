//! The history that a start took on trust: entries before the snapshot. A start must not wait for a
//! million of them, and whoever relies on them must not wait for somebody to ask whether they are whole.
//! So a thread of its own reads them once, in idle time, and says what it found.
//!
//! Nothing that is enforced rests on them: the state is that of the snapshot, whose own entry the start
//! has checked, and of the entries behind it. So damage found here takes nothing back and stops no
//! command. It degrades the node, under [`DAMAGED`], until it is dealt with: earlier states cannot be
//! shown any more, and without its snapshot the journal would be refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use syva_journal::{JournalError, JournalReader};

use crate::address::Address;
use crate::health::HealthMsg;

/// The health reason for history that is not whole.
pub const DAMAGED: &str = "journal_history_damaged";

/// How many entries are read at once.
const STEP: usize = 256;
/// How long to wait for somebody who is being restarted: the store, the health actor.
const PATIENCE: Duration = Duration::from_millis(200);

/// The thread. It ends when this is dropped, at the latest after the step it is in.
pub(crate) struct Check {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Check {
    /// Begins to check the entries up to number `last`.
    pub(crate) fn begin(reader: JournalReader, last: u64, health: Address<HealthMsg>) -> Check {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let begun = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || check(&reader, last, &health, &stopped));
        let thread = begun
            .inspect_err(|error| tracing::warn!(%error, "the journal's history is not checked"))
            .ok();
        Check { stop, thread }
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It changes nothing, so that a panic in it leaves nothing behind.
            let _ = thread.join();
        }
    }
}

fn check(reader: &JournalReader, last: u64, health: &Address<HealthMsg>, stop: &AtomicBool) {
    // On Linux this is the calling thread's alone (nice(2), "C library/kernel differences").
    if let Err(error) = rustix::process::nice(19) {
        tracing::debug!(%error, "the journal's history is checked at no lower priority");
    }
    let begun = Instant::now();
    let first = reader.base().seq + 1;
    let mut next = first;
    while next <= last {
        let step = Instant::now();
        let left = usize::try_from(last - next + 1).unwrap_or(STEP);
        match reader.read(next, left.min(STEP)) {
            Ok(records) => match records.last() {
                Some(record) => next = record.seq + 1,
                None => return,
            },
            // The writer opens the store again.
            Err(JournalError::Closed) => std::thread::sleep(PATIENCE),
            Err(JournalError::Refused { .. }) => return,
            Err(error) => {
                let found = words(reader, next, last, &error);
                tracing::error!("{found}");
                report(health, found, stop);
                return;
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Half the time is left to others, also where priorities mean nothing.
        std::thread::sleep(step.elapsed());
    }
    tracing::info!(first, last, took = ?begun.elapsed(), "the history before the snapshot is whole");
}

/// What is wrong, with the first entry it is wrong with: a step whose store cannot be read does not say.
fn words(reader: &JournalReader, from: u64, last: u64, error: &JournalError) -> String {
    let found = match error {
        JournalError::BadEntry { .. } => error.to_string(),
        _ => match (from..=last).find_map(|seq| Some((seq, reader.read(seq, 1).err()?))) {
            Some((_, error @ JournalError::BadEntry { .. })) => error.to_string(),
            Some((seq, error)) => format!("entry {seq} cannot be read: {error}"),
            None => error.to_string(),
        },
    };
    format!(
        "{found}; nothing that is enforced rests on it, since the state is folded from the snapshot of \
         entry {last}, but earlier states cannot be shown, and without the snapshot the journal would be \
         refused: restore the journal from a copy, or let go of the history with `syva-cli journal \
         accept-loss`"
    )
}

fn report(health: &Address<HealthMsg>, words: String, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let raise = HealthMsg::Raise(DAMAGED.into(), words.clone());
        match health.cast(raise) {
            Ok(()) => return,
            Err(_) => std::thread::sleep(PATIENCE),
        }
    }
}
