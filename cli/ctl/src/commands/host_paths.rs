//! `host-paths register|list`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use syva_rpc::v1::{ListHostPathsRequest, RegisterHostPathRequest};

use super::{Session, utf8};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, table};

/// What to do with claimed paths.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Claim a path of the host for a zone
    Register(Register),
    /// List the claimed paths
    List(List),
}

/// `host-paths register`.
#[derive(Debug, Args)]
pub struct Register {
    /// The zone it shall belong to
    zone: String,
    /// The path: absolute; symbolic links in it are followed now and never again
    path: PathBuf,
    /// Everything below it too, files made later included
    #[arg(long)]
    recursive: bool,
}

/// `host-paths list`.
#[derive(Debug, Args)]
pub struct List {
    /// Only this zone's
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "",
        hide_default_value = true
    )]
    zone: String,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Register(_) => Operation::write("host-paths.register"),
            Verb::List(_) => Operation::read("host-paths.list"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::Register(register) => register.run(session).await,
            Verb::List(list) => list.run(session).await,
        }
    }
}

impl Register {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let (zone, path) = (self.zone, utf8(self.path)?);
        let request = RegisterHostPathRequest {
            zone_name: zone.clone(),
            path: path.clone(),
            recursive: self.recursive,
        };
        let reply = session.client().await?.register_host_path(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        let reach = if self.recursive {
            " and all below it"
        } else {
            ""
        };
        session.out.done(
            json!({
                "zone": zone,
                "path": path,
                "recursive": self.recursive,
                "inodes_registered": reply.inodes_registered,
            }),
            format!("{path}{reach} belongs to zone {zone}"),
            Remarks::new(reply.notes, &metadata),
        )
    }
}

impl List {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let request = ListHostPathsRequest {
            zone_name: self.zone,
        };
        let reply = session.client().await?.list_host_paths(request).await?;
        let paths = reply.into_inner().paths;
        let data: Vec<_> = paths
            .iter()
            .map(|claim| {
                json!({
                    "zone": claim.zone,
                    "path": claim.path,
                    "recursive": claim.recursive,
                    "inode": claim.inode,
                    "state": claim.state,
                    "seq": claim.seq,
                })
            })
            .collect();
        session.out.answer(json!({ "paths": data }), || {
            let rows = paths.iter().map(|claim| {
                [
                    claim.zone.clone(),
                    claim.path.clone(),
                    if claim.recursive { "subtree" } else { "exact" }.into(),
                    claim.inode.to_string(),
                    claim.state.clone(),
                    claim.seq.to_string(),
                ]
            });
            table(
                ["ZONE", "PATH", "SCOPE", "INODE", "STATE", "ENTRY"],
                rows.collect(),
                "no claimed paths",
            )
        })
    }
}
