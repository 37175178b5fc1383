//! Between the protocol's messages and the model's types.

use syva_actors::Request as Ask;
use syva_actors::request::PolicyRequest;
use syva_model::command::{NetworkMode, Policy, ZoneType};
use syva_model::entry::Peer;
use syva_model::image::Mode;
use syva_model::name::Party;
use syva_model::state::{State, Zone};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

use crate::client::ADAPTER_KEY;
use crate::v1;

/// The longest name a client may give itself.
const MAX_ADAPTER: usize = 64;

/// A policy as the model has it.
///
/// # Errors
/// `InvalidArgument` if a name in it is bad or a number is none of the enum's.
pub fn policy(policy: v1::ZonePolicy) -> Result<PolicyRequest, Status> {
    let zone_type = match v1::ZoneType::try_from(policy.zone_type) {
        Ok(v1::ZoneType::Standard) => ZoneType::Standard,
        Ok(v1::ZoneType::Privileged) => ZoneType::Privileged,
        Ok(v1::ZoneType::Isolated) => ZoneType::Isolated,
        Err(error) => return Err(Status::invalid_argument(format!("zone_type: {error}"))),
    };
    let network_mode = match v1::NetworkMode::try_from(policy.network_mode) {
        Ok(v1::NetworkMode::Isolated) => NetworkMode::Isolated,
        Ok(v1::NetworkMode::Bridged) => NetworkMode::Bridged,
        Ok(v1::NetworkMode::Host) => NetworkMode::Host,
        Err(error) => return Err(Status::invalid_argument(format!("network_mode: {error}"))),
    };
    let parties = policy.allowed_zones.iter().map(|name| Party::new(name));
    let allowed_zones = parties
        .collect::<Result<_, _>>()
        .map_err(|error| Status::invalid_argument(format!("allowed_zones: {error}")))?;
    let policy_fields = Policy {
        allowed_zones,
        allow_ptrace: policy.allow_ptrace,
        zone_type,
        network_mode,
        allowed_egress_cidrs: policy.allowed_egress_cidrs,
    };
    Ok(PolicyRequest {
        policy: policy_fields,
        host_paths: policy.host_paths,
        host_sockets: policy.host_sockets,
    })
}

/// A zone's policy as the protocol has it; its host paths are its policy's claims, and its
/// host sockets those that its policy gives.
pub fn zone_policy(state: &State, zone: &Zone) -> v1::ZonePolicy {
    let of_policy = state
        .claims_in(zone.id)
        .filter(|(_, claim)| claim.by_policy.is_some());
    v1::ZonePolicy {
        host_paths: of_policy.map(|(_, claim)| claim.path.clone()).collect(),
        allowed_zones: zone
            .policy
            .allowed_zones
            .iter()
            .map(ToString::to_string)
            .collect(),
        allow_ptrace: zone.policy.allow_ptrace,
        zone_type: match zone.policy.zone_type {
            ZoneType::Standard => v1::ZoneType::Standard,
            ZoneType::Privileged => v1::ZoneType::Privileged,
            ZoneType::Isolated => v1::ZoneType::Isolated,
        }
        .into(),
        network_mode: match zone.policy.network_mode {
            NetworkMode::Isolated => v1::NetworkMode::Isolated,
            NetworkMode::Bridged => v1::NetworkMode::Bridged,
            NetworkMode::Host => v1::NetworkMode::Host,
        }
        .into(),
        allowed_egress_cidrs: zone.policy.allowed_egress_cidrs.clone(),
        host_sockets: state
            .host_sockets_in(zone.id)
            .filter(|(_, given)| given.by_policy)
            .map(|(_, given)| given.path.clone())
            .collect(),
    }
}

/// What a change of mode asks for.
///
/// # Errors
/// `InvalidArgument` without a mode, and for a node that shall follow itself.
pub fn mode(message: v1::SetModeRequest) -> Result<Ask, Status> {
    let zone = message.zone_name;
    let mode = match v1::Mode::try_from(message.mode) {
        Ok(v1::Mode::Enforce) => Some(Mode::Enforce),
        Ok(v1::Mode::Audit) => Some(Mode::Audit),
        Ok(v1::Mode::Inherit) => None,
        Ok(v1::Mode::Unspecified) => {
            return Err(Status::invalid_argument(
                "mode is not given: say MODE_ENFORCE, MODE_AUDIT or, of a zone, MODE_INHERIT",
            ));
        }
        Err(error) => return Err(Status::invalid_argument(format!("mode: {error}"))),
    };
    match (zone.is_empty(), mode) {
        (true, Some(mode)) => Ok(Ask::SetMode(mode)),
        (true, None) => Err(Status::invalid_argument(
            "MODE_INHERIT is a zone's: name the zone that shall follow the node",
        )),
        (false, mode) => Ok(Ask::SetZoneMode { zone, mode }),
    }
}

/// Who sent a request: the kernel's word for uid, gid and pid, the client's own for its name.
///
/// # Errors
/// `Unauthenticated` if the kernel does not say.
pub fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let info = request.extensions().get::<UdsConnectInfo>();
    let cred = info.and_then(|info| info.peer_cred).ok_or_else(|| {
        Status::unauthenticated("the kernel does not say who is at the other end of the socket")
    })?;
    let named = request
        .metadata()
        .get(ADAPTER_KEY)
        .and_then(|value| value.to_str().ok());
    let adapter = named
        .unwrap_or_default()
        .chars()
        .take(MAX_ADAPTER)
        .collect();
    let pid = cred
        .pid()
        .and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_default();
    Ok(Peer {
        uid: cred.uid(),
        gid: cred.gid(),
        pid,
        adapter,
    })
}
