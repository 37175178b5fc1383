//! The state: what the journal's entries add up to.
//!
//! The public fields are the state and make up its digest; the index beside them is derived from
//! them, kept by the same few functions, and saves admission from walking everything.

mod claims;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::{Above, BootId, Pod, Policy, SocketFacts};
use crate::entry::Hash;
use crate::host_socket::Grant;
use crate::image::{CgroupId, Mode, ObjectKey, Pair, ZoneId};
use crate::name::{Party, ZoneName, placeholder};
pub use claims::{Claim, FORMER, Former, Link};
pub use notes::ancestors;

/// A registered zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// Its number.
    pub id: ZoneId,
    /// Its policy. The policy's host paths are claims.
    pub policy: Policy,
    /// Its own mode; none: the node's. No part of the policy, whose owner need not know of it.
    pub mode: Option<Mode>,
    /// Whether it goes when its last member goes.
    pub draining: bool,
    /// The entry that created it.
    pub seq: u64,
}

/// An attached container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The zone it is in.
    pub zone: ZoneId,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// The cgroup's path below the cgroup root, when it was attached.
    pub cgroup_path: String,
    /// Its pod.
    pub pod: Pod,
    /// Which client manages it.
    pub source: String,
    /// The client's generation; 0: it keeps none.
    pub generation: u64,
    /// The entry that attached it last.
    pub seq: u64,
    /// The host sockets its zone may use because it is a systemd service unit's.
    pub unit_sockets: Vec<SocketFacts>,
}

impl Member {
    /// What it gives its zone for being a service unit's; each socket once, however it is listed.
    pub(crate) fn grants(&self) -> BTreeSet<Grant> {
        let zone = self.zone;
        let sockets = self.unit_sockets.iter().map(|facts| facts.socket);
        sockets.map(|socket| Grant { zone, socket }).collect()
    }
}

/// A host socket given to a zone. It stands as long as the zone's policy or an AllowHostSocket asks
/// for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Its path, or its abstract name.
    pub path: String,
    /// Whether the zone's policy asks for it.
    pub by_policy: bool,
    /// Whether AllowHostSocket asked for it.
    pub by_command: bool,
    /// The entry that gave it.
    pub seq: u64,
}

/// A given host socket whose path could not be looked up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostSocket {
    /// The zone it was given to.
    pub zone: ZoneId,
    /// What was given.
    pub given: Given,
}

/// What was said of a pair, beyond what the two policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comm {
    /// AllowComm opened it.
    Allowed,
    /// DenyComm closed it, until either side allows it again.
    Denied,
}

/// The state after some entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The last entry folded; 0 before the first.
    pub seq: u64,
    /// That entry's hash.
    pub head: Hash,
    /// The boot the memberships belong to.
    pub boot: Option<BootId>,
    /// The node's mode.
    pub mode: Mode,
    /// The next zone's id. Ids are never reused.
    pub next_zone: u32,
    /// Zones by name.
    pub zones: BTreeMap<ZoneName, Zone>,
    /// Containers by id.
    pub members: BTreeMap<String, Member>,
    /// Claims by object.
    pub claims: BTreeMap<ObjectKey, Claim>,
    /// Claims whose path led to nothing that can be claimed when it was looked up again, by path.
    pub lost: BTreeMap<String, Claim>,
    /// What AllowComm and DenyComm said.
    pub comms: BTreeMap<Pair, Comm>,
    /// Host sockets given by policy and by AllowHostSocket.
    pub host_sockets: BTreeMap<Grant, Given>,
    /// Those whose path could not be looked up again.
    pub lost_sockets: Vec<LostSocket>,
    /// Derived from the above.
    #[serde(skip)]
    pub(crate) index: Index,
}

/// What is derived from the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub names: BTreeMap<ZoneId, ZoneName>,
    pub by_cgroup: BTreeMap<CgroupId, String>,
    pub by_path: BTreeMap<String, ObjectKey>,
    pub members_of: BTreeMap<ZoneId, BTreeSet<String>>,
    pub claims_of: BTreeMap<ZoneId, BTreeSet<ObjectKey>>,
    /// What was at claims' paths before, and at which. Nothing that is claimed by itself is among it.
    pub former: BTreeMap<ObjectKey, String>,
    /// The directories above claims, and how many claims each is above.
    pub above: BTreeMap<Above, usize>,
    pub open: BTreeSet<Pair>,
    /// How many members each host socket is given for because they are service units.
    pub by_unit: BTreeMap<Grant, usize>,
}

impl Default for State {
    fn default() -> State {
        State {
            seq: 0,
            head: Hash::ZERO,
            boot: None,
            mode: Mode::default(),
            next_zone: 1,
            zones: BTreeMap::new(),
            members: BTreeMap::new(),
            claims: BTreeMap::new(),
            lost: BTreeMap::new(),
            comms: BTreeMap::new(),
            host_sockets: BTreeMap::new(),
            lost_sockets: Vec::new(),
            index: Index::default(),
        }
    }
}

impl State {
    /// A state that was read from a snapshot, with what is derived from its fields worked out again.
    pub fn restored(mut self) -> State {
        let mut index = Index::default();
        for (name, zone) in &self.zones {
            index.names.insert(zone.id, name.clone());
        }
        for (container, member) in &self.members {
            index.by_cgroup.insert(member.cgroup, container.clone());
            let of = index.members_of.entry(member.zone).or_default();
            of.insert(container.clone());
            for grant in member.grants() {
                *index.by_unit.entry(grant).or_insert(0) += 1;
            }
        }
        for (key, claim) in &self.claims {
            index.by_path.insert(claim.path.clone(), *key);
            index.claims_of.entry(claim.zone).or_default().insert(*key);
            for above in &claim.above {
                *index.above.entry(*above).or_insert(0) += 1;
            }
        }
        for claim in self.claims.values().chain(self.lost.values()) {
            let former = claim.former.iter();
            let at = former.map(|former| (former.object, claim.path.clone()));
            index.former.extend(at);
        }
        // Whether a pair is open is asked of the names.
        self.index = index;
        let listed = self.zones.values().flat_map(|zone| {
            let others = zone.policy.allowed_zones.iter();
            others.filter_map(|party| Some((zone.id, self.party_id(party)?)))
        });
        let pairs = listed.filter(|(one, other)| one != other);
        let pairs = pairs.map(|(one, other)| Pair::new(one, other));
        let open = pairs.chain(self.comms.keys().copied());
        self.index.open = open.filter(|pair| self.pair_is_open(*pair)).collect();
        self
    }

    /// The last entry folded.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The state's SHA-256, over its MessagePack encoding with named fields and sorted maps. Equal
    /// on every machine for the same journal (I2).
    ///
    /// # Errors
    /// The encoder's own, which nothing in a state can bring about today.
    pub fn digest(&self) -> Result<Hash, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self).map(|bytes| Hash::of(&bytes))
    }

    /// What becomes of a zone's denials: as its own mode says, or else the node's.
    pub fn mode_of(&self, zone: &Zone) -> Mode {
        zone.mode.unwrap_or(self.mode)
    }

    /// What is told of a zone that has this mode of its own, or none.
    pub(crate) fn said_of_mode(&self, zone: &ZoneName, mode: Option<Mode>) -> String {
        match mode {
            Some(mode) => format!("zone {zone}: mode is {}", mode.name()),
            None => format!("zone {zone}: mode is the node's, {}", self.mode.name()),
        }
    }

    /// The zone with that id.
    pub fn zone_by_id(&self, id: ZoneId) -> Option<&Zone> {
        self.zones.get(self.index.names.get(&id)?)
    }

    /// What to call a zone id: its name, `host`, or `zone-N` if it is gone.
    pub fn zone_label(&self, id: ZoneId) -> String {
        self.index
            .names
            .get(&id)
            .map_or_else(|| placeholder(id), ToString::to_string)
    }

    /// The id a party stands for.
    pub fn party_id(&self, party: &Party) -> Option<ZoneId> {
        match party {
            Party::Host => Some(ZoneId::HOST),
            Party::Zone(name) => self.zones.get(name).map(|zone| zone.id),
        }
    }

    /// How many containers a zone has.
    pub fn members_in(&self, zone: ZoneId) -> usize {
        self.index.members_of.get(&zone).map_or(0, BTreeSet::len)
    }

    /// The container attached with that cgroup.
    pub fn container_of(&self, cgroup: CgroupId) -> Option<(&String, &Member)> {
        self.members
            .get_key_value(self.index.by_cgroup.get(&cgroup)?)
    }

    /// The pairs that are open, by AllowComm or by two policies.
    pub fn open_pairs(&self) -> &BTreeSet<Pair> {
        &self.index.open
    }

    /// Whether the zone may use that socket of the host, for whatever reason.
    pub fn is_given(&self, grant: &Grant) -> bool {
        self.host_sockets.contains_key(grant) || self.index.by_unit.contains_key(grant)
    }

    /// Every host socket that a zone may use.
    pub fn given_sockets(&self) -> impl Iterator<Item = Grant> {
        let asked = self.host_sockets.keys();
        asked.chain(self.index.by_unit.keys()).copied()
    }

    /// The host sockets given to a zone by policy and by AllowHostSocket.
    pub fn host_sockets_in(&self, zone: ZoneId) -> impl Iterator<Item = (&Grant, &Given)> {
        self.host_sockets.range(Grant::of(zone))
    }

    /// Whether a member of the zone is a service unit, so that it may use that socket.
    pub fn is_unit_s(&self, grant: &Grant) -> bool {
        self.index.by_unit.contains_key(grant)
    }

    /// How many rows the host sockets take, those included that are lost for now.
    pub fn host_socket_rows(&self) -> usize {
        self.host_sockets.len() + self.lost_sockets.len() + self.index.by_unit.len()
    }

    /// Whether a pair is open, worked out from what was said of it.
    pub(crate) fn pair_is_open(&self, pair: Pair) -> bool {
        match self.comms.get(&pair) {
            Some(Comm::Allowed) => true,
            Some(Comm::Denied) => false,
            None => self.lists(pair.low(), pair.high()) && self.lists(pair.high(), pair.low()),
        }
    }

    /// Whether `from`'s policy lists `to`. The host has no policy and agrees to whoever lists it.
    fn lists(&self, from: ZoneId, to: ZoneId) -> bool {
        if from == ZoneId::HOST {
            return to != ZoneId::HOST;
        }
        self.zone_by_id(from).is_some_and(|zone| {
            zone.policy
                .allowed_zones
                .iter()
                .any(|party| self.party_id(party) == Some(to))
        })
    }
}
