//! Spans: what `tracing` sees of a command, from RPC to map write, on its way to the collector. A span
//! that finds no room, or no collector, is dropped and counted: a trace illustrates, it proves nothing.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanData, SpanProcessor};
use tokio::sync::{mpsc, watch};
use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::Signal;
use super::accounts::Accounts;
use super::exporter::Exporter;

/// How many spans may wait.
const QUEUE: usize = 8192;

/// How many go out together.
const BATCH: usize = 512;

/// Spans are gathered so long before they go out.
const GATHER: Duration = Duration::from_millis(200);

/// Puts spans that ended into the queue.
#[derive(Debug)]
struct Processor {
    queue: mpsc::Sender<SpanData>,
    accounts: Arc<Accounts>,
}

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.accounts.handed_over(Signal::Traces, 1);
        if self.queue.try_send(span).is_err() {
            self.accounts.dropped(Signal::Traces, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Spans are taken.
pub(crate) struct Taken {
    provider: SdkTracerProvider,
    waiting: mpsc::Receiver<SpanData>,
}

/// Begins to take spans.
pub(crate) fn take(resource: Resource, accounts: Arc<Accounts>) -> Taken {
    let (queue, waiting) = mpsc::channel(QUEUE);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Processor { queue, accounts })
        .with_resource(resource)
        .build();
    Taken { provider, waiting }
}

impl Taken {
    /// Takes them out of `tracing`. Only Syvä's own: what exports (hyper, h2, tonic, tower,
    /// opentelemetry) would otherwise export itself, endlessly.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        // Spans are at debug, so that no log line carries them unless it is asked to.
        let own = filter_fn(|metadata| {
            let most = match metadata.is_span() {
                true => Level::DEBUG,
                false => Level::INFO,
            };
            metadata.target().starts_with("syva") && *metadata.level() <= most
        });
        let own = own.with_max_level_hint(LevelFilter::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("syva"))
            .with_filter(own)
    }

    /// What exports them.
    pub(crate) fn export(
        self,
        exporter: Exporter<SpanExporter>,
        accounts: Arc<Accounts>,
    ) -> Export {
        Export {
            taken: self,
            exporter,
            accounts,
        }
    }
}

/// What exports them.
pub(crate) struct Export {
    taken: Taken,
    exporter: Exporter<SpanExporter>,
    accounts: Arc<Accounts>,
}

impl Export {
    /// Exports until `stopped` turns true, and then what is there.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let stopping = *stopped.borrow_and_update();
            if stopping {
                self.taken.waiting.close();
            }
            tokio::select! {
                count = self.taken.waiting.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                }
                // The sender is gone: that is a stop too, and the queue is closed above.
                _ = stopped.changed(), if !stopping => continue,
            }
            self.send(std::mem::take(&mut batch)).await;
            if !stopping {
                tokio::time::sleep(GATHER).await;
            }
        }
    }

    /// One try: what fails is dropped.
    async fn send(&self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        let answer = self.exporter.export(spans).await;
        self.accounts.collector(Signal::Traces, answer.as_ref());
        match answer {
            Ok(refused) => self.accounts.answered(Signal::Traces, count, &Ok(refused)),
            Err(_) => self.accounts.dropped(Signal::Traces, count),
        }
    }
}
