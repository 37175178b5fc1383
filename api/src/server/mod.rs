//! The services: `syva.core.v1` over a Unix socket, with gRPC health and reflection beside it.

mod convert;
mod journal;
mod refuse;
mod service;
pub mod socket;
mod status;
mod trace;
mod trailers;
pub(crate) mod watch;

use std::future::Future;
use std::sync::Arc;

use syva_actors::Engine;
use syva_actors::health::Grade;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tower::util::MapResponseLayer;

use crate::v1::DESCRIPTORS;
use crate::v1::syva_core_server::SyvaCoreServer;
use service::Service;

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

/// Serves until `stop` ends; requests in hand are finished.
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
            let serving = board.borrow_and_update().grade() != Grade::Unsafe;
            if serving {
                reporter.set_serving::<SyvaCoreServer<Service>>().await;
            } else {
                reporter.set_not_serving::<SyvaCoreServer<Service>>().await;
            }
            if board.changed().await.is_err() {
                return;
            }
        }
    };
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()?;
    let server = Server::builder()
        .layer(MapResponseLayer::new(trailers::append))
        .add_service(SyvaCoreServer::new(Service::new(engine)))
        .add_service(health)
        .add_service(reflection)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop);
    tokio::select! {
        outcome = server => Ok(outcome?),
        () = follow_health => Ok(()),
    }
}
