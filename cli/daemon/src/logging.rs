//! Logs: `RUST_LOG` says which, `--log-format` how. Spans go to the OTLP export beside it, if there is
//! one, whatever `RUST_LOG` says.

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use syva_rpc::otlp::Otlp;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::args::LogFormat;
use crate::journald::Stderr;

/// How many lines may wait for whoever takes them; what comes after is dropped.
const WAITING: usize = 10_000;

/// Installs the subscriber. A malformed `RUST_LOG` falls back to `info`, and says so. Lines are written
/// by a thread of their own: a journald that hangs must not hold up enforcement or commands. It ends,
/// with its last lines written, when what this returns is dropped.
pub fn init(format: LogFormat, otlp: Option<&Otlp>) -> WorkerGuard {
    let chosen = EnvFilter::try_from_default_env();
    let problem = match &chosen {
        Err(error) if std::env::var_os("RUST_LOG").is_some() => Some(error.to_string()),
        _ => None,
    };
    let filter = chosen.unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(Stderr::new());
    let lines = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let spans = otlp.and_then(Otlp::layer::<_>);
    Registry::default().with(lines).with(spans).init();
    if let Some(problem) = problem {
        tracing::warn!("RUST_LOG is not understood, logging at info: {problem}");
    }
    guard
}
