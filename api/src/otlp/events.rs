//! Denials on their way to the collector: from the fan-out into a bounded queue, and from there in
//! batches until the collector has confirmed them or refused them for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use syva_actors::Engine;
use syva_actors::fanout::Delivery;
use syva_model::image::CgroupId;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::Signal;
use super::accounts::Accounts;
use super::collector::{Collector, is_worth_another_try};
use super::records::{Clocks, Container, record};

/// How many denials may wait for the collector; what comes beyond that is counted and dropped. The
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

/// Takes denials from the fan-out into the queue until `stopped` turns true, without ever waiting.
pub(crate) async fn hand_over(
    engine: Arc<Engine>,
    queue: mpsc::Sender<Delivery>,
    accounts: Arc<Accounts>,
    mut stopped: watch::Receiver<bool>,
) {
    let taken = async {
        loop {
            if let Ok(mut denials) = engine.subscribe(true).await {
                while let Some(denial) = denials.recv().await {
                    accounts.handed_over(Signal::Logs, 1);
                    if queue.try_send(denial).is_err() {
                        accounts.dropped(Signal::Logs, 1);
                    }
                }
            }
            // The fan-out is being restarted.
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = taken => {}
        // An error: nobody is left to stop it, which is the same.
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// What takes them out of the queue.
pub(crate) struct Export {
    pub collector: Collector,
    pub engine: Arc<Engine>,
    pub accounts: Arc<Accounts>,
    pub resource: Resource,
    pub version: &'static str,
}

impl Export {
    /// Runs until the queue is empty and nobody fills it any more.
    pub(crate) async fn run(self, mut waiting: mpsc::Receiver<Delivery>) {
        let mut batch = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let request = self.request(&batch).await;
            self.deliver(request, batch.len() as u64).await;
            batch.clear();
        }
    }

    /// Tries until the collector has the batch, or says that it never will.
    async fn deliver(&self, request: ExportLogsServiceRequest, count: u64) {
        let mut pause = PAUSE;
        loop {
            match self.collector.logs(request.clone()).await {
                Ok(refused) => {
                    let refused = refused.min(count);
                    self.accounts.collector(Signal::Logs, Ok(()));
                    return self
                        .accounts
                        .answered(Signal::Logs, count - refused, refused);
                }
                Err(status) => {
                    self.accounts.collector(Signal::Logs, Err(&status));
                    if !is_worth_another_try(&status) {
                        return self.accounts.answered(Signal::Logs, 0, count);
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn request(&self, batch: &[Delivery]) -> ExportLogsServiceRequest {
        let containers = self.containers(batch).await;
        let clocks = Clocks::read();
        let records = batch.iter();
        let records = records.map(|delivery| record(delivery, &containers, clocks));
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(InstrumentationScope {
                        name: "syva".into(),
                        version: self.version.into(),
                        ..InstrumentationScope::default()
                    }),
                    log_records: records.collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        }
    }

    /// The containers of a batch, as far as they are known now.
    async fn containers(&self, batch: &[Delivery]) -> HashMap<CgroupId, Container> {
        let mut cgroups: Vec<CgroupId> = batch
            .iter()
            .map(|delivery| delivery.denial.kernel.subject_cgroup)
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
