//! Claims: what a path was found to be, what was there before, and what lies around it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{State, ancestors};
use crate::command::{Above, LinkFacts, Reresolved};
use crate::image::{ObjectKey, Scope, ZoneId};
use crate::kernel::Linked;

/// An object that was at a claim's path before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The object, as the kernel names it.
    pub object: ObjectKey,
    /// Its inode generation.
    pub generation: u64,
}

/// A file that is a claim's by all its names, since it was given one outside it. Its inode number is the
/// key it is held by: a number is one file's at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its inode generation.
    pub generation: u64,
    /// The device it was last seen on, which is the claim's; nothing since a new boot, which numbers
    /// devices anew.
    pub device: Option<u32>,
    /// The name it was given first, for people.
    pub name: String,
}

/// How many objects that were at a path before stay its zone's.
pub const FORMER: usize = 4;

/// A claim. It stands as long as its zone's policy or a RegisterHostPath asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The zone the object belongs to.
    pub zone: ZoneId,
    /// The path, free of symlinks.
    pub path: String,
    /// The object's inode generation.
    pub generation: u64,
    /// The directories that the path leads through.
    #[serde(default)]
    pub above: Vec<Above>,
    /// What the zone's policy asks for.
    pub by_policy: Option<Scope>,
    /// What RegisterHostPath asked for.
    pub by_command: Option<Scope>,
    /// The entry that made the claim.
    pub seq: u64,
    /// What was at the path before, latest first. It stays the zone's until the next boot: it may be
    /// open, have another name, or lie under a mount, and is not to be everyone's for that.
    #[serde(default)]
    pub former: Vec<Former>,
    /// Its files that have names outside it, by inode number.
    #[serde(default)]
    pub links: BTreeMap<u64, Link>,
}

impl Claim {
    /// Its path does not lead to its object any more.
    pub(crate) fn leave(&mut self, object: ObjectKey) {
        let generation = self.generation;
        self.former.insert(0, Former { object, generation });
        self.former.truncate(FORMER);
    }

    /// Two claims turn out to be one: it has what both had, and stands as long as anybody asks for either.
    pub(crate) fn absorb(&mut self, other: Claim) {
        self.by_policy = self.by_policy.max(other.by_policy);
        self.by_command = self.by_command.max(other.by_command);
        self.former.extend(other.former);
        self.former.truncate(FORMER);
        for (ino, link) in other.links {
            self.links.entry(ino).or_insert(link);
        }
    }

    /// Devices are numbered anew. What has no generation may be another file by now.
    pub(crate) fn board(&mut self) {
        self.former.clear();
        self.links.retain(|_, link| link.generation != 0);
        for link in self.links.values_mut() {
            link.device = None;
        }
    }

    /// How far it reaches: as far as the widest of what is asked for.
    pub fn scope(&self) -> Scope {
        self.by_policy.max(self.by_command).unwrap_or(Scope::Exact)
    }
}

impl State {
    /// The generation of the directory with that key, if it lies above claims.
    pub fn above_claims(&self, key: ObjectKey) -> Option<u64> {
        let of_key = |generation| Above {
            object: key,
            generation,
        };
        // Of a number that was given to several directories in turn, the latest is there.
        let mut held = self.index.above.range(of_key(0)..=of_key(u64::MAX));
        held.next_back().map(|(above, _)| above.generation)
    }

    /// Whether a claim would not be as it is, if its path was found to lead there. `named`: the claims that
    /// were looked at with it, whose objects may be free by then.
    pub fn moves(&self, again: &Reresolved, named: impl Fn(&str) -> bool) -> bool {
        let free = |key: &ObjectKey| {
            let held = self.claims.get(key);
            held.is_none_or(|claim| named(&claim.path))
        };
        let found = again.found.filter(|(key, _)| free(key));
        match self.claim_at(&again.path) {
            Some((key, claim)) => {
                found != Some((*key, claim.generation)) || claim.above != again.above
            }
            None => found.is_some(),
        }
    }

    /// How many rows the claims take in the kernel: their own, one for each directory above them, and one
    /// for each object that was at a path before.
    pub fn claim_rows(&self) -> usize {
        let more = self.index.above.len() + self.index.former.len();
        self.claims.len() + self.lost.len() + more
    }

    /// The claim whose path an object was at before, and the object's generation.
    pub fn former(&self, key: ObjectKey) -> Option<(&Claim, u64)> {
        let claim = self.claim_or_lost(self.index.former.get(&key)?)?;
        let former = claim.former.iter().find(|former| former.object == key)?;
        Some((claim, former.generation))
    }

    /// Every object that was at a claim's path before, and the path.
    pub fn former_objects(&self) -> impl Iterator<Item = (ObjectKey, String)> {
        let former = self.index.former.iter();
        former.map(|(key, path)| (*key, path.clone()))
    }

    /// The claim that an object belongs to for being, or having been, at its path.
    pub fn claim_on(&self, key: ObjectKey) -> Option<&Claim> {
        let former = || self.former(key).map(|(claim, _)| claim);
        self.claims.get(&key).or_else(former)
    }

    /// The claim that the kernel knows by that key and generation.
    pub fn claim_known_as(&self, key: ObjectKey, generation: u64) -> Option<&Claim> {
        let held = self.claims.get(&key).map(|claim| (claim, claim.generation));
        let known = held.or_else(|| self.former(key));
        known.and_then(|(claim, known)| (known == generation).then_some(claim))
    }

    /// Every file of a claim that has names outside it, as the kernel is to know it. Of a claim that is
    /// lost there is nothing to know.
    pub fn linked(&self) -> impl Iterator<Item = Linked> {
        let claims = self.claims.iter();
        let of = claims.flat_map(|(key, claim)| self.linked_of(*key, claim));
        of.map(|(linked, _)| linked)
    }

    /// Those of one claim, which is known by that key, and how the state holds them.
    pub fn linked_of<'a>(
        &self,
        key: ObjectKey,
        claim: &'a Claim,
    ) -> impl Iterator<Item = (Linked, &'a Link)> + use<'a> {
        claim.links.iter().map(move |(ino, link)| {
            let object = ObjectKey {
                dev: link.device.unwrap_or(key.dev),
                ino: *ino,
                subvol: 0,
            };
            let linked = Linked {
                object,
                generation: link.generation,
                claim: key,
                claim_generation: claim.generation,
                name: link.name.clone(),
            };
            (linked, link)
        })
    }

    /// Whether the file is recorded as the claim's, by that generation.
    pub fn has(&self, facts: &LinkFacts) -> bool {
        self.link(facts)
            .is_some_and(|link| link.generation == facts.generation)
    }

    /// Whether recording it would change something: also where it lies, after a new boot.
    pub fn gains(&self, facts: &LinkFacts) -> bool {
        self.claim_or_lost(&facts.claim).is_some()
            && !self.link(facts).is_some_and(|link| {
                (link.generation, link.device) == (facts.generation, Some(facts.object.dev))
            })
    }

    fn link(&self, facts: &LinkFacts) -> Option<&Link> {
        let claim = self.claim_or_lost(&facts.claim)?;
        claim.links.get(&facts.object.ino)
    }

    /// How many files of claims have names outside them.
    pub fn links(&self) -> usize {
        let claims = self.claims.values().chain(self.lost.values());
        claims.map(|claim| claim.links.len()).sum()
    }

    /// The claims of a zone.
    pub fn claims_in(&self, zone: ZoneId) -> impl Iterator<Item = (&ObjectKey, &Claim)> {
        let keys = self.index.claims_of.get(&zone).into_iter().flatten();
        keys.filter_map(|key| self.claims.get_key_value(key))
    }

    /// The claim on exactly that path.
    pub fn claim_at(&self, path: &str) -> Option<(&ObjectKey, &Claim)> {
        self.claims.get_key_value(self.index.by_path.get(path)?)
    }

    /// The claim by that path, whether its object is there or lost.
    pub fn claim_or_lost(&self, path: &str) -> Option<&Claim> {
        let held = self.claim_at(path).map(|(_, claim)| claim);
        held.or_else(|| self.lost.get(path))
    }

    /// The claim that a socket bound at `path` belongs to.
    pub fn claim_over(&self, path: &str) -> Option<&Claim> {
        let at = self.claim_at(path).map(|(_, claim)| claim);
        at.or_else(|| self.claim_above(path))
    }

    /// The nearest claim above a path that reaches down to it.
    pub fn claim_above(&self, path: &str) -> Option<&Claim> {
        let held = ancestors(path).filter_map(|ancestor| self.claim_at(ancestor));
        let mut claims = held.map(|(_, claim)| claim);
        claims.find(|claim| claim.scope() == Scope::Subtree)
    }
}
