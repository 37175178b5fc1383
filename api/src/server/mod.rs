//! The services: `syva.core.v1` over a Unix socket, with gRPC health and reflection beside it.

mod claimants;
mod convert;
mod journal;
mod listing;
mod refuse;
mod service;
pub mod socket;
mod status;
mod trace;
mod trailers;
pub(crate) mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use syva_actors::Engine;
use syva_actors::health::Grade;
use tokio::net::UnixListener;
use tokio::sync::watch::channel;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tower::util::MapResponseLayer;

use crate::v1::DESCRIPTORS;
use crate::v1::syva_core_server::{SERVICE_NAME, SyvaCoreServer};
use service::Service;

/// How long requests in hand may take once serving is to end: a client that stalls must not keep it.
const GRACE: Duration = Duration::from_secs(5);

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport's.
    #[error("cannot serve gRPC on the socket: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors do not read back.
    #[error("cannot serve reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves until `stop` ends. Followed streams end then, requests in hand are finished within [`GRACE`].
///
/// # Errors
/// [`ServeError`].
pub async fn serve(
    engine: Arc<Engine>,
    listener: UnixListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let mut board = engine.health();
    let follow_health = async move {
        loop {
            let status = match board.borrow_and_update().grade() {
                Grade::Unsafe => ServingStatus::NotServing,
                Grade::Healthy | Grade::Degraded => ServingStatus::Serving,
            };
            // The empty name is the server as a whole, and what most probes ask for.
            for service in ["", SERVICE_NAME] {
                reporter.set_service_status(service, status).await;
            }
            if board.changed().await.is_err() {
                return;
            }
        }
    };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (stopping, stopped) = channel(false);
    let stop = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let mut stalled = stopped.clone();
    let give_up = async move {
        // An error: the sender is gone, and with it the server.
        let _ = stalled.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(GRACE).await;
    };
    let server = Server::builder()
        .layer(MapResponseLayer::new(trailers::append))
        .add_service(SyvaCoreServer::new(Service::new(engine, stopped)))
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop);
    tokio::select! {
        outcome = server => Ok(outcome?),
        () = follow_health => Ok(()),
        () = give_up => {
            tracing::warn!("clients that stall are left behind after {GRACE:?}");
            Ok(())
        }
    }
}
