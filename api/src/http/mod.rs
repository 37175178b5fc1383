//! Health and metrics over HTTP: `/healthz` and `/metrics`. Nothing can be changed here, and nothing
//! but figures can be read; it listens on the loopback address unless told otherwise.

mod healthz;
mod metrics;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::figures::Source;

/// Where it listens unless told otherwise: the port that OpenTelemetry gives Prometheus exporters.
pub const DEFAULT_ADDR: &str = "127.0.0.1:9464";

/// Why there is nothing to serve on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for /healthz and /metrics: {source}; {}", remedy(.source))]
pub struct BindError {
    /// Where it was tried.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            "something else listens there: choose another --http-addr, or --http-addr off"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this node has no such address: choose another --http-addr, or --http-addr off"
        }
        _ => "choose another --http-addr, or --http-addr off",
    }
}

/// Takes the address.
///
/// # Errors
/// [`BindError`], which says what to do.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind(addr).await;
    bound.map_err(|source| BindError { addr, source })
}

/// Serves until `stop` ends.
///
/// # Errors
/// The listener's.
pub async fn serve(
    source: Arc<Source>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(source))
        .with_graceful_shutdown(stop)
        .await
}

fn router(source: Arc<Source>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(figures))
        .with_state(source)
}

async fn health(State(source): State<Arc<Source>>) -> Response {
    let (status, body) = healthz::answer(&*source.figures().await);
    (status, axum::Json(body)).into_response()
}

async fn figures(State(source): State<Arc<Source>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or("");
    let format = metrics::Format::wanted(accept);
    match metrics::text(&source.figures().await.samples(), format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
