//! Which zones a journaled command is about.

use std::collections::BTreeMap;

use syva_model::command::{ClaimFacts, Command};
use syva_model::image::ZoneId;
use syva_model::name::{Party, ZoneName};
use syva_model::state::State;

/// Which zone each container was last put into, and which zone last claimed each path: entries about a
/// container, or about claims that were looked up again, name no zone.
#[derive(Debug, Default)]
pub struct Whereabouts {
    containers: BTreeMap<String, ZoneName>,
    paths: BTreeMap<String, ZoneName>,
}

impl Whereabouts {
    /// Where a state's containers are, and whose its claims.
    pub fn of(state: &State) -> Whereabouts {
        let name = |zone: ZoneId| ZoneName::new(state.zone_label(zone)).ok();
        let members = state.members.iter();
        let containers = members.filter_map(|(id, it)| Some((id.clone(), name(it.zone)?)));
        let claims = state.claims.values().chain(state.lost.values());
        let paths = claims.filter_map(|claim| Some((claim.path.clone(), name(claim.zone)?)));
        Whereabouts {
            containers: containers.collect(),
            paths: paths.collect(),
        }
    }

    fn learn_claims(&mut self, zone: &ZoneName, claims: &[ClaimFacts]) {
        let claimed = claims.iter();
        let claimed = claimed.map(|claim| (claim.path.clone(), zone.clone()));
        self.paths.extend(claimed);
    }

    /// Whether the command is about the zone: it names it, or a container that was put into it by a
    /// command seen before.
    pub fn concerns(&mut self, command: &Command, zone: &str) -> bool {
        let named = |name: &ZoneName| name.as_str() == zone;
        let side = |party: &Party| match party {
            Party::Host => zone == syva_model::name::HOST,
            Party::Zone(name) => named(name),
        };
        match command {
            Command::RegisterZone {
                zone: registered,
                policy,
                claims,
                ..
            } => {
                self.learn_claims(registered, claims);
                let allows = policy.iter().flat_map(|policy| &policy.allowed_zones);
                named(registered) || allows.into_iter().any(side)
            }
            Command::RemoveZone { zone: it, .. }
            | Command::RemoveHostPath { zone: it, .. }
            | Command::SetZoneMode { zone: it, .. }
            | Command::AllowHostSocket { zone: it, .. }
            | Command::DenyHostSocket { zone: it, .. } => named(it),
            Command::RegisterHostPath { zone: it, claim } => {
                self.learn_claims(it, std::slice::from_ref(claim));
                named(it)
            }
            Command::Reresolve { found, lost } => {
                let found = found.iter().map(|again| &again.path);
                let mut paths = found.chain(lost.iter().map(|lost| &lost.path));
                paths.any(|path| self.paths.get(path).is_some_and(named))
            }
            Command::Link { made, gone } => {
                let mut paths = made.iter().chain(gone).map(|facts| &facts.claim);
                paths.any(|path| self.paths.get(path).is_some_and(named))
            }
            Command::AttachContainer(attach) => {
                let before = self
                    .containers
                    .insert(attach.container.clone(), attach.zone.clone());
                named(&attach.zone) || before.is_some_and(|zone| named(&zone))
            }
            Command::DetachContainer { container, .. } | Command::CgroupGone { container, .. } => {
                self.containers
                    .remove(container)
                    .is_some_and(|zone| named(&zone))
            }
            Command::AllowComm { a, b } | Command::DenyComm { a, b } => side(a) || side(b),
            Command::Boot { .. } => {
                // Its memberships are void.
                let had = self.containers.values().any(named);
                self.containers.clear();
                had
            }
            Command::SetMode { .. } | Command::Prune { .. } | Command::AcceptLoss { .. } => false,
        }
    }
}
