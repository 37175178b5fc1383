//! Admission of claims: which paths may belong to a zone, and to which (D20).

use std::collections::BTreeSet;

use super::{Admission, Case, Refusal, RefusalKind, below, conflict, invalid, text};
use crate::command::{ClaimFacts, LinkFacts, Reresolved, Unresolved};
use crate::fold::Reply;
use crate::image::{ObjectKey, Scope, ZoneId};
use crate::name::ZoneName;

/// Directories whose claim would take the host itself away from everyone (D20).
const HOST_PATHS: &[&str] = &[
    "/", "/usr", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev", "/run",
];

/// Those directories, each at its own path: where a claimed path leads to one of them, as after a bind mount,
/// its claim does not follow.
pub fn host_paths() -> impl Iterator<Item = String> {
    let here = HOST_PATHS.iter().map(|path| (*path).to_owned());
    let linked = ["/bin", "/sbin", "/lib", "/lib64"];
    here.chain(["/lib", "/lib64"].map(str::to_owned))
        .chain(linked.map(|path| format!("/usr{path}")))
}

/// The rows that claims on the engine's own files take at most.
const ENGINES_OWN: usize = 8;

impl Case<'_> {
    pub(super) fn register_host_path(
        &self,
        name: &ZoneName,
        claim: &ClaimFacts,
    ) -> Result<Admission, Refusal> {
        let zone = self.zone(name)?;
        self.claims_allowed(name, Some(zone.id), std::slice::from_ref(claim))?;
        let held = self.state.claims.get(&claim.object);
        let same = held.is_some_and(|held| {
            held.by_command >= Some(claim.scope)
                && held.generation == claim.generation
                && held.path == claim.path
        });
        Ok(if same {
            Admission::Unchanged(Reply::said(format!(
                "{} is zone {name}'s already",
                claim.path
            )))
        } else {
            Admission::Append
        })
    }

    /// Only what RegisterHostPath asked for is taken back: a policy is replaced as a whole, and whoever
    /// reconciles it would bring the claim back unasked.
    pub(super) fn remove_host_path(
        &self,
        name: &ZoneName,
        path: &str,
    ) -> Result<Admission, Refusal> {
        text("path", path, 1)?;
        if !path.starts_with('/') {
            return invalid(format!("the path {path:?} is not absolute: give it from /"));
        }
        let zone = self.zone(name)?;
        let Some(held) = self.state.claim_or_lost(path) else {
            return conflict(format!(
                "nothing is claimed as {path}: `syva-cli host-paths list` shows every claim by its \
                 path, free of symbolic links"
            ));
        };
        if held.zone != zone.id {
            return conflict(format!(
                "{path} is not zone {name}'s: zone {} has claimed it",
                self.state.zone_label(held.zone)
            ));
        }
        if held.by_command.is_none() {
            return conflict(format!(
                "{path} is claimed by the policy of zone {name}: register the zone again with a \
                 policy whose host_paths do not name it"
            ));
        }
        Ok(Admission::Append)
    }

    /// What the daemon saw of the claims' paths. Nothing is asked of paths: they were admitted.
    pub(super) fn reresolve(
        &self,
        found: &[Reresolved],
        lost: &[Unresolved],
    ) -> Result<Admission, Refusal> {
        let named = found.iter().map(|again| again.path.as_str());
        let named: BTreeSet<&str> = named.chain(lost.iter().map(|l| l.path.as_str())).collect();
        if let Some(path) = named.iter().find(|p| self.state.claim_or_lost(p).is_none()) {
            return conflict(format!("nothing is claimed as {path}"));
        }
        let news = found
            .iter()
            .any(|again| self.state.moves(again, |path| named.contains(path)))
            || lost.iter().any(|l| self.state.claim_at(&l.path).is_some());
        if !news {
            let said = "every claim is where it was";
            return Ok(Admission::Unchanged(Reply::said(said)));
        }
        let keys = found.iter().filter_map(|again| again.found);
        let new: BTreeSet<ObjectKey> = keys.map(|(key, _)| key).collect();
        let above = found.iter().flat_map(|again| &again.above);
        let new_above = above.map(|above| above.object).collect();
        self.rows_fit(&new, &new_above)?;
        Ok(Admission::Append)
    }

    /// What the kernel noted of names outside claims. Claims that are gone meanwhile keep nothing.
    pub(super) fn link(
        &self,
        made: &[LinkFacts],
        gone: &[LinkFacts],
    ) -> Result<Admission, Refusal> {
        let new = made.iter().filter(|facts| self.state.gains(facts)).count();
        let old = gone.iter().filter(|facts| self.state.has(facts)).count();
        if new + old == 0 {
            let said = "every name outside a claim is known";
            return Ok(Admission::Unchanged(Reply::said(said)));
        }
        let (held, room) = (self.state.links(), self.node.capacity.claims as usize);
        if (held + new).saturating_sub(old) > room {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "{held} files have names outside their claims, and {new} more do; there is room for \
                     {room}: raise the capacity of claims"
                ),
            ));
        }
        Ok(Admission::Append)
    }

    pub(super) fn claims_allowed(
        &self,
        name: &ZoneName,
        id: Option<ZoneId>,
        claims: &[ClaimFacts],
    ) -> Result<(), Refusal> {
        for claim in claims {
            self.path_allowed(claim)?;
            let by_object = self.state.claims.get(&claim.object);
            let by_path = self.state.claim_at(&claim.path).map(|(_, held)| held);
            let lost = self.state.lost.get(&claim.path);
            if let Some((held, _)) = self.state.former(claim.object)
                && Some(held.zone) != id
            {
                return conflict(format!(
                    "{} cannot be zone {name}'s: it was at {} before, and is zone {}'s until that \
                     claim is taken back",
                    claim.path,
                    held.path,
                    self.state.zone_label(held.zone)
                ));
            }
            for held in [by_object, by_path, lost].into_iter().flatten() {
                if Some(held.zone) != id {
                    return conflict(format!(
                        "{} cannot be zone {name}'s: zone {} has claimed it as {}",
                        claim.path,
                        self.state.zone_label(held.zone),
                        held.path
                    ));
                }
            }
        }
        let new: BTreeSet<ObjectKey> = claims
            .iter()
            .map(|claim| claim.object)
            .filter(|object| !self.state.claims.contains_key(object))
            .collect();
        let above: BTreeSet<ObjectKey> = claims
            .iter()
            .flat_map(|claim| claim.above.iter().map(|above| above.object))
            .collect();
        let (held, max) = (self.state.claims.len(), self.node.capacity.claims as usize);
        if held + self.state.lost.len() + new.len() > max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "{held} of {max} claims are held, {} more do not fit",
                    new.len()
                ),
            ));
        }
        self.rows_fit(&new, &above)
    }

    /// Whether these objects have room in the kernel beside what is there.
    fn rows_fit(
        &self,
        claimed: &BTreeSet<ObjectKey>,
        above: &BTreeSet<ObjectKey>,
    ) -> Result<(), Refusal> {
        let state = self.state;
        let claimed = claimed.iter().filter(|key| state.claim_on(**key).is_none());
        let above = above
            .iter()
            .filter(|key| state.above_claims(**key).is_none());
        let new = claimed.count() + above.count();
        let (rows, room) = (state.claim_rows(), self.node.capacity.claim_rows());
        if rows + new + ENGINES_OWN > room as usize {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "claims, the directories above them and what was at their paths before take {rows} of \
                     {room} rows, {new} more do not fit: claim directories rather than what is in them, \
                     or start with more --max-claims"
                ),
            ));
        }
        Ok(())
    }

    pub(super) fn path_allowed(&self, claim: &ClaimFacts) -> Result<(), Refusal> {
        text("path", &claim.path, 1)?;
        let path = claim.path.as_str();
        if is_the_host_s(path) {
            return invalid(format!(
                "{path} cannot be claimed: the host itself needs it; claim what lies below it"
            ));
        }
        for own in &self.node.engine_paths {
            if path == own || below(path, own) {
                return invalid(format!("{path} cannot be claimed: it is the engine's own"));
            }
            if below(own, path) && claim.scope == Scope::Subtree {
                return invalid(format!(
                    "{path} cannot be claimed whole: the engine's own {own} lies below it"
                ));
            }
        }
        Ok(())
    }
}

/// Whether a claim of `path` would take the host itself away. Paths come here free of symbolic links,
/// and on most hosts `/bin`, `/sbin` and `/lib*` are links into `/usr`.
fn is_the_host_s(path: &str) -> bool {
    let path = path
        .strip_prefix("/usr")
        .filter(|rest| matches!(*rest, "/bin" | "/sbin") || rest.starts_with("/lib"))
        .unwrap_or(path);
    let library = path
        .strip_prefix("/lib")
        .is_some_and(|rest| !rest.contains('/'));
    library || HOST_PATHS.contains(&path)
}
