//! Who waits for what becomes of a command.

use ractor::RpcReplyPort;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Span;

use crate::address::answer;
use crate::outcome::{CommandError, Done};

/// Whom to answer. The daemon's own commands have nobody waiting.
pub(super) struct Ticket {
    pub reply: Option<RpcReplyPort<Result<Done, CommandError>>>,
    pub span: Span,
    pub _permit: Option<OwnedSemaphorePermit>,
}

impl Ticket {
    /// Of a command of the daemon's own.
    pub(super) fn own() -> Ticket {
        Ticket {
            reply: None,
            span: Span::none(),
            _permit: None,
        }
    }

    pub(super) fn answer(self, outcome: Result<Done, CommandError>) {
        match self.reply {
            Some(reply) => answer(reply, outcome),
            None => {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "a command of the daemon's own failed");
                }
            }
        }
    }
}
