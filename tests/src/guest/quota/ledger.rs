//! What zones are counted to have, and what they have: read from the kernel's maps, past the daemon.

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::daemon::Setup;
use crate::guest::maps::loaded;
use crate::guest::{Checks, Failure};

/// The zones of the stage, in the order in which it registers them.
pub const WEB: u32 = 1;
pub const DB: u32 = 2;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Cgroups,
    Ipc,
}

impl Share {
    /// Where its count is in a row of `zone_usage`.
    pub fn at(self) -> usize {
        match self {
            Share::Cgroups => 8,
            Share::Ipc => 24,
        }
    }
}

/// The maps, and how much has been repaired that was expected to be.
pub struct Ledger {
    pub programs: MapHandle,
    pub daemon: MapHandle,
    members: MapHandle,
    objects: MapHandle,
    /// Differences that were made on purpose since the daemon started.
    pub drifted: u64,
}

impl Ledger {
    /// Of the daemon that runs.
    pub fn open(daemon: &Setup) -> Result<Ledger, Failure> {
        let ledger = Ledger {
            programs: loaded("zone_usage")?,
            daemon: loaded("usage_by_daemon")?,
            members: loaded("members")?,
            objects: loaded("ipc_objects")?,
            drifted: 0,
        };
        let drifted = drift(daemon)?;
        Ok(Ledger { drifted, ..ledger })
    }

    /// How many the zone is counted to have.
    pub fn counted(&self, zone: u32, share: Share) -> Result<u64, Failure> {
        let mut sum = 0u64;
        for map in [&self.programs, &self.daemon] {
            if let Some(row) = map.lookup(&zone.to_ne_bytes(), MapFlags::ANY)? {
                sum = sum.wrapping_add(word(&row, share.at())?);
            }
        }
        Ok(sum)
    }

    /// How often the zone was refused more.
    pub fn refused(&self, zone: u32, share: Share) -> Result<u64, Failure> {
        let row = self.programs.lookup(&zone.to_ne_bytes(), MapFlags::ANY)?;
        row.map_or(Ok(0), |row| word(&row, share.at() + 8))
    }

    /// How many rows there are.
    pub fn rows(&self, zone: u32, share: Share) -> Result<u64, Failure> {
        // Where the zone is, and where what says that the kernel made the row: `types.h`.
        let (map, at, born) = match share {
            Share::Cgroups => (&self.members, 8, Some(12)),
            Share::Ipc => (&self.objects, 16, None),
        };
        let mut rows = 0;
        for key in map.keys() {
            let Some(row) = map.lookup(&key, MapFlags::ANY)? else {
                continue;
            };
            let is =
                |at: usize, number: u32| row.get(at..at + 4) == Some(&number.to_ne_bytes()[..]);
            rows += u64::from(is(at, zone) && born.is_none_or(|born| is(born, 1)));
        }
        Ok(rows)
    }

    /// The counts are the numbers of the rows, and web has that many.
    pub fn agrees(
        &self,
        checks: &mut Checks,
        when: &str,
        share: Share,
        web: u64,
    ) -> Result<(), Failure> {
        for zone in [WEB, DB] {
            let (counted, rows) = (self.counted(zone, share)?, self.rows(zone, share)?);
            checks.equal(
                format!("{when}, zone {zone} is counted to have the {share:?} that it has"),
                &counted,
                &rows,
            );
        }
        let held = self.rows(WEB, share)?;
        checks.equal(format!("{when}, web has so many {share:?}"), &held, &web);
        Ok(())
    }

    /// Nothing was repaired that was right.
    pub fn no_drift(&self, checks: &mut Checks, daemon: &Setup, when: &str) -> Result<(), Failure> {
        let claim = format!("{when}, nothing has drifted by itself");
        checks.equal(claim, &drift(daemon)?, &self.drifted);
        Ok(())
    }
}

/// How many differences the daemon has repaired.
pub fn drift(daemon: &Setup) -> Result<u64, Failure> {
    let status = daemon.done(&["status"])?;
    let repaired = status.json()["drift_repaired"].as_u64();
    Ok(repaired.ok_or("no drift_repaired")?)
}

/// Why the daemon is not healthy, in words.
pub fn reasons(daemon: &Setup) -> Result<String, Failure> {
    let status = daemon.done(&["status"])?;
    Ok(status.json()["degraded_reasons"].to_string())
}

fn word(row: &[u8], at: usize) -> Result<u64, Failure> {
    let bytes = row.get(at..at + 8).ok_or("the row is too short")?;
    Ok(u64::from_ne_bytes(bytes.try_into()?))
}
