//! Admission of host sockets: which may be given to a zone, and taken from it.

use std::collections::BTreeSet;

use super::{Admission, Case, Refusal, RefusalKind, conflict, text};
use crate::command::{ClaimFacts, SocketFacts};
use crate::fold::Reply;
use crate::host_socket::Grant;
use crate::image::ZoneId;
use crate::name::ZoneName;
use crate::state::{Given, Zone};

impl Case<'_> {
    pub(super) fn allow_host_socket(
        &self,
        name: &ZoneName,
        facts: &SocketFacts,
    ) -> Result<Admission, Refusal> {
        let zone = self.zone(name)?;
        self.sockets_allowed(name, Some(zone.id), &[], std::slice::from_ref(facts))?;
        let held = self.given(zone.id, facts);
        Ok(if held.is_some_and(|given| given.by_command) {
            let said = format!("zone {name} may use {} already", facts.path);
            Admission::Unchanged(Reply::said(said))
        } else {
            Admission::Append
        })
    }

    pub(super) fn deny_host_socket(
        &self,
        name: &ZoneName,
        asked: &str,
        path: &str,
    ) -> Result<Admission, Refusal> {
        text("path", path, 1)?;
        let zone = self.zone(name)?;
        let meant = |given: &Given| given.path == path || given.path == asked;
        let held = self.state.host_sockets_in(zone.id);
        let mut lost = self.state.lost_sockets.iter();
        if held.into_iter().any(|(_, given)| meant(given))
            || lost.any(|lost| lost.zone == zone.id && meant(&lost.given))
        {
            return Ok(Admission::Append);
        }
        if let Some(container) = self.unit_that_gives(zone.id, path) {
            return conflict(format!(
                "zone {name} may use {path} because container {container} in it is a systemd service \
                 unit: that goes with the unit (syva-cli containers detach {container})"
            ));
        }
        let said = format!("zone {name} was not given {path}");
        Ok(Admission::Unchanged(Reply::said(said)))
    }

    fn unit_that_gives(&self, zone: ZoneId, path: &str) -> Option<&String> {
        let members = self.state.members.iter();
        let mut members = members.filter(|(_, member)| member.zone == zone);
        let gives = |facts: &SocketFacts| facts.path == path || facts.asked == path;
        let found = members.find(|(_, member)| member.unit_sockets.iter().any(gives));
        found.map(|(container, _)| container)
    }

    /// Whether these may be given to the zone, which is about to claim `claims` as well.
    pub(super) fn sockets_allowed(
        &self,
        name: &ZoneName,
        id: Option<ZoneId>,
        claims: &[ClaimFacts],
        sockets: &[SocketFacts],
    ) -> Result<(), Refusal> {
        for facts in sockets {
            text("path", &facts.path, 1)?;
            let own = claims.iter().any(|claim| claim.path == facts.path);
            let owner = self.state.claim_over(&facts.path);
            if let Some(claim) = owner.filter(|claim| !own && Some(claim.zone) != id) {
                let owner = self.state.zone_label(claim.zone);
                return conflict(format!(
                    "{} cannot be given to zone {name}: it lies in {}, claimed by zone {owner}, so the \
                     socket is that zone's and not the host's; allow the pair instead (syva-cli comms \
                     allow {name} {owner})",
                    facts.path, claim.path
                ));
            }
        }
        let zone = id.unwrap_or(ZoneId::HOST);
        let new = sockets.iter().map(|facts| facts.socket);
        let new: BTreeSet<Grant> = new.map(|socket| Grant { zone, socket }).collect();
        let new = new.into_iter();
        self.room_for_sockets(
            new.filter(|g| !self.state.host_sockets.contains_key(g))
                .count(),
        )
    }

    /// Whether the sockets of a service unit fit.
    pub(super) fn unit_sockets_allowed(
        &self,
        zone: &Zone,
        sockets: &[SocketFacts],
    ) -> Result<(), Refusal> {
        let zone = zone.id;
        let new = sockets.iter().map(|facts| facts.socket);
        let new: BTreeSet<Grant> = new.map(|socket| Grant { zone, socket }).collect();
        let new = new.into_iter();
        self.room_for_sockets(new.filter(|grant| !self.state.is_unit_s(grant)).count())
    }

    fn room_for_sockets(&self, more: usize) -> Result<(), Refusal> {
        let max = self.node.capacity.host_sockets as usize;
        let held = self.state.host_socket_rows();
        if held + more > max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!("{held} of {max} host sockets are given, {more} more do not fit"),
            ));
        }
        Ok(())
    }

    /// Whether the policy gives exactly these, and none of them is lost.
    pub(super) fn same_policy_sockets(&self, zone: ZoneId, sockets: &[SocketFacts]) -> bool {
        let asked: BTreeSet<_> = sockets.iter().map(|facts| facts.socket).collect();
        let held = self.state.host_sockets_in(zone);
        let held = held.filter(|(_, given)| given.by_policy);
        let held: BTreeSet<_> = held.map(|(grant, _)| grant.socket).collect();
        let mut lost = self.state.lost_sockets.iter();
        asked == held && !lost.any(|lost| lost.zone == zone && lost.given.by_policy)
    }

    fn given(&self, zone: ZoneId, facts: &SocketFacts) -> Option<&Given> {
        let grant = Grant {
            zone,
            socket: facts.socket,
        };
        self.state.host_sockets.get(&grant)
    }
}
