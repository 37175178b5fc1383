//! The collector: the channel to it, and what an export to it came to.

use std::time::Duration;

use opentelemetry_otlp::{Compression, RetryPolicy, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::LogExporter as _;
use opentelemetry_sdk::trace::SpanExporter as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::exporter::Exporter;
use super::settings::{SettingsError, Target, Tls};

/// An export that did not go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Whether the collector itself said that it will never take this.
    pub for_good: bool,
    /// What was said.
    pub said: String,
}

/// Where exports go.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    channel: Channel,
    target: Target,
}

impl Collector {
    /// A collector that is connected to when there is something for it, and again when it was lost.
    pub(crate) fn new(target: &Target) -> Result<Collector, SettingsError> {
        let refuse = |why: String| SettingsError::Endpoint {
            endpoint: target.endpoint.clone(),
            why,
        };
        let endpoint = Endpoint::from_shared(target.endpoint.clone());
        let mut endpoint = endpoint.map_err(|error| refuse(error.to_string()))?;
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let secured = endpoint.tls_config(tls(&target.tls));
                endpoint = secured.map_err(|error| refuse(whole(&error)))?;
            }
            _ => return Err(refuse("it does not begin with http:// or https://".into())),
        }
        let endpoint = endpoint
            .connect_timeout(target.timeout)
            .timeout(target.timeout);
        Ok(Collector {
            channel: endpoint.connect_lazy(),
            target: target.clone(),
        })
    }

    /// What exports log records to it.
    pub(crate) fn logs(
        &self,
        resource: &Resource,
    ) -> Result<Exporter<opentelemetry_otlp::LogExporter>, SettingsError> {
        let builder = opentelemetry_otlp::LogExporter::builder().with_tonic();
        let builder = builder
            .with_channel(self.channel.clone())
            .with_metadata(self.target.headers.clone())
            .with_timeout(self.target.timeout)
            // What is tried again is tried again here, where it is counted.
            .with_retry_policy(RetryPolicy::disabled());
        let builder = match self.target.gzip {
            true => builder.with_compression(Compression::Gzip),
            false => builder,
        };
        let mut exporter = builder.build().map_err(|error| self.unusable(&error))?;
        exporter.set_resource(resource);
        Ok(Exporter::new(exporter, self.target.timeout))
    }

    /// What exports spans to it.
    pub(crate) fn traces(
        &self,
        resource: &Resource,
    ) -> Result<Exporter<opentelemetry_otlp::SpanExporter>, SettingsError> {
        let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic();
        let builder = builder
            .with_channel(self.channel.clone())
            .with_metadata(self.target.headers.clone())
            .with_timeout(self.target.timeout)
            .with_retry_policy(RetryPolicy::disabled());
        let builder = match self.target.gzip {
            true => builder.with_compression(Compression::Gzip),
            false => builder,
        };
        let mut exporter = builder.build().map_err(|error| self.unusable(&error))?;
        exporter.set_resource(resource);
        Ok(Exporter::new(exporter, self.target.timeout))
    }

    /// Exports metrics. Not through `opentelemetry-otlp`: its exporter takes only what the SDK has
    /// aggregated, and the SDK repeats what it was told once (`docs/decisions/0006-telemetry.md`).
    pub(crate) async fn metrics(
        &self,
        message: ExportMetricsServiceRequest,
    ) -> Result<(), Failure> {
        let mut client = MetricsServiceClient::new(self.channel.clone());
        if self.target.gzip {
            let gzip = CompressionEncoding::Gzip;
            client = client.send_compressed(gzip).accept_compressed(gzip);
        }
        let mut request = Request::new(message);
        *request.metadata_mut() = self.target.headers.clone();
        let answer = within(self.target.timeout, client.export(request)).await?;
        let partial = answer
            .map_err(failure)?
            .into_inner()
            .partial_success
            .unwrap_or_default();
        match partial.rejected_data_points {
            0 => Ok(()),
            refused => Err(Failure {
                for_good: true,
                said: format!(
                    "{refused} data points were refused: {}",
                    partial.error_message
                ),
            }),
        }
    }

    fn unusable(&self, error: &dyn std::error::Error) -> SettingsError {
        SettingsError::Endpoint {
            endpoint: self.target.endpoint.clone(),
            why: error.to_string(),
        }
    }
}

/// An export with a limit of its own: the channel's begins only once it is connected.
pub(crate) async fn within<T>(
    limit: Duration,
    export: impl Future<Output = T>,
) -> Result<T, Failure> {
    let answer = tokio::time::timeout(limit, export).await;
    answer.map_err(|_| Failure {
        for_good: false,
        said: format!("no answer within {limit:?}"),
    })
}

fn failure(status: Status) -> Failure {
    Failure {
        for_good: false,
        said: format!("{:?}: {}", status.code(), status.message()),
    }
}

fn tls(tls: &Tls) -> ClientTlsConfig {
    let config = match &tls.authority {
        Some(authority) => ClientTlsConfig::new().ca_certificate(authority.clone()),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &tls.identity {
        Some(identity) => config.identity(identity.clone()),
        None => config,
    }
}

fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
