//! The fold: what one entry makes of the state. The only place where state changes.
//!
//! An entry in the journal has been admitted, so folding it cannot be refused; what does not fold is
//! a journal that this code must not act on ([`FoldError`]).

use std::collections::BTreeSet;

use crate::command::{Attach, ClaimFacts, Command, Policy, Reresolved};
use crate::entry::{Entry, Hash};
use crate::image::{CgroupId, ObjectKey, Pair, Scope, ZoneId};
use crate::name::{Party, ZoneName};
use crate::state::{Claim, Comm, Member, State, Zone};

/// Why an entry does not fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Entries are folded one after another.
    #[error("entry {found} follows entry {after}: an entry is missing or stands twice")]
    Sequence {
        /// The last entry folded.
        after: u64,
        /// The entry that came.
        found: u64,
    },
    /// The chain is broken.
    #[error("entry {seq} follows {found}, but the entry before it hashes to {expected}")]
    Chain {
        /// The entry.
        seq: u64,
        /// What it says the entry before it hashes to.
        found: Hash,
        /// What that hashes to.
        expected: Hash,
    },
    /// Commands of a new boot come after its `boot` entry.
    #[error("entry {seq} was made in another boot than the last boot entry")]
    Boot {
        /// The entry.
        seq: u64,
    },
    /// The command names what the state does not have.
    #[error("entry {seq} names {what}, which does not exist at that point")]
    Unknown {
        /// The entry.
        seq: u64,
        /// What it names.
        what: String,
    },
}

/// What a command's caller is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The zone it was about, if it created or changed one.
    pub zone: Option<ZoneId>,
    /// What was done.
    pub message: String,
    /// What else the caller should know.
    pub notes: Vec<String>,
}

impl Reply {
    /// A reply that says only what was done.
    pub fn said(message: impl Into<String>) -> Reply {
        Reply {
            message: message.into(),
            ..Reply::default()
        }
    }
}

/// The rows of the desired image that an entry may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Zone rows.
    pub zones: BTreeSet<ZoneId>,
    /// Memberships.
    pub members: BTreeSet<CgroupId>,
    /// Claims.
    pub claims: BTreeSet<ObjectKey>,
    /// Pairs.
    pub pairs: BTreeSet<Pair>,
}

impl Touched {
    /// Adds what another entry touched.
    pub fn merge(&mut self, other: Touched) {
        self.zones.extend(other.zones);
        self.members.extend(other.members);
        self.claims.extend(other.claims);
        self.pairs.extend(other.pairs);
    }
}

/// What folding one entry gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// What the caller is told.
    pub reply: Reply,
    /// What may have changed.
    pub touched: Touched,
}

impl State {
    /// Folds the next entry, whose payload hashes to `hash`.
    ///
    /// # Errors
    /// [`FoldError`]; the state is then unusable and must be dropped.
    pub fn fold(&mut self, entry: &Entry, hash: Hash) -> Result<Folded, FoldError> {
        if entry.seq != self.seq + 1 {
            return Err(FoldError::Sequence {
                after: self.seq,
                found: entry.seq,
            });
        }
        if entry.prev != self.head {
            let (seq, found, expected) = (entry.seq, entry.prev, self.head);
            return Err(FoldError::Chain {
                seq,
                found,
                expected,
            });
        }
        let boot = matches!(entry.command, Command::Boot { .. });
        if !boot && self.boot != Some(entry.boot) {
            return Err(FoldError::Boot { seq: entry.seq });
        }
        let mut step = Step {
            state: self,
            seq: entry.seq,
            touched: Touched::default(),
        };
        let reply = step.apply(entry)?;
        let touched = step.touched;
        self.seq = entry.seq;
        self.head = hash;
        Ok(Folded { reply, touched })
    }
}

/// One entry being folded.
struct Step<'a> {
    state: &'a mut State,
    seq: u64,
    touched: Touched,
}

impl Step<'_> {
    fn apply(&mut self, entry: &Entry) -> Result<Reply, FoldError> {
        match &entry.command {
            Command::RegisterZone {
                zone,
                policy,
                claims,
            } => Ok(self.register_zone(zone, policy.as_ref(), claims)),
            Command::RemoveZone { zone, drain } => self.remove_zone(zone, *drain),
            Command::AttachContainer(attach) => self.attach(attach),
            Command::DetachContainer { container, .. } => self.detach(container),
            Command::AllowComm { a, b } => self.say_of_pair(a, b, Comm::Allowed),
            Command::DenyComm { a, b } => self.say_of_pair(a, b, Comm::Denied),
            Command::RegisterHostPath { zone, claim } => {
                let id = self.zone_id(zone)?;
                let notes = self.state.neighbours(&claim.path, id);
                self.claim(id, claim, Source::Command);
                Ok(Reply {
                    notes,
                    ..Reply::said(format!("{} is zone {zone}'s", claim.path))
                })
            }
            Command::SetMode { mode } => {
                self.state.mode = *mode;
                self.touched.zones.extend(self.state.index.names.keys());
                Ok(Reply::said(format!("mode is {}", mode.name())))
            }
            Command::Boot { claims } => {
                self.state.boot = Some(entry.boot);
                Ok(self.boot(claims))
            }
            Command::CgroupGone { container, .. } => self.detach(container),
        }
    }

    fn register_zone(
        &mut self,
        name: &ZoneName,
        policy: Option<&Policy>,
        claims: &[ClaimFacts],
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
                notes.extend(self.state.neighbours(&claim.path, id));
            }
            self.replace_policy_claims(id, claims);
        }
        self.touched.zones.insert(id);
        let done = if known.is_some() {
            "updated"
        } else {
            "created"
        };
        Reply {
            zone: Some(id),
            notes,
            ..Reply::said(format!("zone {name} {done}"))
        }
    }

    fn create_zone(&mut self, name: &ZoneName) -> ZoneId {
        let id = ZoneId(self.state.next_zone);
        self.state.next_zone += 1;
        let zone = Zone {
            id,
            policy: Policy::default(),
            draining: false,
            seq: self.seq,
        };
        self.state.zones.insert(name.clone(), zone);
        self.state.index.names.insert(id, name.clone());
        // No pair opens yet, even with a zone that has listed the name all along: a new zone lists
        // nobody until its policy says so.
        id
    }

    fn replace_policy(&mut self, name: &ZoneName, id: ZoneId, policy: &Policy) {
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

    fn replace_policy_claims(&mut self, id: ZoneId, claims: &[ClaimFacts]) {
        let wanted: BTreeSet<ObjectKey> = claims.iter().map(|claim| claim.object).collect();
        let dropped: Vec<ObjectKey> = self
            .state
            .claims_in(id)
            .filter(|(key, claim)| claim.by_policy.is_some() && !wanted.contains(key))
            .map(|(key, _)| *key)
            .collect();
        for key in dropped {
            self.unclaim(key, Source::Policy);
        }
        self.state
            .lost
            .retain(|_, claim| claim.zone != id || claim.by_policy.is_none());
        for claim in claims {
            self.claim(id, claim, Source::Policy);
        }
    }

    fn remove_zone(&mut self, name: &ZoneName, drain: bool) -> Result<Reply, FoldError> {
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

    fn drop_zone(&mut self, id: ZoneId) {
        let keys: Vec<ObjectKey> = self.state.claims_in(id).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove_claim(key);
        }
        self.state.lost.retain(|_, claim| claim.zone != id);
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

    fn attach(&mut self, attach: &Attach) -> Result<Reply, FoldError> {
        let zone = self.zone_id(&attach.zone)?;
        let before = self.take_member(&attach.container);
        let moved = before.as_ref().filter(|m| m.zone != zone).map(|m| m.zone);
        let generation = match &before {
            Some(member) if attach.generation == 0 => member.generation,
            _ => attach.generation,
        };
        let member = Member {
            zone,
            cgroup: attach.cgroup,
            cgroup_path: attach.cgroup_path.clone(),
            pod: attach.pod.clone(),
            source: attach.source.clone(),
            generation,
            seq: self.seq,
        };
        let container = attach.container.clone();
        self.state
            .index
            .by_cgroup
            .insert(member.cgroup, container.clone());
        self.state
            .index
            .members_of
            .entry(zone)
            .or_default()
            .insert(container.clone());
        self.touched.members.insert(member.cgroup);
        self.state.members.insert(container, member);
        if let Some(old) = moved {
            self.finish_draining(old);
        }
        Ok(Reply::said(format!(
            "container {} is in zone {}",
            attach.container, attach.zone
        )))
    }

    fn detach(&mut self, container: &str) -> Result<Reply, FoldError> {
        let Some(member) = self.take_member(container) else {
            let what = format!("container {container}");
            return Err(FoldError::Unknown {
                seq: self.seq,
                what,
            });
        };
        self.finish_draining(member.zone);
        Ok(Reply::said(format!("container {container} is in no zone")))
    }

    fn take_member(&mut self, container: &str) -> Option<Member> {
        let member = self.state.members.remove(container)?;
        self.state.index.by_cgroup.remove(&member.cgroup);
        if let Some(names) = self.state.index.members_of.get_mut(&member.zone) {
            names.remove(container);
        }
        self.touched.members.insert(member.cgroup);
        Some(member)
    }

    fn finish_draining(&mut self, zone: ZoneId) {
        let draining = self
            .state
            .zone_by_id(zone)
            .is_some_and(|zone| zone.draining);
        if draining && self.state.members_in(zone) == 0 {
            self.drop_zone(zone);
        }
    }

    fn say_of_pair(&mut self, a: &Party, b: &Party, comm: Comm) -> Result<Reply, FoldError> {
        let pair = Pair::new(self.party(a)?, self.party(b)?);
        self.state.comms.insert(pair, comm);
        self.refresh_pair(pair);
        let done = match comm {
            Comm::Allowed => "allowed",
            Comm::Denied => "denied",
        };
        Ok(Reply::said(format!("{a} and {b}: {done}")))
    }

    fn refresh_pair(&mut self, pair: Pair) {
        let changed = if self.state.pair_is_open(pair) {
            self.state.index.open.insert(pair)
        } else {
            self.state.index.open.remove(&pair)
        };
        if changed {
            self.touched.pairs.insert(pair);
        }
    }

    fn boot(&mut self, found: &[Reresolved]) -> Reply {
        let containers: Vec<String> = self.state.members.keys().cloned().collect();
        let draining: BTreeSet<ZoneId> = self
            .state
            .zones
            .values()
            .filter(|zone| zone.draining)
            .map(|zone| zone.id)
            .collect();
        for container in &containers {
            self.take_member(container);
        }
        for zone in draining {
            self.finish_draining(zone);
        }
        let lost = self.reresolve(found);
        Reply::said(format!(
            "new boot: {} memberships void, {lost} claims lost",
            containers.len()
        ))
    }

    /// Gives every claim the object its path is now; one that was not found is lost, and so is one
    /// whose object another zone's claim has got first.
    fn reresolve(&mut self, found: &[Reresolved]) -> usize {
        let keys: Vec<ObjectKey> = self.state.claims.keys().copied().collect();
        let mut waiting = std::mem::take(&mut self.state.lost);
        for key in keys {
            if let Some(claim) = self.remove_claim(key) {
                waiting.insert(claim.path.clone(), claim);
            }
        }
        for Reresolved { path, found } in found {
            let Some((key, generation)) = *found else {
                continue;
            };
            if self.state.claims.contains_key(&key) {
                continue;
            }
            if let Some(claim) = waiting.remove(path) {
                self.insert_claim(
                    key,
                    Claim {
                        generation,
                        ..claim
                    },
                );
            }
        }
        self.state.lost = waiting;
        self.state.lost.len()
    }

    fn claim(&mut self, zone: ZoneId, facts: &ClaimFacts, source: Source) {
        // The path's earlier object, if it was replaced since, is given up with this claim.
        let replaced = self.state.index.by_path.get(&facts.path).copied();
        let earlier = self
            .remove_claim(facts.object)
            .or_else(|| self.remove_claim(replaced?))
            .or_else(|| self.state.lost.remove(&facts.path));
        let mut claim = earlier.unwrap_or_else(|| Claim {
            zone,
            path: facts.path.clone(),
            generation: facts.generation,
            by_policy: None,
            by_command: None,
            seq: self.seq,
        });
        claim.generation = facts.generation;
        match source {
            Source::Policy => claim.by_policy = Some(facts.scope),
            Source::Command => claim.by_command = claim.by_command.max(Some(facts.scope)),
        }
        self.insert_claim(facts.object, claim);
    }

    fn unclaim(&mut self, key: ObjectKey, source: Source) {
        if let Some(mut claim) = self.remove_claim(key) {
            match source {
                Source::Policy => claim.by_policy = None,
                Source::Command => claim.by_command = None,
            }
            if claim.by_policy.or(claim.by_command).is_some() {
                self.insert_claim(key, claim);
            }
        }
    }

    fn insert_claim(&mut self, key: ObjectKey, claim: Claim) {
        self.state.index.by_path.insert(claim.path.clone(), key);
        self.state
            .index
            .claims_of
            .entry(claim.zone)
            .or_default()
            .insert(key);
        self.state.claims.insert(key, claim);
        self.touched.claims.insert(key);
    }

    fn remove_claim(&mut self, key: ObjectKey) -> Option<Claim> {
        let claim = self.state.claims.remove(&key)?;
        self.state.index.by_path.remove(&claim.path);
        if let Some(keys) = self.state.index.claims_of.get_mut(&claim.zone) {
            keys.remove(&key);
        }
        self.touched.claims.insert(key);
        Some(claim)
    }

    fn zone_id(&self, name: &ZoneName) -> Result<ZoneId, FoldError> {
        self.state
            .zones
            .get(name)
            .map(|zone| zone.id)
            .ok_or_else(|| FoldError::Unknown {
                seq: self.seq,
                what: format!("zone {name}"),
            })
    }

    fn party(&self, party: &Party) -> Result<ZoneId, FoldError> {
        self.state
            .party_id(party)
            .ok_or_else(|| FoldError::Unknown {
                seq: self.seq,
                what: format!("zone {party}"),
            })
    }
}

/// Who asks for a claim.
#[derive(Clone, Copy)]
enum Source {
    Policy,
    Command,
}

/// The scope a request asks for.
pub const fn scope(recursive: bool) -> Scope {
    if recursive {
        Scope::Subtree
    } else {
        Scope::Exact
    }
}
