//! Admission of zones, policies and pairs.

use std::collections::BTreeSet;

use super::{Admission, Case, Refusal, RefusalKind, conflict, invalid};
use crate::command::{ClaimFacts, Policy, SocketFacts};
use crate::fold::Reply;
use crate::image::{Mode, ObjectKey, Pair, ZoneId};
use crate::name::{Party, ZoneName};
use crate::state::{Comm, Zone};

impl Case<'_> {
    pub(super) fn register_zone(
        &self,
        name: &ZoneName,
        policy: Option<&Policy>,
        claims: &[ClaimFacts],
        host_sockets: &[SocketFacts],
    ) -> Result<Admission, Refusal> {
        let known = self.state.zones.get(name);
        if known.is_none() {
            self.room_for_a_zone(name)?;
        }
        let id = known.map(|zone| zone.id);
        self.claims_allowed(name, id, claims)?;
        self.sockets_allowed(name, id, claims, host_sockets)?;
        if let Some(policy) = policy {
            self.policy_allowed(name, policy)?;
        }
        let settled = |zone: &&Zone| {
            let same = |policy| {
                self.same_policy(zone, policy, claims)
                    && self.same_policy_sockets(zone.id, host_sockets)
            };
            !zone.draining && policy.is_none_or(same)
        };
        Ok(match known.filter(settled) {
            None => Admission::Append,
            Some(zone) => Admission::Unchanged(Reply {
                zone: Some(zone.id),
                not_enforced: zone.policy.not_enforced(),
                ..Reply::said(format!("zone {name} is so already"))
            }),
        })
    }

    pub(super) fn room_for_a_zone(&self, name: &ZoneName) -> Result<(), Refusal> {
        let max = self.node.capacity.zones;
        let full = self.state.zones.len() >= max as usize;
        if full || self.state.next_zone >= ZoneId::FIRST_RESERVED {
            let why = if full {
                "the node holds no more"
            } else {
                "zone ids are used up"
            };
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!("cannot create zone {name}: {why} (max_zones {max}); remove a zone first"),
            ));
        }
        Ok(())
    }

    pub(super) fn policy_allowed(&self, name: &ZoneName, policy: &Policy) -> Result<(), Refusal> {
        if policy.allowed_zones.contains(&Party::Zone(name.clone())) {
            return invalid(format!(
                "zone {name} lists itself in allowed_zones: leave it out"
            ));
        }
        if let Some(bad) = policy
            .allowed_egress_cidrs
            .iter()
            .find(|cidr| !is_cidr(cidr))
        {
            return invalid(format!(
                "{bad:?} in allowed_egress_cidrs is not ADDRESS/PREFIX"
            ));
        }
        self.room_for_pairs(policy.allowed_zones.len())
    }

    pub(super) fn room_for_pairs(&self, more: usize) -> Result<(), Refusal> {
        let max = self.node.capacity.pairs as usize;
        let open = self.state.open_pairs().len();
        if open + more > max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!("{open} of {max} allowed pairs are open, {more} more may not fit"),
            ));
        }
        Ok(())
    }

    pub(super) fn same_policy(&self, zone: &Zone, policy: &Policy, claims: &[ClaimFacts]) -> bool {
        // Several of its paths may lead to one object, which is followed at one of them.
        let asked: BTreeSet<ObjectKey> = claims.iter().map(|facts| facts.object).collect();
        let paths: BTreeSet<&str> = claims.iter().map(|facts| facts.path.as_str()).collect();
        let all_held = claims.iter().all(|facts| {
            self.state.claims.get(&facts.object).is_some_and(|held| {
                held.zone == zone.id
                    && held.by_policy == Some(facts.scope)
                    && held.generation == facts.generation
                    && paths.contains(held.path.as_str())
            })
        });
        let mut of_policy = self
            .state
            .claims_in(zone.id)
            .filter(|(_, c)| c.by_policy.is_some());
        let no_more = of_policy.all(|(key, _)| asked.contains(key));
        let none_lost = !self
            .state
            .lost
            .values()
            .any(|c| c.zone == zone.id && c.by_policy.is_some());
        let denied_again = policy.allowed_zones.iter().any(|party| {
            let other = self.state.party_id(party);
            other.is_some_and(|other| {
                let pair = Pair::new(zone.id, other);
                self.state.comms.get(&pair) == Some(&Comm::Denied)
            })
        });
        zone.policy == *policy && all_held && no_more && none_lost && !denied_again
    }

    pub(super) fn remove_zone(&self, name: &ZoneName, drain: bool) -> Result<Admission, Refusal> {
        let zone = self.zone(name)?;
        let members = self.state.members_in(zone.id);
        if members > 0 && !drain {
            return conflict(format!(
                "zone {name} has {members} members: detach them first, or remove it with drain"
            ));
        }
        if members > 0 && zone.draining {
            let said = format!("zone {name} is draining already, {members} members are left");
            return Ok(Admission::Unchanged(Reply::said(said)));
        }
        Ok(Admission::Append)
    }

    pub(super) fn set_zone_mode(
        &self,
        name: &ZoneName,
        mode: Option<Mode>,
    ) -> Result<Admission, Refusal> {
        Ok(if self.zone(name)?.mode == mode {
            Admission::Unchanged(Reply::said(self.state.said_of_mode(name, mode)))
        } else {
            Admission::Append
        })
    }

    pub(super) fn pair(&self, a: &Party, b: &Party, comm: Comm) -> Result<Admission, Refusal> {
        let (first, second) = (self.party(a)?, self.party(b)?);
        if first == second {
            return Ok(Admission::Unchanged(Reply::said(format!(
                "{a} may always reach itself"
            ))));
        }
        let pair = Pair::new(first, second);
        if self.state.comms.get(&pair) == Some(&comm) {
            return Ok(Admission::Unchanged(Reply::said(format!(
                "{a} and {b}: so already"
            ))));
        }
        if comm == Comm::Allowed {
            self.room_for_pairs(1)?;
        }
        Ok(Admission::Append)
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let (Ok(address), Ok(prefix)) = (address.parse::<std::net::IpAddr>(), prefix.parse::<u8>())
    else {
        return false;
    };
    prefix <= if address.is_ipv4() { 32 } else { 128 }
}
