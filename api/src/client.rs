//! The client: a gRPC channel over the daemon's Unix socket.

use std::path::{Path, PathBuf};

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::v1::syva_core_client::SyvaCoreClient;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/syva/syva-core.sock";

/// The request metadata key in which a client names itself; the journal records it.
pub const ADAPTER_KEY: &str = "syva-adapter";

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket's path cannot be an address.
    #[error("cannot use {path:?} as the daemon's socket: {source}")]
    Address {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// Nobody answers there.
    #[error(
        "cannot reach the daemon at {path:?}: {said} (is syva-core running, and may you use its socket?)"
    )]
    Unreachable {
        /// The path.
        path: PathBuf,
        /// What the system said, the innermost cause.
        said: String,
    },
}

/// Stamps every request with the client's name.
#[derive(Clone, Debug)]
pub struct NamedAs(AsciiMetadataValue);

impl Interceptor for NamedAs {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(ADAPTER_KEY, self.0.clone());
        Ok(request)
    }
}

/// A connected client.
pub type Client = SyvaCoreClient<InterceptedService<Channel, NamedAs>>;

/// Connects to the daemon at `socket`, calling itself `adapter`.
///
/// # Errors
/// [`ConnectError`] if nothing answers there.
pub async fn connect(socket: &Path, adapter: &'static str) -> Result<Client, ConnectError> {
    let endpoint = Endpoint::try_from(format!("unix:{}", socket.display())).map_err(|source| {
        ConnectError::Address {
            path: socket.to_owned(),
            source,
        }
    })?;
    let channel = endpoint
        .connect()
        .await
        .map_err(|error| ConnectError::Unreachable {
            path: socket.to_owned(),
            said: innermost(&error),
        })?;
    Ok(SyvaCoreClient::with_interceptor(
        channel,
        NamedAs(AsciiMetadataValue::from_static(adapter)),
    ))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
