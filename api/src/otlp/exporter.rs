//! An exporter of `opentelemetry-otlp`, and what it tells only its log.
//!
//! An export answers with Ok also if the collector refused some of the items, and with an error that
//! does not say whether another try makes sense. Both stand in events that the exporter writes while
//! the export runs; so it runs with a subscriber of its own, which hears nothing else and keeps them
//! out of the daemon's log ("telemetry data will be lost" would not be true there). The tests of this
//! are against a collector that answers in every way there is: a version that tells it otherwise
//! fails them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber as _;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::collector::{Failure, within};

/// The exporter's target in `tracing`.
const TARGET: &str = "opentelemetry-otlp";

/// Some items were refused, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    pub count: u64,
    pub why: String,
}

/// An exporter that can be asked what became of an export. One export at a time.
#[derive(Debug)]
pub(crate) struct Exporter<E> {
    exporter: E,
    timeout: Duration,
    heard: Arc<Mutex<Heard>>,
    ear: Dispatch,
}

impl<E> Exporter<E> {
    pub(crate) fn new(exporter: E, timeout: Duration) -> Exporter<E> {
        let heard = Arc::default();
        let ear = Dispatch::new(Ear(Arc::clone(&heard)));
        Exporter {
            exporter,
            timeout,
            heard,
            ear,
        }
    }

    async fn heard(
        &self,
        count: u64,
        export: impl Future<Output = OTelSdkResult>,
    ) -> Result<Refused, Failure> {
        *lock(&self.heard) = Heard::default();
        let export = export.with_subscriber(self.ear.clone());
        let answer = within(self.timeout, export).await?;
        let heard = std::mem::take(&mut *lock(&self.heard));
        match answer {
            Ok(()) => Ok(Refused {
                count: heard.rejected.clamp(0, i64::MAX).unsigned_abs().min(count),
                why: heard.why,
            }),
            Err(error) => Err(failure(&error, heard.never)),
        }
    }
}

impl Exporter<opentelemetry_otlp::LogExporter> {
    /// Exports log records; which the collector refused.
    pub(crate) async fn export(
        &self,
        records: &[SdkLogRecord],
        scope: &InstrumentationScope,
    ) -> Result<Refused, Failure> {
        let batch: Vec<_> = records.iter().map(|record| (record, scope)).collect();
        let export = self.exporter.export(LogBatch::new(&batch));
        self.heard(records.len() as u64, export).await
    }
}

impl Exporter<opentelemetry_otlp::SpanExporter> {
    /// Exports spans; which the collector refused.
    pub(crate) async fn export(&self, spans: Vec<SpanData>) -> Result<Refused, Failure> {
        let count = spans.len() as u64;
        self.heard(count, self.exporter.export(spans)).await
    }
}

/// What an error came to. Where the collector did not answer the error has a cause of this side after
/// its code: that the code is not among those the specification repeats says nothing then.
fn failure(error: &OTelSdkError, never: bool) -> Failure {
    let text = error.to_string();
    let said = text.split_once("gRPC code: ").map_or(&*text, |(_, s)| s);
    let answered = !said.contains(": ");
    Failure {
        for_good: never && answered,
        said: said.to_owned(),
    }
}

#[derive(Debug, Default)]
struct Heard {
    /// Items that were refused for good in an export that succeeded.
    rejected: i64,
    why: String,
    /// The failure is none to try again after.
    never: bool,
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what an exporter says.
struct Ear(Arc<Mutex<Heard>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET && *metadata.level() <= Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Hearing(&mut lock(&self.0)));
    }

    // There are no spans: `enabled` takes none.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Hearing<'a>(&'a mut Heard);

impl Visit for Hearing<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if let "rejected_log_records" | "rejected_spans" = field.name() {
            self.0.rejected = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match (field.name(), value) {
            ("name", "Export.Failed.NonRetryable") => self.0.never = true,
            ("error_message", why) => why.clone_into(&mut self.0.why),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
