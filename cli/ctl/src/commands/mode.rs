//! `mode enforce|audit|inherit`.

use clap::{Args, Subcommand};
use serde_json::json;
use syva_rpc::v1::{Mode, SetModeRequest};

use super::{Session, said};
use crate::exit::Failure;
use crate::output::{Operation, Remarks};

/// What becomes of operations across zones.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Refuse them
    Enforce(Whose),
    /// Allow and report them, as would_deny
    Audit(Whose),
    /// Have a zone follow the node's mode again
    Inherit(OfOneZone),
}

/// `mode enforce` and `mode audit`.
#[derive(Debug, Args)]
pub struct Whose {
    /// Only what this zone does; without it the node, and every zone that has no mode of its own
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
}

/// `mode inherit`.
#[derive(Debug, Args)]
pub struct OfOneZone {
    /// The zone
    #[arg(long, value_name = "ZONE")]
    zone: String,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Enforce(_) => Operation::write("mode.enforce"),
            Verb::Audit(_) => Operation::write("mode.audit"),
            Verb::Inherit(_) => Operation::write("mode.inherit"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let (zone, mode, name) = match self {
            Verb::Enforce(whose) => (whose.zone, Mode::Enforce, "enforce"),
            Verb::Audit(whose) => (whose.zone, Mode::Audit, "audit"),
            Verb::Inherit(of) => (Some(of.zone), Mode::Inherit, "inherit"),
        };
        let request = SetModeRequest {
            zone_name: zone.clone().unwrap_or_default(),
            mode: mode.into(),
        };
        let reply = session.client().await?.set_mode(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        session.out.done(
            json!({ "zone": zone, "mode": name, "message": reply.message }),
            said(&reply.message, || format!("mode is {name}")),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}
