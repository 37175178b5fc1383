//! How far a long walk through the journal has come, on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How long a walk may take in silence.
const SILENCE: Duration = Duration::from_secs(1);

/// Tells on stderr how far a walk is, if stderr is a terminal and the walk is long.
pub struct Progress {
    doing: &'static str,
    begun: Instant,
    total: Option<u64>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of a walk that is about to begin.
    pub fn new(doing: &'static str) -> Progress {
        Progress {
            doing,
            begun: Instant::now(),
            total: None,
            bar: None,
        }
    }

    /// How far the walk will go.
    pub fn expect(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// The walk has come to entry `seq`.
    pub fn at(&mut self, seq: u64) {
        // Reading the clock at every entry would cost as much as the entry.
        if !seq.is_multiple_of(256) {
            return;
        }
        if self.bar.is_none() && self.begun.elapsed() > SILENCE {
            self.bar = Some(bar(self.doing, self.total));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(seq);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Draws nothing where stderr is no terminal.
fn bar(doing: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg}: entry {pos} of {len} {wide_bar} {eta} left",
        ),
        None => (ProgressBar::no_length(), "{msg}: entry {pos}, {elapsed}"),
    };
    // A template that does not parse is a bar in the library's own style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(doing);
    bar
}
