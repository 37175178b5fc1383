//! OpenTelemetry export (D18): denials and drift as log records, the figures as metrics, commands as traces.
//!
//! Each signal has a task of its own that talks to the collector; what waits for it waits in a bounded
//! queue that counts what it drops. The engine hands over and goes on: nothing here is ever awaited by
//! a command or a hook. `docs/decisions/0006-telemetry.md` says why the SDK's batch processors are not
//! used.

pub mod accounts;
mod collector;
mod events;
mod exporter;
mod figures;
mod records;
mod resource;
pub mod settings;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::{LogExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use syva_actors::Engine;
use syva_actors::fanout::{self, Outflow, Outlet};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::figures::{Build, Source};
use accounts::Accounts;
use collector::Collector;
use exporter::Exporter;
use settings::{Settings, SettingsError};

/// How long what is left may take to go out when the daemon stops.
const GRACE: Duration = Duration::from_secs(3);

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Denials and drift.
    Logs,
    /// Figures.
    Metrics,
    /// Commands.
    Traces,
}

impl Signal {
    /// Every one of them.
    pub const ALL: [Signal; 3] = [Signal::Logs, Signal::Metrics, Signal::Traces];

    /// As OpenTelemetry spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
        }
    }
}

/// Export that is set up and does not run yet: spans are taken from the beginning, so this comes
/// before the log is opened and the engine started.
pub struct Otlp {
    accounts: Arc<Accounts>,
    resource: Resource,
    version: &'static str,
    interval: Duration,
    logs: Option<(Exporter<LogExporter>, Outflow)>,
    outlet: Option<Outlet>,
    metrics: Option<Collector>,
    traces: Option<(Exporter<SpanExporter>, spans::Taken)>,
}

impl Otlp {
    /// Sets it up, within tokio's runtime; nothing is connected yet. `None` if no endpoint is set.
    ///
    /// # Errors
    /// [`SettingsError`]: an endpoint that cannot be used.
    pub fn new(settings: Settings, build: Build) -> Result<Option<Otlp>, SettingsError> {
        let signals = Signal::ALL.into_iter();
        let signals: Vec<Signal> = signals.filter(|s| settings.target(*s).is_some()).collect();
        if signals.is_empty() {
            return Ok(None);
        }
        let connect = |signal| settings.target(signal).map(Collector::new).transpose();
        let accounts = Arc::new(Accounts::new(signals));
        let resource = resource::of_this_node(build);
        let (logs, traces) = (connect(Signal::Logs)?, connect(Signal::Traces)?);
        let traces = traces.map(|to| to.traces(&resource)).transpose()?;
        let logs = logs.map(|to| to.logs(&resource)).transpose()?;
        let (outlet, logs) = logs
            .map(|exporter| {
                let (outlet, outflow) = fanout::outlet();
                (outlet, (exporter, outflow))
            })
            .unzip();
        Ok(Some(Otlp {
            logs,
            outlet,
            metrics: connect(Signal::Metrics)?,
            traces: traces.map(|exporter| {
                let taken = spans::take(resource.clone(), Arc::clone(&accounts));
                (exporter, taken)
            }),
            accounts,
            resource,
            version: build.version,
            interval: settings.interval,
        }))
    }

    /// The accounts, for the figures.
    pub fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts)
    }

    /// Where the engine is to give its events, if they are exported. Once: who has it decides when
    /// nothing more will come.
    pub fn outlet(&mut self) -> Option<Outlet> {
        self.outlet.take()
    }

    /// What takes the spans of commands out of `tracing`, if they are exported.
    pub fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.traces.as_ref().map(|(_, taken)| taken.layer())
    }

    /// Runs until `stopped` turns true and what is left has gone out, or the time for that is over;
    /// what then is still here counts as dropped.
    pub async fn run(
        self,
        engine: Arc<Engine>,
        source: Arc<Source>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut tasks = JoinSet::new();
        let accounts = Arc::clone(&self.accounts);
        if let Some((exporter, outflow)) = self.logs {
            let (queue, waiting) = mpsc::channel(events::QUEUE);
            let handed = events::hand_over(outflow, queue, Arc::clone(&accounts), stopped.clone());
            tasks.spawn(handed);
            let scope = InstrumentationScope::builder("syva").with_version(self.version);
            let export = events::Export {
                exporter,
                engine,
                accounts: Arc::clone(&accounts),
                scope: scope.build(),
                records: records::Records::new(),
            };
            tasks.spawn(export.run(waiting));
        }
        if let Some(collector) = self.metrics {
            let export = figures::Export {
                collector,
                source,
                accounts: Arc::clone(&accounts),
                resource: resource::encoded(&self.resource),
                version: self.version,
            };
            tasks.spawn(export.run(self.interval, stopped.clone()));
        }
        if let Some((exporter, taken)) = self.traces {
            let export = taken.export(exporter, Arc::clone(&accounts));
            tasks.spawn(export.run(stopped.clone()));
        }
        // An error: nobody is left to stop it, which is the same.
        let _ = stopped.wait_for(|stopped| *stopped).await;
        let ended =
            tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tasks.shutdown().await;
        }
        for (signal, left) in accounts.close() {
            tracing::warn!(signal, left, "not delivered to the OTLP collector");
        }
    }
}
