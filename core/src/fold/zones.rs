//! Folding zones and pairs: what a policy opens, and what goes with a zone.

use std::collections::BTreeSet;

use super::{FoldError, Reply, Step};
use crate::command::{ClaimFacts, Policy, SocketFacts};
use crate::image::{Mode, ObjectKey, Pair, ZoneId};
use crate::name::{Party, ZoneName};
use crate::state::{Comm, Zone};

impl Step<'_> {
    pub(super) fn register_zone(
        &mut self,
        name: &ZoneName,
        policy: Option<&Policy>,
        claims: &[ClaimFacts],
        host_sockets: &[SocketFacts],
    ) -> Reply {
        let known = self.state.zones.get(name).map(|zone| zone.id);
        let id = known.unwrap_or_else(|| self.create_zone(name));
        let mut notes = Vec::new();
        if let Some(zone) = self.state.zones.get_mut(name) {
            zone.draining = false;
        }
        if let Some(policy) = policy {
            self.replace_policy(name, id, policy);
            for claim in claims {
                notes.extend(self.state.neighbours(claim, id));
            }
            self.replace_policy_claims(id, claims);
            self.replace_policy_sockets(id, host_sockets);
            for facts in host_sockets {
                notes.extend(self.state.socket_notes(id, &facts.path));
            }
        }
        // Of several sockets the same may be to be said.
        notes.dedup();
        self.touched.zones.insert(id);
        let done = if known.is_some() {
            "updated"
        } else {
            "created"
        };
        let zone = self.state.zones.get(name);
        Reply {
            zone: Some(id),
            notes,
            not_enforced: zone
                .map(|zone| zone.policy.not_enforced())
                .unwrap_or_default(),
            ..Reply::said(format!("zone {name} {done}"))
        }
    }

    pub(super) fn create_zone(&mut self, name: &ZoneName) -> ZoneId {
        let id = ZoneId(self.state.next_zone);
        self.state.next_zone += 1;
        let zone = Zone {
            id,
            policy: Policy::default(),
            mode: None,
            draining: false,
            seq: self.seq,
        };
        self.state.zones.insert(name.clone(), zone);
        self.state.index.names.insert(id, name.clone());
        // No pair opens yet, even with a zone that has listed the name all along: a new zone lists
        // nobody until its policy says so.
        id
    }

    pub(super) fn set_zone_mode(
        &mut self,
        name: &ZoneName,
        mode: Option<Mode>,
    ) -> Result<Reply, FoldError> {
        let id = self.zone_id(name)?;
        if let Some(zone) = self.state.zones.get_mut(name) {
            zone.mode = mode;
        }
        self.touched.zones.insert(id);
        Ok(Reply::said(self.state.said_of_mode(name, mode)))
    }

    pub(super) fn replace_policy(&mut self, name: &ZoneName, id: ZoneId, policy: &Policy) {
        let Some(zone) = self.state.zones.get_mut(name) else {
            return;
        };
        let before = std::mem::replace(&mut zone.policy, policy.clone());
        for party in &policy.allowed_zones {
            // Listing a zone allows the pair again, if DenyComm had closed it.
            let Some(other) = self.state.party_id(party) else {
                continue;
            };
            let pair = Pair::new(id, other);
            if self.state.comms.get(&pair) == Some(&Comm::Denied) {
                self.state.comms.remove(&pair);
            }
        }
        // Only pairs with zones that it lists, or listed, can have changed.
        let listed = before.allowed_zones.iter().chain(&policy.allowed_zones);
        let others: BTreeSet<ZoneId> = listed
            .filter_map(|party| self.state.party_id(party))
            .filter(|o| *o != id)
            .collect();
        for other in others {
            self.refresh_pair(Pair::new(id, other));
        }
    }

    pub(super) fn remove_zone(&mut self, name: &ZoneName, drain: bool) -> Result<Reply, FoldError> {
        let id = self.zone_id(name)?;
        let members = self.state.members_in(id);
        if drain && members > 0 {
            if let Some(zone) = self.state.zones.get_mut(name) {
                zone.draining = true;
            }
            self.touched.zones.insert(id);
            return Ok(Reply::said(format!(
                "zone {name} goes when its {members} members go"
            )));
        }
        self.drop_zone(id);
        Ok(Reply::said(format!("zone {name} removed")))
    }

    pub(super) fn drop_zone(&mut self, id: ZoneId) {
        let keys: Vec<ObjectKey> = self.state.claims_in(id).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove_claim(key);
        }
        for path in self.lost_of(id, |_| true) {
            self.remove_lost(&path);
        }
        self.take_all_sockets(id);
        self.state.comms.retain(|pair, _| !pair.contains(id));
        let open = self
            .state
            .index
            .open
            .iter()
            .filter(|pair| pair.contains(id));
        let pairs: Vec<Pair> = open.copied().collect();
        for pair in pairs {
            self.state.index.open.remove(&pair);
            self.touched.pairs.insert(pair);
        }
        if let Some(name) = self.state.index.names.remove(&id) {
            self.state.zones.remove(&name);
        }
        self.state.index.members_of.remove(&id);
        self.state.index.claims_of.remove(&id);
        self.touched.zones.insert(id);
    }

    pub(super) fn finish_draining(&mut self, zone: ZoneId) {
        let draining = self
            .state
            .zone_by_id(zone)
            .is_some_and(|zone| zone.draining);
        if draining && self.state.members_in(zone) == 0 {
            self.drop_zone(zone);
        }
    }

    pub(super) fn say_of_pair(
        &mut self,
        a: &Party,
        b: &Party,
        comm: Comm,
    ) -> Result<Reply, FoldError> {
        let pair = Pair::new(self.party(a)?, self.party(b)?);
        self.state.comms.insert(pair, comm);
        self.refresh_pair(pair);
        let done = match comm {
            Comm::Allowed => "allowed",
            Comm::Denied => "denied",
        };
        Ok(Reply::said(format!("{a} and {b}: {done}")))
    }

    pub(super) fn refresh_pair(&mut self, pair: Pair) {
        let changed = if self.state.pair_is_open(pair) {
            self.state.index.open.insert(pair)
        } else {
            self.state.index.open.remove(&pair)
        };
        if changed {
            self.touched.pairs.insert(pair);
        }
    }
}
