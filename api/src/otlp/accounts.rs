//! Accounts: of what is handed over for export, how much was confirmed and how much was dropped.
//! Nothing is lost silently (I5): the three always add up with what is still under way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Signal;
use super::collector::Failure;
use super::exporter::Refused;

/// One signal's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Handed over for export.
    pub handed_over: u64,
    /// The collector said it has them.
    pub confirmed: u64,
    /// Given up: no room in the queue, refused by the collector, or left over at the end.
    pub dropped: u64,
}

impl Flow {
    /// What is neither confirmed nor dropped yet.
    pub fn under_way(&self) -> u64 {
        self.handed_over
            .saturating_sub(self.confirmed + self.dropped)
    }
}

/// A look at the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Log records, if they are exported.
    pub records: Option<Flow>,
    /// Spans, if they are exported.
    pub spans: Option<Flow>,
    /// Whether the last export of a signal was confirmed; nothing before the first.
    pub up: Vec<(&'static str, bool)>,
}

#[derive(Debug, Default)]
struct Line {
    flow: Flow,
    up: Option<bool>,
    /// Why the collector last refused something for good.
    refused: Option<String>,
}

/// The accounts.
#[derive(Debug)]
pub struct Accounts {
    signals: Vec<Signal>,
    lines: Mutex<[Line; 3]>,
}

impl Accounts {
    /// Accounts of the signals that are exported.
    pub fn new(signals: Vec<Signal>) -> Accounts {
        Accounts {
            signals,
            lines: Mutex::default(),
        }
    }

    /// A look at them.
    pub fn exported(&self) -> Exported {
        let lines = self.lines();
        let flow = |signal: Signal| {
            let kept = self.signals.contains(&signal);
            kept.then(|| lines[signal as usize].flow)
        };
        let up = self.signals.iter().filter_map(|signal| {
            let up = lines[*signal as usize].up?;
            Some((signal.name(), up))
        });
        Exported {
            records: flow(Signal::Logs),
            spans: flow(Signal::Traces),
            up: up.collect(),
        }
    }

    /// Something is handed over. Told before it is, so that no look finds more done than given.
    pub(crate) fn handed_over(&self, signal: Signal, count: u64) {
        self.lines()[signal as usize].flow.handed_over += count;
    }

    /// Something is given up.
    pub(crate) fn dropped(&self, signal: Signal, count: u64) {
        self.lines()[signal as usize].flow.dropped += count;
    }

    /// What became of an export of so many: the collector has them but for those it refused, or it
    /// will never take them, or there will be another try.
    pub(crate) fn answered(&self, signal: Signal, count: u64, answer: &Result<Refused, Failure>) {
        let refused = match answer {
            Ok(refused) => refused.count.min(count),
            Err(failure) if failure.for_good => count,
            Err(_) => return,
        };
        let line = &mut self.lines()[signal as usize];
        line.flow.confirmed += count - refused;
        line.flow.dropped += refused;
    }

    /// Nothing will be exported any more: what is under way is dropped. How much, by signal.
    pub(crate) fn close(&self) -> Vec<(&'static str, u64)> {
        let mut lines = self.lines();
        let mut left = Vec::new();
        for signal in [Signal::Logs, Signal::Traces] {
            let flow = &mut lines[signal as usize].flow;
            let count = flow.under_way();
            flow.dropped += count;
            if count > 0 {
                left.push((signal.name(), count));
            }
        }
        left
    }

    /// Whether the collector takes the signal; says so in the log when that changes, and when
    /// something is refused for another reason than the last time.
    pub(crate) fn collector(&self, signal: Signal, answer: Result<&Refused, &Failure>) {
        let refused = match answer {
            Ok(refused) if refused.count > 0 => Some(refused.why.clone()),
            Err(failure) if failure.for_good => Some(failure.said.clone()),
            Ok(_) | Err(_) => None,
        };
        let (before, news) = {
            let line = &mut self.lines()[signal as usize];
            let news = refused.filter(|why| line.refused.as_ref() != Some(why));
            if news.is_some() {
                line.refused.clone_from(&news);
            }
            (line.up.replace(answer.is_ok()), news)
        };
        let signal = signal.name();
        match (before, answer) {
            (Some(false), Ok(_)) => tracing::info!(signal, "the OTLP collector takes it again"),
            (None, Ok(_)) => tracing::info!(signal, "the OTLP collector takes it"),
            (None | Some(true), Err(failure)) if !failure.for_good => tracing::warn!(
                signal,
                "the OTLP collector does not take it: {}; trying again",
                failure.said
            ),
            _ => {}
        }
        if let Some(why) = news {
            tracing::warn!(signal, %why, "the OTLP collector refuses some of it for good");
        }
    }

    fn lines(&self) -> MutexGuard<'_, [Line; 3]> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_is_confirmed_dropped_or_under_way() {
        let accounts = Accounts::new(vec![Signal::Logs]);
        accounts.handed_over(Signal::Logs, 14);
        let one = Refused {
            count: 1,
            why: String::new(),
        };
        accounts.answered(Signal::Logs, 6, &Ok(one));
        accounts.dropped(Signal::Logs, 2);
        let failure = |for_good| Failure {
            for_good,
            said: String::new(),
        };
        accounts.answered(Signal::Logs, 4, &Err(failure(true)));
        accounts.answered(Signal::Logs, 2, &Err(failure(false)));
        let flow = accounts.exported().records.expect("kept");
        assert_eq!((flow.confirmed, flow.dropped, flow.under_way()), (5, 7, 2));
        assert_eq!(accounts.exported().spans, None, "spans are not exported");
    }
}
