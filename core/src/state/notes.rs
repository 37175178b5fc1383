//! What lies around a path, in words for whoever claims it or gives a socket there.

use super::State;
use crate::command::{ClaimFacts, ZoneType};
use crate::image::ZoneId;

impl State {
    /// What whoever gives a socket of the host to a zone should know of it.
    pub fn socket_notes(&self, zone: ZoneId, path: &str) -> Vec<String> {
        let label = self.zone_label(zone);
        let mut notes = Vec::new();
        let held = self.zone_by_id(zone).map(|zone| zone.policy.zone_type);
        if held == Some(ZoneType::Privileged) {
            notes.push(format!(
                "zone {label} is privileged: it may use every socket, given or not"
            ));
        }
        if let Some(claim) = self.claim_over(path).filter(|claim| claim.zone == zone) {
            notes.push(format!(
                "{path} lies in {}, zone {label}'s own: it may use sockets there without being given them",
                claim.path
            ));
        }
        notes
    }

    /// What a zone's claims look like beside a new one at `path`: notes for whoever claims it.
    pub fn neighbours(&self, claim: &ClaimFacts, zone: ZoneId) -> Vec<String> {
        let path = claim.path.as_str();
        let mut notes = Vec::new();
        let held = self.claims.get(&claim.object);
        if let Some(held) = held.filter(|held| held.path != claim.path) {
            notes.push(format!(
                "{path} leads to what was claimed as {}: it is followed here from now on",
                held.path
            ));
        }
        let above = self.claim_above(path);
        if let Some(claim) = above.filter(|claim| claim.zone != zone) {
            notes.push(format!(
                "{path} lies below {}, claimed by zone {}: the nearer claim wins",
                claim.path,
                self.zone_label(claim.zone)
            ));
        }
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = self.index.by_path.range(prefix.clone()..);
        for (inner, key) in below.take_while(|(inner, _)| inner.starts_with(&prefix)) {
            if let Some(claim) = self.claims.get(key).filter(|claim| claim.zone != zone) {
                let owner = self.zone_label(claim.zone);
                notes.push(format!("{inner} below {path} stays with zone {owner}"));
            }
        }
        notes
    }
}

/// The paths above an absolute path, nearest first, `/` last.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        if rest == "/" {
            return None;
        }
        let cut = rest.rfind('/')?;
        rest = if cut == 0 { "/" } else { &rest[..cut] };
        Some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_run_from_the_parent_to_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/").count(), 0);
    }
}
