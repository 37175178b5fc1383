//! Denials and drift on their way to the collector: from the fan-out into a bounded queue, and from there in
//! batches until the collector has confirmed them or refused them for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::InstrumentationScope;
use opentelemetry_otlp::LogExporter;
use opentelemetry_sdk::logs::SdkLogRecord;
use syva_actors::Engine;
use syva_actors::drift::Drift;
use syva_actors::fanout::{Delivery, Outflow};
use syva_model::image::CgroupId;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::Signal;
use super::accounts::Accounts;
use super::exporter::Exporter;
use super::records::{Clocks, Container, Records};

/// How many may wait for the collector; what comes beyond that is counted and dropped. The
/// oldest are kept: they say how it began.
pub(crate) const QUEUE: usize = 65_536;

/// How many go out together.
const BATCH: usize = 512;

/// The first pause after an export that failed, doubled for each that follows.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the state may take to say which containers were denied something.
const PATIENCE: Duration = Duration::from_secs(1);

/// What becomes a log record.
#[derive(Debug)]
pub(crate) enum Happened {
    /// An operation was refused, or would have been.
    Denial(Delivery),
    /// A map held what the journal does not say.
    Drift(Drift),
}

/// Takes events from the fan-out into the queue until `stopped` turns true or the engine is gone,
/// without ever waiting.
pub(crate) async fn hand_over(
    outflow: Outflow,
    queue: mpsc::Sender<Happened>,
    accounts: Arc<Accounts>,
    mut stopped: watch::Receiver<bool>,
) {
    let Outflow {
        mut denials,
        mut drift,
    } = outflow;
    let hand_over = |happened| {
        accounts.handed_over(Signal::Logs, 1);
        if queue.try_send(happened).is_err() {
            accounts.dropped(Signal::Logs, 1);
        }
    };
    loop {
        tokio::select! {
            Some(denial) = denials.recv() => hand_over(Happened::Denial(denial)),
            Some(drift) = drift.recv() => hand_over(Happened::Drift(drift)),
            // An error: nobody is left to stop it, which is the same.
            _ = stopped.wait_for(|stopped| *stopped), if !denials.is_closed() => {
                // No more is let in; what is in is taken out.
                denials.close();
                drift.close();
            }
            else => return,
        }
    }
}

/// What takes them out of the queue.
pub(crate) struct Export {
    pub exporter: Exporter<LogExporter>,
    pub engine: Arc<Engine>,
    pub accounts: Arc<Accounts>,
    pub scope: InstrumentationScope,
    pub records: Records,
}

impl Export {
    /// Runs until the queue is empty and nobody fills it any more.
    pub(crate) async fn run(self, mut waiting: mpsc::Receiver<Happened>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let records = self.records(&batch).await;
            batch.clear();
            self.deliver(&records).await;
        }
    }

    /// Tries until the collector has the batch, or says that it never will.
    async fn deliver(&self, records: &[SdkLogRecord]) {
        let mut pause = PAUSE;
        loop {
            let answer = self.exporter.export(records, &self.scope).await;
            let count = records.len() as u64;
            self.accounts.collector(Signal::Logs, answer.as_ref());
            self.accounts.answered(Signal::Logs, count, &answer);
            match answer {
                Err(failure) if !failure.for_good => {}
                Ok(_) | Err(_) => return,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn records(&self, batch: &[Happened]) -> Vec<SdkLogRecord> {
        let containers = self.containers(batch).await;
        let clocks = Clocks::read();
        let records = batch.iter();
        let records = records.map(|happened| match happened {
            Happened::Denial(delivery) => self.records.denial(delivery, &containers, clocks),
            Happened::Drift(drift) => self.records.drift(drift, clocks),
        });
        records.collect()
    }

    /// The containers of a batch, as far as they are known now.
    async fn containers(&self, batch: &[Happened]) -> HashMap<CgroupId, Container> {
        let mut cgroups: Vec<CgroupId> = batch
            .iter()
            .filter_map(|happened| match happened {
                Happened::Denial(delivery) => Some(delivery.denial.kernel.subject_cgroup),
                Happened::Drift(_) => None,
            })
            .collect();
        cgroups.sort_unstable();
        cgroups.dedup();
        let question = self.engine.ask(move |glance| {
            let known = cgroups.into_iter().filter_map(|cgroup| {
                let (id, member) = glance.state.container_of(cgroup)?;
                let (id, pod) = (id.clone(), member.pod.clone());
                Some((cgroup, Container { id, pod }))
            });
            known.collect()
        });
        // Without an answer the records go out without containers.
        let asked = timeout(PATIENCE, question).await;
        asked.ok().and_then(Result::ok).unwrap_or_default()
    }
}
