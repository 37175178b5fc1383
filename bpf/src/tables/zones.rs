//! Zone rows: a zone's flags as a caller.

use std::sync::Arc;

use syva_model::image::{MapWrite, Table, ZoneId, ZoneRow};
use syva_model::kernel::{KernelError, Rows, TableStore};

use super::{Usage, not_mine, read_failed, write_failed};
use crate::map::{Map, Put};
use crate::skel::types::{zone_flag, zone_row};

/// The map, and what is counted by zone.
#[derive(Debug)]
pub(crate) struct Zones {
    pub(crate) map: Map<u32, zone_row>,
    pub(crate) usage: Arc<Usage>,
}

fn raw(id: ZoneId, row: ZoneRow) -> zone_row {
    let mut flags = 0;
    for (set, flag) in [
        (row.privileged, zone_flag::ZONE_FLAG_PRIVILEGED),
        (row.audit, zone_flag::ZONE_FLAG_AUDIT),
        (row.allow_ptrace, zone_flag::ZONE_FLAG_PTRACE),
    ] {
        if set {
            flags |= flag.0;
        }
    }
    zone_row { id: id.0, flags }
}

fn row(raw: &zone_row) -> ZoneRow {
    let set = |flag: zone_flag| raw.flags & flag.0 != 0;
    ZoneRow {
        privileged: set(zone_flag::ZONE_FLAG_PRIVILEGED),
        audit: set(zone_flag::ZONE_FLAG_AUDIT),
        allow_ptrace: set(zone_flag::ZONE_FLAG_PTRACE),
    }
}

impl TableStore for Zones {
    fn table(&self) -> Table {
        Table::Zones
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let (id, result) = match step {
            MapWrite::PutZone(id, row) => (id, self.map.put(&id.0, &raw(*id, *row), Put::Any)),
            MapWrite::DropZone(id) => (id, self.map.delete(&id.0).map(drop)),
            other => return Err(not_mine(Table::Zones, other)),
        };
        result.map_err(|e| write_failed(Table::Zones, format!("zone {id}"), &e))?;
        match step {
            MapWrite::DropZone(id) => self.usage.forget(*id),
            _ => Ok(()),
        }
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let rows = self.map.all().map_err(|e| read_failed(Table::Zones, &e))?;
        Ok(Rows::Zones(
            rows.into_iter()
                .map(|(id, raw)| (ZoneId(id), row(&raw)))
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_survives_the_round_trip() {
        for bits in 0..8u8 {
            let flags = ZoneRow {
                privileged: bits & 1 != 0,
                audit: bits & 2 != 0,
                allow_ptrace: bits & 4 != 0,
            };
            assert_eq!(row(&raw(ZoneId(7), flags)), flags);
        }
    }
}
