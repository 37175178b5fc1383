//! What libbpf prints goes to tracing; the end of it is kept, for the error that follows.

use std::sync::{Mutex, PoisonError};

use libbpf_rs::PrintLevel;

/// A verifier's complaint stands at the end of its log.
const KEPT: usize = 4096;

static LAST: Mutex<String> = Mutex::new(String::new());

/// Takes libbpf's output over, for the process.
pub(crate) fn capture() {
    libbpf_rs::set_print(Some((PrintLevel::Debug, print)));
}

/// What was printed as a warning since the last call, at most its last 4 KiB.
pub(crate) fn take_warnings() -> String {
    std::mem::take(&mut *LAST.lock().unwrap_or_else(PoisonError::into_inner))
}

fn print(level: PrintLevel, message: String) {
    let text = message.trim_end();
    match level {
        PrintLevel::Debug => tracing::trace!(target: "libbpf", "{text}"),
        PrintLevel::Info => tracing::debug!(target: "libbpf", "{text}"),
        PrintLevel::Warn => {
            tracing::warn!(target: "libbpf", "{text}");
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            last.push_str(&message);
            let excess = last.len().saturating_sub(KEPT);
            let cut = (excess..last.len()).find(|at| last.is_char_boundary(*at));
            last.drain(..cut.unwrap_or(0));
        }
    }
}
