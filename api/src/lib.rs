//! The edges of Syvä: the `syva.core.v1` protocol, its client, (feature `server`) its services, and
//! (feature `telemetry`) what the node tells of itself over HTTP and OTLP.

pub mod client;
#[cfg(feature = "telemetry")]
pub mod figures;
#[cfg(feature = "telemetry")]
pub mod http;
#[cfg(feature = "telemetry")]
pub mod otlp;
#[cfg(feature = "server")]
pub mod server;

/// The messages and stubs generated from `proto/syva/core/v1/core.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("syva.core.v1");

    /// The file descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
