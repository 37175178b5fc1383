//! What zones take of the tables that all of them share (`quota.h`): nested cgroups, and System V objects
//! and keys.
//!
//! The programs count in one map and the daemon in another, since nothing adds atomically from both sides
//! to one hash; a count is the sum of the two. It is derived from the rows, so what is wrong with it is
//! found by counting them: a crash between a row and its count, a removal by the kernel in the moment in
//! which the daemon moves the row, a map that an earlier build did not have, or somebody's hand.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use syva_model::image::{Table, ZoneId};
use syva_model::kernel::{Capacity, KernelError, Recounted, Share, ZoneUsage};

use super::read_failed;
use crate::error;
use crate::map::{Map, Put};
use crate::skel::types::{ipc_row, member_origin, member_row, usage_row, zone_row};

/// How many rows `ipc_objects` has: as in `maps.h`; the load suite compares the two.
pub(crate) const IPC_ROWS: u32 = 65_536;

/// A zone may take one row in so many, unless the operator says otherwise.
const PART: u32 = 4;

/// Zones that may have a row beside those of the capacity: limbo, and those that are just being removed.
const SPARE: u32 = 64;

/// How many rows each of the two maps has.
pub(crate) fn usage_rows(capacity: &Capacity) -> u32 {
    capacity.zones.saturating_add(SPARE)
}

/// How much of what all zones share one zone may take; what is not said is a quarter of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Cgroups that were made inside it.
    pub cgroups: Option<u32>,
    /// System V objects and keys.
    pub ipc: Option<u32>,
}

impl Quotas {
    /// The bound, where tables are as large as that.
    pub(crate) fn of(self, share: Share, capacity: &Capacity) -> u64 {
        let (said, table) = match share {
            Share::Cgroups => (self.cgroups, capacity.members),
            Share::Ipc => (self.ipc, IPC_ROWS),
        };
        u64::from(said.unwrap_or_else(|| (table / PART).max(1)))
    }
}

/// The counts, and what they are counts of.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(crate) programs: Map<u32, usage_row>,
    pub(crate) daemon: Map<u32, usage_row>,
    pub(crate) zones: Map<u32, zone_row>,
    pub(crate) ipc: Map<u64, ipc_row>,
    /// By [`Share`].
    pub(crate) quotas: [u64; 2],
    /// Held while the daemon's own map is changed.
    pub(crate) changing: Mutex<()>,
}

/// What is counted, by zone and share.
type Sums = BTreeMap<(ZoneId, Share), i64>;

/// Where the counts (first) are not the numbers of rows (second).
type Differences = BTreeMap<(ZoneId, Share), (i64, i64)>;

impl Usage {
    /// A membership row was replaced, inserted or deleted by the daemon.
    pub(crate) fn moved(
        &self,
        old: Option<&member_row>,
        new: Option<&member_row>,
    ) -> Result<(), KernelError> {
        let (old, new) = (old.and_then(counted), new.and_then(counted));
        if old == new {
            return Ok(());
        }
        for (zone, by) in old
            .map(|zone| (zone, -1))
            .into_iter()
            .chain(new.map(|zone| (zone, 1)))
        {
            self.add(zone, Share::Cgroups, by)?;
        }
        Ok(())
    }

    /// How many more the zone may have.
    pub(crate) fn room(&self, zone: ZoneId, share: Share) -> Result<u64, KernelError> {
        let mut held = 0i64;
        for map in [&self.programs, &self.daemon] {
            let row = map.get(&zone.0).map_err(|e| failed(map, &e))?;
            held = held.wrapping_add(row.map_or(0, |row| of(&row, share).cast_signed()));
        }
        let left = self.quota(share).cast_signed().saturating_sub(held);
        Ok(u64::try_from(left).unwrap_or(0))
    }

    /// What every zone holds, and was refused.
    pub(crate) fn all(&self) -> Result<Vec<ZoneUsage>, KernelError> {
        let mut refused = BTreeMap::new();
        for (zone, row) in self
            .programs
            .all()
            .map_err(|e| failed(&self.programs, &e))?
        {
            refused.insert((ZoneId(zone), Share::Cgroups), row.cgroups_refused);
            refused.insert((ZoneId(zone), Share::Ipc), row.ipc_refused);
        }
        let usage = self
            .counts()?
            .into_iter()
            .map(|((zone, share), held)| ZoneUsage {
                zone,
                share,
                held: u64::try_from(held).unwrap_or(0),
                refused: refused.get(&(zone, share)).copied().unwrap_or(0),
                quota: self.quota(share),
            });
        Ok(usage.collect())
    }

    /// A zone takes its counts with it.
    pub(crate) fn forget(&self, zone: ZoneId) -> Result<(), KernelError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for map in [&self.programs, &self.daemon] {
            map.delete(&zone.0).map_err(|e| failed(map, &e))?;
        }
        Ok(())
    }

    /// Counts the rows, and corrects what is counted wrong. What is under way while it looks (a count comes
    /// before its row) is no fault; so it looks twice, and takes what it finds both times.
    pub(crate) fn recount(
        &self,
        members: &Map<u64, member_row>,
    ) -> Result<Vec<Recounted>, KernelError> {
        let first = self.differences(members)?;
        if first.is_empty() {
            return Ok(Vec::new());
        }
        let second = self.differences(members)?;
        let mut corrected = Vec::new();
        for (key, (counted, rows)) in second {
            let by = rows - counted;
            if first
                .get(&key)
                .is_none_or(|(counted, rows)| rows - counted != by)
            {
                continue;
            }
            let (zone, share) = key;
            self.add(zone, share, by)?;
            corrected.push(Recounted {
                zone,
                share,
                counted,
                rows,
            });
        }
        Ok(corrected)
    }

    /// For zones that there are: what is left of others is nobody's.
    fn differences(&self, members: &Map<u64, member_row>) -> Result<Differences, KernelError> {
        let counts = self.counts()?;
        let rows = self.rows(members)?;
        let zones = self
            .zones
            .all()
            .map_err(|e| read_failed(Table::Zones, &e))?;
        let there = zones
            .into_iter()
            .map(|(id, _)| ZoneId(id))
            .chain([ZoneId::LIMBO]);
        let keys = there.flat_map(|zone| Share::ALL.map(|share| (zone, share)));
        let both = keys.map(|key| {
            let number = |sums: &Sums| sums.get(&key).copied().unwrap_or(0);
            (key, (number(&counts), number(&rows)))
        });
        Ok(both
            .filter(|(_, (counted, rows))| counted != rows)
            .collect())
    }

    fn counts(&self) -> Result<Sums, KernelError> {
        let mut sums = Sums::new();
        for map in [&self.programs, &self.daemon] {
            for (zone, row) in map.all().map_err(|e| failed(map, &e))? {
                for share in Share::ALL {
                    let sum = sums.entry((ZoneId(zone), share)).or_default();
                    *sum = sum.wrapping_add(of(&row, share).cast_signed());
                }
            }
        }
        Ok(sums)
    }

    fn rows(&self, members: &Map<u64, member_row>) -> Result<Sums, KernelError> {
        let mut sums = Sums::new();
        let held = members.all().map_err(|e| read_failed(Table::Members, &e))?;
        for zone in held.iter().filter_map(|(_, row)| counted(row)) {
            *sums.entry((zone, Share::Cgroups)).or_default() += 1;
        }
        let made = self.ipc.all().map_err(|e| failed(&self.ipc, &e))?;
        for (_, row) in made {
            *sums.entry((ZoneId(row.zone), Share::Ipc)).or_default() += 1;
        }
        Ok(sums)
    }

    /// As the programs do, only for a zone that there is.
    fn add(&self, zone: ZoneId, share: Share, by: i64) -> Result<(), KernelError> {
        let there = self.zones.get(&zone.0);
        let there = there.map_err(|e| read_failed(Table::Zones, &e))?;
        if there.is_none() && zone != ZoneId::LIMBO {
            return Ok(());
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self
            .daemon
            .get(&zone.0)
            .map_err(|e| failed(&self.daemon, &e))?;
        let mut row = held.unwrap_or(usage_row {
            zone: zone.0,
            ..usage_row::default()
        });
        let word = match share {
            Share::Cgroups => &mut row.cgroups,
            Share::Ipc => &mut row.ipc,
        };
        *word = word.wrapping_add_signed(by);
        self.daemon.put(&zone.0, &row, Put::Any).map_err(|e| {
            error::from_io(
                "write to map",
                format!("{}, zone {zone}", self.daemon.name()),
                &e,
            )
        })
    }

    fn quota(&self, share: Share) -> u64 {
        let [cgroups, ipc] = self.quotas;
        match share {
            Share::Cgroups => cgroups,
            Share::Ipc => ipc,
        }
    }
}

/// The zone that the row counts for: the journal's own are bounded at admission.
fn counted(row: &member_row) -> Option<ZoneId> {
    (row.origin != member_origin::ORIGIN_JOURNAL.0).then_some(ZoneId(row.zone))
}

fn of(row: &usage_row, share: Share) -> u64 {
    match share {
        Share::Cgroups => row.cgroups,
        Share::Ipc => row.ipc,
    }
}

fn failed<K: crate::pod::Pod, V: crate::pod::Pod>(
    map: &Map<K, V>,
    e: &std::io::Error,
) -> KernelError {
    error::from_io("use map", map.name(), e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_may_take_a_quarter_unless_the_operator_says_otherwise() {
        let capacity = Capacity {
            members: 100,
            ..Capacity::default()
        };
        let unsaid = Quotas::default();
        assert_eq!(unsaid.of(Share::Cgroups, &capacity), 25);
        assert_eq!(unsaid.of(Share::Ipc, &capacity), 16_384);
        let said = Quotas {
            cgroups: Some(7),
            ipc: Some(9),
        };
        assert_eq!(said.of(Share::Cgroups, &capacity), 7);
        assert_eq!(said.of(Share::Ipc, &capacity), 9);
        let tiny = Capacity {
            members: 1,
            ..capacity
        };
        assert_eq!(unsaid.of(Share::Cgroups, &tiny), 1);
    }
}
