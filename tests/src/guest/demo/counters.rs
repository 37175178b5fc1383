//! Reads the kernel's deny counters without the daemon: finds the map by its name among all that the
//! kernel has, and reads it with bpf(2).

use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};
use syva_model::hook::Hook;

use crate::guest::Failure;

/// The map's name, and where in its value (five 64-bit counters) the denials stand.
const NAME: &str = "hook_counters";
const DENY: std::ops::Range<usize> = 8..16;

/// The counters of the one engine that runs here.
#[derive(Debug)]
pub struct DenyCounters(MapHandle);

impl DenyCounters {
    /// Finds them.
    pub fn find() -> Result<DenyCounters, Failure> {
        let ids: Vec<u32> = MapInfoIter::default()
            .filter(|map| map.name == NAME)
            .map(|map| map.id)
            .collect();
        match ids[..] {
            [id] => Ok(DenyCounters(MapHandle::from_map_id(id)?)),
            [] => Err(format!("the kernel has no map {NAME}: nothing is loaded").into()),
            _ => Err(format!("the kernel has {} maps {NAME}: two engines run", ids.len()).into()),
        }
    }

    /// How many operations each hook has refused, in the order of [`Hook::ALL`].
    pub fn read(&self) -> Result<Vec<u64>, Failure> {
        Hook::ALL.iter().map(|hook| self.of(*hook)).collect()
    }

    fn of(&self, hook: Hook) -> Result<u64, Failure> {
        let key = hook.index().to_ne_bytes();
        let cpus = self.0.lookup_percpu(&key, MapFlags::ANY)?;
        let cpus = cpus.ok_or_else(|| format!("{NAME} has no row for {}", hook.name()))?;
        let mut sum = 0;
        for value in cpus {
            let bytes = value
                .get(DENY)
                .ok_or_else(|| format!("{NAME}'s rows are too short"))?;
            sum += u64::from_ne_bytes(bytes.try_into()?);
        }
        Ok(sum)
    }
}
