//! `host-paths register|remove|list`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syva_rpc::v1::{
    HostPath, ListHostPathsRequest, RegisterHostPathRequest, RemoveHostPathRequest,
};

use super::{OfZone, Session, refused_unless, said, utf8};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, or_dash, table};

/// What to do with claimed paths.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Claim a path of the host for a zone
    Register(Register),
    /// Take a claim back that was registered here, not by the zone's policy
    Remove(Remove),
    /// List the claimed paths
    List(OfZone),
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

/// `host-paths remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The zone it belongs to
    zone: String,
    /// The path as `host-paths list` shows it; nothing need be there any more
    path: PathBuf,
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::Register(_) => Operation::write("host-paths.register"),
            Verb::Remove(_) => Operation::write("host-paths.remove"),
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
            Verb::Remove(remove) => remove.run(session).await,
            Verb::List(only) => list(only, session).await,
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

impl Remove {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let (zone, path) = (self.zone, utf8(self.path)?);
        let request = RemoveHostPathRequest {
            zone_name: zone.clone(),
            path: path.clone(),
        };
        let reply = session.client().await?.remove_host_path(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, &reply.message)?;
        session.out.done(
            json!({ "zone": zone, "path": path, "message": reply.message }),
            said(&reply.message, || {
                format!("{path} is not claimed by zone {zone} any more")
            }),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}

async fn list(only: OfZone, session: &Session<'_>) -> Result<(), Failure> {
    let request = ListHostPathsRequest {
        zone_name: only.zone,
    };
    let reply = session.client().await?.list_host_paths(request).await?;
    let paths = reply.into_inner().paths;
    let mut users = Users::default();
    let rows: Vec<_> = paths
        .iter()
        .map(|claim| Row::of(claim, &mut users))
        .collect();
    let data: Vec<_> = rows.iter().map(Row::json).collect();
    session.out.answer(json!({ "paths": data }), || {
        table(
            [
                "ZONE",
                "PATH",
                "SCOPE",
                "INODE",
                "STATE",
                "ASKED BY",
                "CLAIMED BY",
                "WHEN",
                "ENTRY",
            ],
            rows.iter().map(Row::text).collect(),
            "no claimed paths",
        )
    })
}

/// One claim, with the name of the user who made it.
struct Row<'a> {
    claim: &'a HostPath,
    user: Option<String>,
}

impl<'a> Row<'a> {
    fn of(claim: &'a HostPath, users: &mut Users) -> Row<'a> {
        let user = claim
            .claimed_by
            .as_ref()
            .and_then(|who| users.name(who.uid));
        Row { claim, user }
    }

    fn when(&self) -> Option<SystemTime> {
        // 0: the journal does not hold the entry any more.
        (self.claim.claimed_at_unix_ns > 0)
            .then(|| UNIX_EPOCH + Duration::from_nanos(self.claim.claimed_at_unix_ns))
    }

    fn asked_by(&self) -> &'static str {
        match (self.claim.by_policy, self.claim.by_command) {
            (true, true) => "policy, command",
            (true, false) => "policy",
            (false, _) => "command",
        }
    }

    fn text(&self) -> [String; 9] {
        let claim = self.claim;
        let who = claim.claimed_by.as_ref().map(|who| {
            let user = self
                .user
                .clone()
                .unwrap_or_else(|| format!("uid {}", who.uid));
            format!("{user} ({}, pid {})", or_dash(&who.adapter), who.pid)
        });
        let when = self
            .when()
            .map(|when| humantime::format_rfc3339_seconds(when).to_string());
        [
            claim.zone.clone(),
            claim.path.clone(),
            if claim.recursive { "subtree" } else { "exact" }.into(),
            claim.inode.to_string(),
            claim.state.clone(),
            self.asked_by().into(),
            or_dash(&who.unwrap_or_default()),
            or_dash(&when.unwrap_or_default()),
            claim.seq.to_string(),
        ]
    }

    fn json(&self) -> Value {
        let claim = self.claim;
        json!({
            "zone": claim.zone,
            "path": claim.path,
            "recursive": claim.recursive,
            "inode": claim.inode,
            "state": claim.state,
            "by_policy": claim.by_policy,
            "by_command": claim.by_command,
            "claimed_by": claim.claimed_by.as_ref().map(|who| json!({
                "user": self.user,
                "uid": who.uid,
                "gid": who.gid,
                "pid": who.pid,
                "adapter": who.adapter,
            })),
            "claimed_at": self.when().map(|when| humantime::format_rfc3339_nanos(when).to_string()),
            "claimed_at_unix_ns": claim.claimed_at_unix_ns,
            "seq": claim.seq,
        })
    }
}

/// The names of users, each looked up once: a directory service may be slow.
#[derive(Default)]
struct Users(BTreeMap<u32, Option<String>>);

impl Users {
    fn name(&mut self, uid: u32) -> Option<String> {
        let look_up = || {
            let user = nix::unistd::User::from_uid(uid.into());
            Some(user.ok()??.name)
        };
        self.0.entry(uid).or_insert_with(look_up).clone()
    }
}
