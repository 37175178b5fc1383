//! `comms list|allow|deny`.

use clap::{Args, Subcommand};
use serde_json::json;
use syva_rpc::v1::{AllowCommRequest, DenyCommRequest, ListCommsRequest};

use super::{Session, refused_unless};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, table};

/// What to do with pairs of zones.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the open pairs
    List(List),
    /// Open a pair, both directions at once
    Allow(Pair),
    /// Close a pair, both directions at once, until either side allows it again
    Deny(Pair),
}

/// `comms list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only this zone's
    #[arg(default_value = "", hide_default_value = true)]
    zone: String,
}

/// `comms allow` and `comms deny`.
#[derive(Debug, Args)]
pub struct Pair {
    /// A zone, or `host`
    a: String,
    /// The other
    b: String,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::List(_) => Operation::read("comms.list"),
            Verb::Allow(_) => Operation::write("comms.allow"),
            Verb::Deny(_) => Operation::write("comms.deny"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::List(list) => list.run(session).await,
            Verb::Allow(pair) => pair.allow(session).await,
            Verb::Deny(pair) => pair.deny(session).await,
        }
    }
}

impl List {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = ListCommsRequest {
            zone_name: self.zone,
        };
        let reply = session.client().await?.list_comms(request).await?;
        let pairs = reply.into_inner().pairs;
        let data: Vec<_> = pairs
            .iter()
            .map(|pair| json!({ "zone_a": pair.zone_a, "zone_b": pair.zone_b }))
            .collect();
        session.out.answer(json!({ "pairs": data }), || {
            let rows = pairs
                .iter()
                .map(|pair| [pair.zone_a.clone(), pair.zone_b.clone()]);
            table(["ZONE", "ZONE"], rows.collect(), "no open pairs")
        })
    }
}

impl Pair {
    async fn allow(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = AllowCommRequest {
            zone_a: self.a.clone(),
            zone_b: self.b.clone(),
        };
        let reply = session.client().await?.allow_comm(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, "")?;
        self.done(
            session,
            "may communicate",
            Remarks::new(Vec::new(), &metadata),
        )
    }

    async fn deny(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = DenyCommRequest {
            zone_a: self.a.clone(),
            zone_b: self.b.clone(),
        };
        let reply = session.client().await?.deny_comm(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, "")?;
        self.done(
            session,
            "may not communicate",
            Remarks::new(Vec::new(), &metadata),
        )
    }

    fn done(self, session: &Session<'_>, what: &str, remarks: Remarks) -> Result<(), Failure> {
        session.out.done(
            json!({ "zone_a": self.a, "zone_b": self.b }),
            format!("{} and {} {what}", self.a, self.b),
            remarks,
        )
    }
}
