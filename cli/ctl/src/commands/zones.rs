//! `zones list|register|remove`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use syva_rpc::v1::{
    ListZonesRequest, NetworkMode, RegisterZoneRequest, RemoveZoneRequest, ZonePolicy, ZoneSummary,
    ZoneType,
};

use super::{Session, refused_unless, said, utf8};
use crate::exit::Failure;
use crate::output::{Operation, Remarks, list, or_dash, table};

/// What to do with zones.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the zones and their policies
    List,
    /// Create a zone, replace its policy, or revive a draining one
    Register(Register),
    /// Remove a zone with its pairs and its claims
    Remove(Remove),
}

/// `zones register`.
#[derive(Debug, Args)]
pub struct Register {
    /// The zone's name
    name: String,
    #[command(flatten)]
    policy: PolicyFlags,
}

/// The policy. Without any of these the zone keeps the policy it has (a new zone gets the
/// defaults); with any of them, they are the whole new policy.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy (any of these replaces the zone's whole policy)")]
struct PolicyFlags {
    /// What the zone is as a caller: privileged is unrestricted
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    zone_type: Option<TypeArg>,
    /// The network mode: locked is loopback only, open is bridged, host is the host's own
    #[arg(long, value_enum, value_name = "MODE")]
    network: Option<NetworkArg>,
    /// A path of the host that belongs to the zone; may be repeated
    #[arg(long = "host-path", value_name = "PATH")]
    host_paths: Vec<PathBuf>,
    /// A socket of the host that it may use: a path, or an abstract name as @NAME; may be repeated
    #[arg(long = "host-socket", value_name = "PATH")]
    host_sockets: Vec<PathBuf>,
    /// A zone (or `host`) it would talk to; may be repeated
    #[arg(long = "allow-zone", value_name = "ZONE")]
    allowed_zones: Vec<String>,
    /// Let tasks of the zone attach to each other with ptrace
    #[arg(long)]
    allow_ptrace: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TypeArg {
    Standard,
    Privileged,
    Isolated,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NetworkArg {
    Locked,
    Open,
    Host,
}

/// `zones remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// The zone's name
    name: String,
    /// Let its members end first: the zone goes when the last one is gone
    #[arg(long)]
    drain: bool,
}

impl PolicyFlags {
    fn policy(self) -> Result<Option<ZonePolicy>, Failure> {
        let given = self.zone_type.is_some()
            || self.network.is_some()
            || !self.host_paths.is_empty()
            || !self.host_sockets.is_empty()
            || !self.allowed_zones.is_empty()
            || self.allow_ptrace;
        if !given {
            return Ok(None);
        }
        let zone_type = match self.zone_type.unwrap_or(TypeArg::Standard) {
            TypeArg::Standard => ZoneType::Standard,
            TypeArg::Privileged => ZoneType::Privileged,
            TypeArg::Isolated => ZoneType::Isolated,
        };
        let network_mode = match self.network.unwrap_or(NetworkArg::Locked) {
            NetworkArg::Locked => NetworkMode::Isolated,
            NetworkArg::Open => NetworkMode::Bridged,
            NetworkArg::Host => NetworkMode::Host,
        };
        Ok(Some(ZonePolicy {
            host_paths: self
                .host_paths
                .into_iter()
                .map(utf8)
                .collect::<Result<_, _>>()?,
            allowed_zones: self.allowed_zones,
            allow_ptrace: self.allow_ptrace,
            zone_type: zone_type.into(),
            network_mode: network_mode.into(),
            allowed_egress_cidrs: Vec::new(),
            host_sockets: self
                .host_sockets
                .into_iter()
                .map(utf8)
                .collect::<Result<_, _>>()?,
        }))
    }
}

impl Verb {
    /// The verb, as JSON output names it.
    pub const fn operation(&self) -> Operation {
        match self {
            Verb::List => Operation::read("zones.list"),
            Verb::Register(_) => Operation::write("zones.register"),
            Verb::Remove(_) => Operation::write("zones.remove"),
        }
    }

    /// Asks, and prints the answer.
    ///
    /// # Errors
    /// [`Failure`] of any kind.
    pub async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Verb::List => list_zones(session).await,
            Verb::Register(register) => register.run(session).await,
            Verb::Remove(remove) => remove.run(session).await,
        }
    }
}

impl Register {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let zone = self.name;
        let request = RegisterZoneRequest {
            zone_name: zone.clone(),
            policy: self.policy.policy()?,
        };
        let reply = session.client().await?.register_zone(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        session.out.done(
            json!({ "zone": zone, "zone_id": reply.zone_id }),
            format!("zone {zone} registered, id {}", reply.zone_id),
            Remarks::new(reply.notes, &metadata),
        )
    }
}

impl Remove {
    async fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let zone = self.name;
        let request = RemoveZoneRequest {
            zone_name: zone.clone(),
            drain: self.drain,
        };
        let reply = session.client().await?.remove_zone(request).await?;
        let (metadata, reply, _) = reply.into_parts();
        refused_unless(reply.ok, &reply.message)?;
        session.out.done(
            json!({ "zone": zone, "message": reply.message }),
            said(&reply.message, || format!("zone {zone} removed")),
            Remarks::new(Vec::new(), &metadata),
        )
    }
}

async fn list_zones(session: &Session<'_>) -> Result<(), Failure> {
    let reply = session
        .client()
        .await?
        .list_zones(ListZonesRequest {})
        .await?;
    let zones = reply.into_inner().zones;
    for zone in &zones {
        for what in &zone.not_enforced {
            session
                .out
                .note(&format!("zone {}: not enforced: {what}", zone.name));
        }
    }
    let data = json!({ "zones": zones.iter().map(zone_json).collect::<Vec<_>>() });
    session.out.answer(data, || {
        table(
            [
                "ZONE",
                "ID",
                "STATE",
                "CONTAINERS",
                "MODE",
                "TYPE",
                "NETWORK",
                "PTRACE",
                "ALLOWS",
                "HOST PATHS",
                "HOST SOCKETS",
            ],
            zones.iter().map(zone_row).collect(),
            "no zones",
        )
    })
}

fn zone_row(zone: &ZoneSummary) -> [String; 11] {
    let policy = zone.policy.clone().unwrap_or_default();
    [
        zone.name.clone(),
        zone.zone_id.to_string(),
        zone.state.clone(),
        zone.containers_active.to_string(),
        mode(zone),
        type_name(policy.zone_type()).into(),
        network_name(policy.network_mode()).into(),
        if policy.allow_ptrace { "yes" } else { "no" }.into(),
        list(&policy.allowed_zones),
        list(&policy.host_paths),
        list(&policy.host_sockets),
    ]
}

/// A mode of its own is marked: it stays when the node's changes.
fn mode(zone: &ZoneSummary) -> String {
    let own = if zone.own_mode { " (own)" } else { "" };
    format!("{}{own}", or_dash(&zone.mode))
}

fn zone_json(zone: &ZoneSummary) -> Value {
    json!({
        "name": zone.name,
        "zone_id": zone.zone_id,
        "state": zone.state,
        "containers_active": zone.containers_active,
        "mode": zone.mode,
        "own_mode": zone.own_mode,
        "policy": zone.policy.as_ref().map(policy_json),
        "not_enforced": zone.not_enforced,
    })
}

fn policy_json(policy: &ZonePolicy) -> Value {
    json!({
        "host_paths": policy.host_paths,
        "allowed_zones": policy.allowed_zones,
        "allow_ptrace": policy.allow_ptrace,
        "type": type_name(policy.zone_type()),
        "network": network_name(policy.network_mode()),
        "allowed_egress_cidrs": policy.allowed_egress_cidrs,
        "host_sockets": policy.host_sockets,
    })
}

/// As `--type` spells it.
const fn type_name(zone_type: ZoneType) -> &'static str {
    match zone_type {
        ZoneType::Standard => "standard",
        ZoneType::Privileged => "privileged",
        ZoneType::Isolated => "isolated",
    }
}

/// As `--network` spells it.
const fn network_name(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Isolated => "locked",
        NetworkMode::Bridged => "open",
        NetworkMode::Host => "host",
    }
}
