//! The atlas: what ids and objects are called, for whoever explains an event to a person.
//!
//! The writer keeps it up row by row; the fan-out reads it without waiting for a flush.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use syva_model::fold::Touched;
use syva_model::image::{ObjectKey, ZoneId};
use syva_model::name::placeholder;
use syva_model::state::State;

/// Names of zones and paths of claims.
#[derive(Clone, Debug, Default)]
pub struct Atlas(Arc<RwLock<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    zones: BTreeMap<ZoneId, String>,
    claims: BTreeMap<ObjectKey, String>,
}

impl Atlas {
    /// Forgets everything and learns a whole state.
    pub fn learn(&self, state: &State) {
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pages.zones = state
            .zones
            .iter()
            .map(|(name, z)| (z.id, name.to_string()))
            .collect();
        let held = state.claims.iter().map(|(key, c)| (*key, c.path.clone()));
        pages.claims = held.chain(state.former_objects()).collect();
    }

    /// Learns what entries have touched.
    pub fn follow(&self, state: &State, touched: &Touched) {
        if touched.zones.is_empty() && touched.claims.is_empty() {
            return;
        }
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for id in &touched.zones {
            match state.zone_by_id(*id) {
                Some(_) => pages.zones.insert(*id, state.zone_label(*id)),
                None => pages.zones.remove(id),
            };
        }
        for key in &touched.claims {
            match state.claim_on(*key) {
                Some(claim) => pages.claims.insert(*key, claim.path.clone()),
                None => pages.claims.remove(key),
            };
        }
    }

    /// The zone's name, `host`, `zone-N` if it is gone, or what no zone can be called.
    pub fn zone(&self, id: ZoneId) -> String {
        if id == ZoneId::ENGINE {
            return "the engine".into();
        }
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pages
            .zones
            .get(&id)
            .cloned()
            .unwrap_or_else(|| placeholder(id))
    }

    /// The path of the claim on that object.
    pub fn claim(&self, key: &ObjectKey) -> Option<String> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .claims
            .get(key)
            .cloned()
    }
}
