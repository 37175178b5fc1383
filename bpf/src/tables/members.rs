//! Memberships: rows of the journal's, and rows the kernel derived from them.

use std::io;
use std::sync::Arc;

use syva_model::image::{CgroupId, MapWrite, MemberRow, Origin, Table, ZoneId};
use syva_model::kernel::{KernelError, Pulled, Recounted, Rows, Share, TableStore};

use super::{MemberFilter, Usage, not_mine, read_failed, write_failed};
use crate::error;
use crate::map::{Map, Put};
use crate::skel::types::{member_origin, member_row, pulled_row};

/// The map, the filter in front of it, and what zones have of it.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) map: Map<u64, member_row>,
    pub(crate) filter: Arc<MemberFilter>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) pulled: Map<u32, pulled_row>,
}

/// How often a row may be made and removed by the kernel while it is being replaced.
const ATTEMPTS: usize = 16;

impl Members {
    /// Inserts a row where there is none, by the filter's rule. Whether there was none.
    fn insert(&self, id: CgroupId, row: &member_row) -> Result<bool, KernelError> {
        self.filter.add(id.0)?;
        match self.map.put(&id.0, row, Put::New) {
            Ok(()) => Ok(true),
            Err(e) => {
                self.filter.subtract(id.0)?;
                if e.kind() == io::ErrorKind::AlreadyExists {
                    return Ok(false);
                }
                Err(write_failed(Table::Members, cgroup(id), &e))
            }
        }
    }

    fn put(&self, id: CgroupId, row: MemberRow) -> Result<(), KernelError> {
        let raw = raw(id, row);
        for _ in 0..ATTEMPTS {
            let Some(old) = self.get(id)? else {
                if self.insert(id, &raw)? {
                    return self.usage.moved(None, Some(&raw));
                }
                continue;
            };
            // A replaced row keeps its place in the filter.
            match self.map.put(&id.0, &raw, Put::Existing) {
                Ok(()) => return self.usage.moved(Some(&old), Some(&raw)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(write_failed(Table::Members, cgroup(id), &e)),
            }
        }
        let busy = io::Error::from(io::ErrorKind::ResourceBusy);
        Err(write_failed(Table::Members, cgroup(id), &busy))
    }

    fn drop(&self, id: CgroupId) -> Result<(), KernelError> {
        let old = self.get(id)?;
        let deleted = self
            .map
            .delete(&id.0)
            .map_err(|e| write_failed(Table::Members, cgroup(id), &e))?;
        if deleted {
            self.filter.subtract(id.0)?;
            self.usage.moved(old.as_ref(), None)?;
        }
        Ok(())
    }

    fn get(&self, id: CgroupId) -> Result<Option<member_row>, KernelError> {
        self.map
            .get(&id.0)
            .map_err(|e| read_failed(Table::Members, &e))
    }
}

fn cgroup(id: CgroupId) -> String {
    format!("cgroup {id}")
}

fn raw(id: CgroupId, row: MemberRow) -> member_row {
    member_row {
        cgroup: id.0,
        zone: row.zone.0,
        origin: match row.origin {
            Origin::Journal => member_origin::ORIGIN_JOURNAL.0,
            Origin::Kernel => member_origin::ORIGIN_KERNEL.0,
        },
        root: row.root.0,
    }
}

impl TableStore for Members {
    fn table(&self) -> Table {
        Table::Members
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let outcome = match step {
            MapWrite::PutMember(id, row) => self.put(*id, *row),
            MapWrite::DropMember(id) => self.drop(*id),
            other => return Err(not_mine(Table::Members, other)),
        };
        // Also after a failure, which may have come after the change.
        self.filter.changed().and(outcome)
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        Ok(self.get(id)?.map(|row| cooked(&row)))
    }

    fn room(&mut self, zone: ZoneId) -> Result<u64, KernelError> {
        self.usage.room(zone, Share::Cgroups)
    }

    fn pulled(&mut self) -> Result<Vec<Pulled>, KernelError> {
        let rows = self.pulled.all();
        let rows = rows.map_err(|e| error::from_io("read map", self.pulled.name(), &e))?;
        let row = |(pid, row): (u32, pulled_row)| Pulled {
            pid,
            home: CgroupId(row.home),
            into: CgroupId(row.into),
            since_ns: row.since,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    fn forget_pulled(&mut self, pulled: &Pulled) -> Result<(), KernelError> {
        let failed = |e: io::Error| error::from_io("write to map", self.pulled.name(), &e);
        let held = self.pulled.get(&pulled.pid).map_err(failed)?;
        // Pulled again meanwhile, it is to be moved back again.
        if held.is_some_and(|row| (row.into, row.since) == (pulled.into.0, pulled.since_ns)) {
            self.pulled.delete(&pulled.pid).map_err(failed)?;
        }
        Ok(())
    }

    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        self.usage.recount(&self.map)
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let rows = self
            .map
            .all()
            .map_err(|e| read_failed(Table::Members, &e))?;
        Ok(Rows::Members(
            rows.iter()
                .map(|(id, row)| (CgroupId(*id), cooked(row)))
                .collect(),
        ))
    }
}

fn cooked(row: &member_row) -> MemberRow {
    let origin = match member_origin(row.origin) {
        member_origin::ORIGIN_JOURNAL => Origin::Journal,
        _ => Origin::Kernel,
    };
    MemberRow {
        zone: ZoneId(row.zone),
        root: CgroupId(row.root),
        origin,
    }
}
