//! The collector: one export, one answer. Whether to try again is for the caller to decide.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::settings::{SettingsError, Target};

/// Where exports go.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    channel: Channel,
    headers: MetadataMap,
    timeout: Duration,
}

impl Collector {
    /// A collector that is connected to when there is something for it, and again when it was lost.
    pub(crate) fn new(target: &Target) -> Result<Collector, SettingsError> {
        let refuse = |why: String| SettingsError::Endpoint {
            endpoint: target.endpoint.clone(),
            why,
        };
        let endpoint = Endpoint::from_shared(target.endpoint.clone());
        let endpoint = endpoint.map_err(|error| refuse(error.to_string()))?;
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let why = "TLS is not spoken here: run a collector on this node that does";
                return Err(refuse(why.into()));
            }
            _ => return Err(refuse("it does not begin with http://".into())),
        }
        Ok(Collector {
            channel: endpoint.connect_timeout(target.timeout).connect_lazy(),
            headers: target.headers.clone(),
            timeout: target.timeout,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request.set_timeout(self.timeout);
        request
    }

    async fn bounded<T>(
        &self,
        export: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let answer = tokio::time::timeout(self.timeout, export).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
    }

    /// Exports log records; how many were refused.
    pub(crate) async fn logs(&self, message: ExportLogsServiceRequest) -> Result<u64, Status> {
        let mut client = LogsServiceClient::new(self.channel.clone());
        let answer = self.bounded(client.export(self.request(message))).await?;
        let partial = answer.into_inner().partial_success.unwrap_or_default();
        Ok(partial.rejected_log_records.try_into().unwrap_or(0))
    }

    /// Exports metrics.
    pub(crate) async fn metrics(&self, message: ExportMetricsServiceRequest) -> Result<(), Status> {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        let answer = self.bounded(client.export(self.request(message))).await?;
        let partial = answer.into_inner().partial_success.unwrap_or_default();
        match partial.rejected_data_points {
            0 => Ok(()),
            refused => Err(Status::invalid_argument(format!(
                "{refused} data points were refused: {}",
                partial.error_message
            ))),
        }
    }

    /// Exports spans; how many were refused.
    pub(crate) async fn traces(&self, message: ExportTraceServiceRequest) -> Result<u64, Status> {
        let mut client = TraceServiceClient::new(self.channel.clone());
        let answer = self.bounded(client.export(self.request(message))).await?;
        let partial = answer.into_inner().partial_success.unwrap_or_default();
        Ok(partial.rejected_spans.try_into().unwrap_or(0))
    }
}

/// Whether the same export may succeed later, by the table of the OTLP specification.
pub(crate) fn is_worth_another_try(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            // What tonic says of a connection that broke.
            | Code::Unknown
    )
}
