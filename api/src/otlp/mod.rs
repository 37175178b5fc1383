//! OpenTelemetry export: denials as log records, the figures as metrics, commands as traces.

pub mod accounts;

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Denials.
    Logs,
    /// Figures.
    Metrics,
    /// Commands.
    Traces,
}

impl Signal {
    /// As OpenTelemetry spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
            Signal::Traces => "traces",
        }
    }
}
