//! What the daemon tells of itself, beside its log: over HTTP, and to an OpenTelemetry collector.

use std::sync::Arc;

use anyhow::Result;
use syva_actors::Engine;
use syva_rpc::figures::{Build, Source};
use syva_rpc::http;
use syva_rpc::otlp::Otlp;
use syva_rpc::otlp::settings::Settings;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::Args;

/// This build.
const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    git_sha: env!("SYVA_GIT_SHA"),
};

/// Sets up the export over OTLP, if an endpoint is set. Within tokio's runtime.
///
/// # Errors
/// What is set and cannot be used.
pub fn otlp(args: &Args) -> Result<Option<Otlp>> {
    let settings = Settings::read(args.otlp_endpoint.clone(), |name| std::env::var(name).ok())?;
    Ok(Otlp::new(settings, BUILD)?)
}

/// Takes the address for HTTP, unless that is off.
///
/// # Errors
/// It cannot be had.
pub async fn bind(args: &Args) -> Result<Option<TcpListener>> {
    Ok(match args.http_addr.0 {
        None => None,
        Some(addr) => Some(http::bind(addr).await?),
    })
}

/// What runs.
pub struct Telemetry {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// Starts it.
pub fn start(engine: &Arc<Engine>, http: Option<TcpListener>, otlp: Option<Otlp>) -> Telemetry {
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    let accounts = otlp.as_ref().map(Otlp::accounts);
    let source = Arc::new(Source::new(Arc::clone(engine), BUILD, accounts));
    if let Some(listener) = http {
        running.spawn(serve(Arc::clone(&source), listener, stopped.clone()));
    }
    if let Some(otlp) = otlp {
        running.spawn(otlp.run(Arc::clone(engine), source, stopped));
    }
    Telemetry { stop, running }
}

async fn serve(source: Arc<Source>, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    if let Ok(addr) = listener.local_addr() {
        tracing::info!(%addr, "serving /healthz and /metrics");
    }
    let stop = async move {
        // An error: nobody is left to stop it, which is the same.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = http::serve(source, listener, stop).await {
        tracing::error!(%error, "serving HTTP ended");
    }
}

impl Telemetry {
    /// Ends it.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let patience = std::time::Duration::from_secs(5);
        let ended = tokio::time::timeout(patience, async {
            while self.running.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!("connections that stall are left behind after {patience:?}");
        }
        self.running.shutdown().await;
    }
}
