//! The trace of a command: its first span, from the RPC to the answer.

use syva_actors::{CommandError, Done};
use syva_model::entry::Peer;
use tracing::Span;

use crate::v1::syva_core_server::SERVICE_NAME;

/// The span of a command that came as the message `T`.
pub fn command<T>(peer: &Peer) -> Span {
    let method = format!("{SERVICE_NAME}/{}", rpc_of::<T>());
    tracing::debug_span!(
        "command",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = method,
        syva.peer.uid = peer.uid,
        syva.peer.pid = peer.pid,
        syva.peer.adapter = peer.adapter,
        syva.seq = tracing::field::Empty,
        otel.status_code = tracing::field::Empty,
        otel.status_description = tracing::field::Empty,
    )
}

/// What became of it.
pub fn answered(span: &Span, outcome: &Result<Done, CommandError>) {
    match outcome {
        Ok(done) => {
            span.record("syva.seq", done.seq);
        }
        Err(error) => {
            span.record("otel.status_code", "ERROR");
            span.record("otel.status_description", error.to_string());
        }
    }
}

/// The RPC a message asks for: its type's name without `Request`.
fn rpc_of<T>() -> &'static str {
    let name = std::any::type_name::<T>();
    let name = name.rsplit("::").next().unwrap_or(name);
    name.strip_suffix("Request").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_rpc() {
        let name = rpc_of::<crate::v1::RegisterZoneRequest>();
        assert_eq!(name, "RegisterZone");
    }
}
