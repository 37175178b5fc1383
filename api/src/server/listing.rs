//! Listings of the state, limited to a zone if one is named.

use std::collections::BTreeMap;

use syva_model::host_socket::Grant;
use syva_model::image::{Scope, ZoneId};
use syva_model::name::Party;
use syva_model::state::{Claim, State};
use tonic::Status;

use crate::v1;

/// The ids a listing is limited to: all if no name is given.
pub fn only(state: &State, name: &str) -> Result<Option<ZoneId>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let party = Party::new(name).map_err(|error| Status::invalid_argument(error.to_string()))?;
    let id = state.party_id(&party);
    id.map(Some)
        .ok_or_else(|| Status::not_found(format!("there is no zone {name}")))
}

/// Attached containers.
pub fn containers(state: &State, name: &str) -> Result<Vec<v1::ContainerSummary>, Status> {
    let zone = only(state, name)?;
    let members = state
        .members
        .iter()
        .filter(|(_, member)| zone.is_none_or(|z| z == member.zone));
    let summaries = members.map(|(id, member)| v1::ContainerSummary {
        container_id: id.clone(),
        zone: state.zone_label(member.zone),
        cgroup_id: member.cgroup.0,
        cgroup_path: member.cgroup_path.clone(),
        source: member.source.clone(),
        generation: member.generation,
        pod_namespace: member.pod.namespace.clone(),
        pod_name: member.pod.name.clone(),
        pod_uid: member.pod.uid.clone(),
        seq: member.seq,
    });
    Ok(summaries.collect())
}

/// Claimed paths, lost ones too, in order of path.
pub fn host_paths(state: &State, name: &str) -> Result<Vec<v1::HostPath>, Status> {
    let zone = only(state, name)?;
    let entry = |claim: &Claim, inode: u64, standing: &str| v1::HostPath {
        zone: state.zone_label(claim.zone),
        path: claim.path.clone(),
        recursive: claim.scope() == Scope::Subtree,
        inode,
        state: standing.to_owned(),
        seq: claim.seq,
        by_policy: claim.by_policy.is_some(),
        by_command: claim.by_command.is_some(),
        // The journal knows; see `claimants`.
        claimed_by: None,
        claimed_at_unix_ns: 0,
    };
    let held = state
        .claims
        .iter()
        .map(|(key, claim)| (claim, key.ino, "claimed"));
    let lost = state.lost.values().map(|claim| (claim, 0, "lost"));
    let all = state.claims.values().chain(state.lost.values());
    let former = all.flat_map(|claim| {
        let former = claim.former.iter();
        former.map(move |former| (claim, former.object.ino, "former"))
    });
    let wanted = held
        .chain(lost)
        .chain(former)
        .filter(|(claim, ..)| zone.is_none_or(|z| z == claim.zone));
    let mut paths: Vec<v1::HostPath> = wanted
        .map(|(claim, inode, standing)| entry(claim, inode, standing))
        .collect();
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(paths)
}

/// Host sockets given to zones, lost ones too, in order of zone and path. One that is given both by
/// somebody and by default is listed for each.
pub fn host_sockets(state: &State, name: &str) -> Result<Vec<v1::HostSocket>, Status> {
    let only = only(state, name)?;
    let entry = |zone: ZoneId, path: &str, standing: &str, seq: u64, by_default: bool| {
        (only.is_none_or(|only| only == zone)).then(|| v1::HostSocket {
            zone: state.zone_label(zone),
            path: path.to_owned(),
            state: standing.to_owned(),
            seq,
            by_default,
        })
    };
    let held = state
        .host_sockets
        .iter()
        .filter_map(|(grant, given)| entry(grant.zone, &given.path, "held", given.seq, false));
    let lost = state
        .lost_sockets
        .iter()
        .filter_map(|lost| entry(lost.zone, &lost.given.path, "lost", lost.given.seq, false));
    // Of several units in a zone the first that was attached gave it.
    let mut of_units = BTreeMap::new();
    for member in state.members.values() {
        for facts in &member.unit_sockets {
            let (zone, socket) = (member.zone, facts.socket);
            let first = of_units
                .entry(Grant { zone, socket })
                .or_insert((&facts.path, member.seq));
            first.1 = first.1.min(member.seq);
        }
    }
    let of_units = of_units
        .iter()
        .filter_map(|(grant, (path, seq))| entry(grant.zone, path, "held", *seq, true));
    let mut sockets: Vec<v1::HostSocket> = held.chain(lost).chain(of_units).collect();
    sockets.sort_by(|a, b| (&a.zone, &a.path, a.by_default).cmp(&(&b.zone, &b.path, b.by_default)));
    Ok(sockets)
}
