//! Folding claims: who asks for them, what they are claimed as, what becomes of their paths.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{FoldError, Reply, Step};
use crate::command::{ClaimFacts, LinkFacts, Reresolved, Unresolved};
use crate::image::{ObjectKey, ZoneId};
use crate::name::ZoneName;
use crate::state::{Claim, Link};

/// Who asks for a claim.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Policy,
    Command,
}

impl Step<'_> {
    pub(super) fn replace_policy_claims(&mut self, id: ZoneId, claims: &[ClaimFacts]) {
        let wanted: BTreeSet<ObjectKey> = claims.iter().map(|claim| claim.object).collect();
        let paths: BTreeSet<&str> = claims.iter().map(|claim| claim.path.as_str()).collect();
        // What lies at a path that is still wanted is replaced, not given up.
        let unwanted =
            |claim: &Claim| claim.by_policy.is_some() && !paths.contains(claim.path.as_str());
        let dropped: Vec<ObjectKey> = self
            .state
            .claims_in(id)
            .filter(|(key, claim)| unwanted(claim) && !wanted.contains(key))
            .map(|(key, _)| *key)
            .collect();
        for key in dropped {
            self.unclaim(key, Source::Policy);
        }
        for path in self.lost_of(id, unwanted) {
            self.unclaim_lost(&path, Source::Policy);
        }
        for claim in claims {
            self.claim(id, claim, Source::Policy);
        }
    }

    /// Gives every claim the object its path is now, at a new boot; one that was not found is lost, and so
    /// is one whose object another zone's claim has got first. What was at paths before is given up: the
    /// numbers of devices may be others'.
    pub(super) fn reresolve(&mut self, found: &[Reresolved]) -> usize {
        let keys: Vec<ObjectKey> = self.state.claims.keys().copied().collect();
        let paths: Vec<String> = self.state.lost.keys().cloned().collect();
        let mut taken = Vec::new();
        taken.extend(paths.iter().filter_map(|path| self.remove_lost(path)));
        taken.extend(keys.into_iter().filter_map(|key| self.remove_claim(key)));
        let mut waiting = BTreeMap::new();
        for mut claim in taken {
            claim.board();
            waiting.insert(claim.path.clone(), claim);
        }
        for again in found {
            if let Some(claim) = waiting.remove(&again.path) {
                self.put_claim(claim, again);
            }
        }
        for claim in waiting.into_values() {
            self.insert_lost(claim);
        }
        self.state.lost.len()
    }

    /// Gives each of these claims the object that its path leads to now. What was there stays the zone's;
    /// where there is nothing, it is all that the claim has left.
    pub(super) fn move_claims(&mut self, found: &[Reresolved], lost: &[Unresolved]) -> Reply {
        let lost = lost.iter().map(|lost| Reresolved {
            path: lost.path.clone(),
            found: None,
            above: Vec::new(),
        });
        // All of them first: two paths may have exchanged their objects.
        let mut moving = Vec::new();
        for again in found.iter().cloned().chain(lost) {
            let key = self.state.index.by_path.get(&again.path).copied();
            let claim = match key {
                Some(key) => self.remove_claim(key),
                None => self.remove_lost(&again.path),
            };
            let Some(mut claim) = claim else { continue };
            // Of another generation under the same number: what had the number is gone.
            if let Some(key) = key
                && again.found.map(|(found, _)| found) != Some(key)
            {
                claim.leave(key);
            }
            moving.push((claim, again));
        }
        let count = moving.len();
        let found = moving
            .into_iter()
            .filter(|(claim, again)| self.put_claim(claim.clone(), again))
            .count();
        Reply::said(format!(
            "{count} claims looked up again: {found} found, {} lost",
            count - found
        ))
    }

    /// Files have names outside their claims, or are gone. Of a claim that is gone there is nothing to keep.
    pub(super) fn link(&mut self, made: &[LinkFacts], gone: &[LinkFacts]) -> Reply {
        for facts in gone {
            if let Some(claim) = self.claim_by_path(&facts.claim)
                && let Entry::Occupied(link) = claim.links.entry(facts.object.ino)
                && link.get().generation == facts.generation
            {
                link.remove();
            }
        }
        for facts in made {
            if let Some(claim) = self.claim_by_path(&facts.claim) {
                let link = Link {
                    generation: facts.generation,
                    device: Some(facts.object.dev),
                    name: facts.name.clone(),
                };
                claim.links.insert(facts.object.ino, link);
            }
        }
        let (made, gone) = (made.len(), gone.len());
        Reply::said(format!(
            "{made} files have names outside their claims, {gone} that had are gone"
        ))
    }

    /// The claim by that path, whether its object is there or lost.
    fn claim_by_path(&mut self, path: &str) -> Option<&mut Claim> {
        match self.state.index.by_path.get(path) {
            Some(key) => self.state.claims.get_mut(key),
            None => self.state.lost.get_mut(path),
        }
    }

    /// Puts a claim that was taken out where its path leads; says whether it leads somewhere. An object
    /// is the claim's that had it first.
    fn put_claim(&mut self, claim: Claim, again: &Reresolved) -> bool {
        let found = again.found;
        match found.filter(|(key, _)| !self.state.claims.contains_key(key)) {
            Some((key, generation)) => {
                let above = again.above.clone();
                self.insert_claim(
                    key,
                    Claim {
                        generation,
                        above,
                        ..claim
                    },
                );
                true
            }
            None => {
                self.insert_lost(claim);
                false
            }
        }
    }

    pub(super) fn claim(&mut self, zone: ZoneId, facts: &ClaimFacts, source: Source) {
        // The object may have been claimed by another path, which is not followed any more: whoever asks
        // saw it here.
        let by_object = self.remove_claim(facts.object);
        // If the path's object was replaced since, the earlier one stays the zone's.
        let by_path = match self.state.index.by_path.get(&facts.path).copied() {
            Some(replaced) => self.remove_claim(replaced).map(|mut claim| {
                claim.leave(replaced);
                claim
            }),
            None => self.remove_lost(&facts.path),
        };
        let earlier = match (by_object, by_path) {
            (Some(mut claim), Some(other)) => {
                claim.absorb(other);
                Some(claim)
            }
            (one, other) => one.or(other),
        };
        let mut claim = earlier.unwrap_or_else(|| Claim {
            zone,
            path: facts.path.clone(),
            generation: facts.generation,
            above: Vec::new(),
            by_policy: None,
            by_command: None,
            seq: self.seq,
            former: Vec::new(),
            links: BTreeMap::new(),
        });
        claim.path.clone_from(&facts.path);
        claim.generation = facts.generation;
        claim.above.clone_from(&facts.above);
        match source {
            Source::Policy => claim.by_policy = Some(facts.scope),
            Source::Command => claim.by_command = claim.by_command.max(Some(facts.scope)),
        }
        self.insert_claim(facts.object, claim);
    }

    pub(super) fn unclaim(&mut self, key: ObjectKey, source: Source) {
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

    pub(super) fn remove_host_path(
        &mut self,
        zone: &ZoneName,
        path: &str,
    ) -> Result<Reply, FoldError> {
        let id = self.zone_id(zone)?;
        let held = self.state.claim_or_lost(path);
        let Some(claim) = held.filter(|claim| claim.zone == id) else {
            return Err(FoldError::Unknown {
                seq: self.seq,
                what: format!("a claim of zone {zone} on {path}"),
            });
        };
        let stays = claim.by_policy.is_some();
        match self.state.index.by_path.get(path).copied() {
            Some(key) => self.unclaim(key, Source::Command),
            None => self.unclaim_lost(path, Source::Command),
        }
        if stays {
            return Ok(Reply::said(format!(
                "{path} stays zone {zone}'s: its policy claims it too"
            )));
        }
        let above = self.state.claim_above(path).map(|claim| claim.zone);
        Ok(Reply::said(match above {
            Some(outer) => format!(
                "{path} is not claimed by itself any more: it falls to zone {}, which has claimed \
                 what is above it",
                self.state.zone_label(outer)
            ),
            None => format!("{path} belongs to no zone any more"),
        }))
    }

    fn unclaim_lost(&mut self, path: &str, source: Source) {
        if let Some(mut claim) = self.remove_lost(path) {
            match source {
                Source::Policy => claim.by_policy = None,
                Source::Command => claim.by_command = None,
            }
            if claim.by_policy.or(claim.by_command).is_some() {
                self.insert_lost(claim);
            }
        }
    }

    /// The paths of a zone's lost claims, of those that are meant.
    pub(super) fn lost_of(&self, zone: ZoneId, meant: impl Fn(&Claim) -> bool) -> Vec<String> {
        let lost = self.state.lost.values();
        let lost = lost.filter(|claim| claim.zone == zone && meant(claim));
        lost.map(|claim| claim.path.clone()).collect()
    }

    fn insert_lost(&mut self, mut claim: Claim) {
        // Nothing is found at the path, so nothing is kept where it is for that.
        claim.above.clear();
        self.keep_former(&mut claim, None);
        self.state.lost.insert(claim.path.clone(), claim);
    }

    pub(super) fn remove_lost(&mut self, path: &str) -> Option<Claim> {
        let claim = self.state.lost.remove(path)?;
        self.let_go_of_former(&claim);
        Some(claim)
    }

    /// What was at the claim's path before is its, unless it is claimed by itself or was at another path
    /// later.
    fn keep_former(&mut self, claim: &mut Claim, object: Option<ObjectKey>) {
        let (claims, index) = (&self.state.claims, &mut self.state.index);
        claim.former.retain(|former| {
            let key = former.object;
            let free = !claims.contains_key(&key) && !index.former.contains_key(&key);
            free && Some(key) != object
        });
        for former in &claim.former {
            index.former.insert(former.object, claim.path.clone());
            self.touched.claims.insert(former.object);
        }
    }

    fn let_go_of_former(&mut self, claim: &Claim) {
        for former in &claim.former {
            self.state.index.former.remove(&former.object);
            self.touched.claims.insert(former.object);
        }
    }

    /// An object is claimed by itself: it is no claim's any more for having been at its path.
    fn take_from_former(&mut self, key: ObjectKey) {
        let Some(path) = self.state.index.former.remove(&key) else {
            return;
        };
        if let Some(claim) = self.claim_by_path(&path) {
            claim.former.retain(|former| former.object != key);
        }
    }

    pub(super) fn insert_claim(&mut self, key: ObjectKey, mut claim: Claim) {
        self.take_from_former(key);
        self.keep_former(&mut claim, Some(key));
        self.state.index.by_path.insert(claim.path.clone(), key);
        self.state
            .index
            .claims_of
            .entry(claim.zone)
            .or_default()
            .insert(key);
        for above in &claim.above {
            *self.state.index.above.entry(*above).or_insert(0) += 1;
            self.touched.claims.insert(above.object);
        }
        self.state.claims.insert(key, claim);
        self.touched.claims.insert(key);
    }

    pub(super) fn remove_claim(&mut self, key: ObjectKey) -> Option<Claim> {
        let claim = self.state.claims.remove(&key)?;
        self.state.index.by_path.remove(&claim.path);
        if let Some(keys) = self.state.index.claims_of.get_mut(&claim.zone) {
            keys.remove(&key);
        }
        for above in &claim.above {
            if let Entry::Occupied(mut claims) = self.state.index.above.entry(*above) {
                *claims.get_mut() -= 1;
                if *claims.get() == 0 {
                    claims.remove();
                }
            }
            self.touched.claims.insert(above.object);
        }
        self.let_go_of_former(&claim);
        self.touched.claims.insert(key);
        Some(claim)
    }
}
