//! `host-sockets allow|deny|list`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use syva_rpc::v1::{AllowHostSocketRequest, DenyHostSocketRequest, ListHostSocketsRequest};

use super::{OfZone, Session, said, utf8};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, table};

/// What to do with sockets of the host.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Let a zone use a socket of the host
    Allow(Socket),
    /// Take it away again, whoever gave it, until the zone's policy gives it anew
    Deny(Socket),
    /// List the sockets that zones may use
    List(OfZone),
}

/// `host-sockets allow` and `host-sockets deny`.
#[derive(Debug, Args)]
pub struct Socket {
    /// The zone
    zone: String,
    /// The socket's path (absolute; it need not be there yet, its directory must), or its abstract
    /// name as @NAME
    path: PathBuf,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Allow(_) => Operation::write("host-sockets.allow"),
            Verb::Deny(_) => Operation::write("host-sockets.deny"),
            Verb::List(_) => Operation::read("host-sockets.list"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::Allow(socket) => socket.allow(session).await,
            Verb::Deny(socket) => socket.deny(session).await,
            Verb::List(only) => list(only, session).await,
        }
    }
}

impl Socket {
    async fn allow(self, session: &Session<'_>) -> Result<(), Failure> {
        let (zone_name, path) = (self.zone, utf8(self.path)?);
        let request = AllowHostSocketRequest {
            zone_name: zone_name.clone(),
            path: path.clone(),
        };
        let reply = session.client().await?.allow_host_socket(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        let otherwise = || format!("zone {zone_name} may use {path}");
        session.out.done(
            json!({ "zone": zone_name, "path": path, "message": reply.message }),
            said(&reply.message, otherwise),
            Remarks::new(reply.notes, &metadata),
        )
    }

    async fn deny(self, session: &Session<'_>) -> Result<(), Failure> {
        let (zone_name, path) = (self.zone, utf8(self.path)?);
        let request = DenyHostSocketRequest {
            zone_name: zone_name.clone(),
            path: path.clone(),
        };
        let reply = session.client().await?.deny_host_socket(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        let otherwise = || format!("zone {zone_name} may not use {path}");
        session.out.done(
            json!({ "zone": zone_name, "path": path, "message": reply.message }),
            said(&reply.message, otherwise),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}

async fn list(only: OfZone, session: &Session<'_>) -> Result<(), Failure> {
    let request = ListHostSocketsRequest {
        zone_name: only.zone,
    };
    let reply = session.client().await?.list_host_sockets(request).await?;
    let sockets = reply.into_inner().sockets;
    let data: Vec<_> = sockets
        .iter()
        .map(|socket| {
            json!({
                "zone": socket.zone,
                "path": socket.path,
                "by_default": socket.by_default,
                "state": socket.state,
                "seq": socket.seq,
            })
        })
        .collect();
    session.out.answer(json!({ "sockets": data }), || {
        let rows = sockets.iter().map(|socket| {
            [
                socket.zone.clone(),
                socket.path.clone(),
                if socket.by_default {
                    "unit"
                } else {
                    "operator"
                }
                .into(),
                socket.state.clone(),
                socket.seq.to_string(),
            ]
        });
        table(
            ["ZONE", "SOCKET", "GIVEN BY", "STATE", "ENTRY"],
            rows.collect(),
            "no host sockets",
        )
    })
}
