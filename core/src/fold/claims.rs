//! Folding claims: who asks for them, what they are claimed as, what becomes of their paths.

use std::collections::BTreeSet;
use std::collections::btree_map::Entry;

use super::{FoldError, Reply, Step};
use crate::command::{ClaimFacts, Reresolved};
use crate::image::{ObjectKey, ZoneId};
use crate::name::ZoneName;
use crate::state::Claim;

/// Who asks for a claim.
#[derive(Clone, Copy)]
pub(super) enum Source {
    Policy,
    Command,
}

impl Step<'_> {
    pub(super) fn replace_policy_claims(&mut self, id: ZoneId, claims: &[ClaimFacts]) {
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

    /// Gives every claim the object its path is now; one that was not found is lost, and so is one
    /// whose object another zone's claim has got first.
    pub(super) fn reresolve(&mut self, found: &[Reresolved]) -> usize {
        let keys: Vec<ObjectKey> = self.state.claims.keys().copied().collect();
        let mut waiting = std::mem::take(&mut self.state.lost);
        for key in keys {
            if let Some(claim) = self.remove_claim(key) {
                waiting.insert(claim.path.clone(), claim);
            }
        }
        for Reresolved { path, found, above } in found {
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
                        above: above.clone(),
                        ..claim
                    },
                );
            }
        }
        self.state.lost = waiting;
        self.state.lost.len()
    }

    pub(super) fn claim(&mut self, zone: ZoneId, facts: &ClaimFacts, source: Source) {
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
            above: Vec::new(),
            by_policy: None,
            by_command: None,
            seq: self.seq,
        });
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
            None => self.unclaim_lost(path),
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

    /// A lost claim has no object, so no row in the kernel changes.
    fn unclaim_lost(&mut self, path: &str) {
        if let Some(claim) = self.state.lost.get_mut(path) {
            claim.by_command = None;
            if claim.by_policy.is_none() {
                self.state.lost.remove(path);
            }
        }
    }

    pub(super) fn insert_claim(&mut self, key: ObjectKey, claim: Claim) {
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
        self.touched.claims.insert(key);
        Some(claim)
    }
}
