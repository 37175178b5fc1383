//! The figures as OTLP metrics: the values of `/metrics` under the same names.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Signal;
use super::accounts::Accounts;
use super::collector::Collector;
use super::exporter::Refused;
use crate::figures::catalog::{self, Kind};
use crate::figures::{Figures, Sample, Source};

/// What exports them.
pub(crate) struct Export {
    pub collector: Collector,
    pub source: Arc<Source>,
    pub accounts: Arc<Accounts>,
    pub resource: Resource,
    pub version: &'static str,
}

impl Export {
    /// Exports now and at every interval, and once more when `stopped` turns true. An export that
    /// fails is not repeated: the next one says more.
    pub(crate) async fn run(self, interval: Duration, mut stopped: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                _ = ticks.tick() => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            let figures = self.source.figures().await;
            let outcome = self.collector.metrics(self.request(&figures)).await;
            let answer = outcome.map(|()| Refused::default());
            self.accounts.collector(Signal::Metrics, answer.as_ref());
            if last {
                return;
            }
        }
    }

    fn request(&self, figures: &Figures) -> ExportMetricsServiceRequest {
        let samples = figures.samples();
        let (start, now) = (nanos(figures.started), nanos(SystemTime::now()));
        let metrics = catalog::ALL.iter().filter_map(|metric| {
            let of_it = samples.iter().filter(|s| std::ptr::eq(s.metric, *metric));
            let data_points: Vec<_> = of_it.map(|sample| point(sample, start, now)).collect();
            let data = match metric.kind {
                Kind::Gauge => Data::Gauge(Gauge {
                    data_points: data_points.clone(),
                }),
                Kind::Counter => Data::Sum(Sum {
                    data_points: data_points.clone(),
                    aggregation_temporality: AggregationTemporality::Cumulative.into(),
                    is_monotonic: true,
                }),
            };
            (!data_points.is_empty()).then(|| Metric {
                name: metric.name.to_owned(),
                description: metric.help.to_owned(),
                unit: metric.unit.to_owned(),
                metadata: Vec::new(),
                data: Some(data),
            })
        });
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(InstrumentationScope {
                        name: "syva".into(),
                        version: self.version.into(),
                        ..InstrumentationScope::default()
                    }),
                    metrics: metrics.collect(),
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        }
    }
}

fn point(sample: &Sample, start: u64, now: u64) -> NumberDataPoint {
    let names = sample.metric.labels.iter();
    let attributes = names.zip(&sample.labels).map(|(name, value)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.clone())),
        }),
        ..KeyValue::default()
    });
    // Counts are whole, and below 2^53.
    #[allow(clippy::cast_possible_truncation)]
    let value = match sample.metric.kind {
        Kind::Counter => Number::AsInt(sample.value as i64),
        Kind::Gauge => Number::AsDouble(sample.value),
    };
    NumberDataPoint {
        attributes: attributes.collect(),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
