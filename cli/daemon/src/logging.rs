//! Logs: `RUST_LOG` says which, `--log-format` how.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// Installs the subscriber. A malformed `RUST_LOG` falls back to `info`, and says so.
pub fn init(format: LogFormat) {
    let chosen = EnvFilter::try_from_default_env();
    let problem = match &chosen {
        Err(error) if std::env::var_os("RUST_LOG").is_some() => Some(error.to_string()),
        _ => None,
    };
    let filter = chosen.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(problem) = problem {
        tracing::warn!("RUST_LOG is not understood, logging at info: {problem}");
    }
}
