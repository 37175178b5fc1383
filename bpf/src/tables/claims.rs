//! Claims, and beside them the devices that hold any.

use std::collections::BTreeMap;

use syva_model::image::{ClaimRow, MapWrite, ObjectKey, Scope, Table, ZoneId};
use syva_model::kernel::{KernelError, Rows, TableStore};

use super::{key_from, key_to, not_mine, read_failed, write_failed};
use crate::error;
use crate::map::{Map, Put};
use crate::skel::types::{claim_row, claim_scope, object_key};

/// The maps, and how many claims each device holds.
#[derive(Debug)]
pub(crate) struct Claims {
    map: Map<object_key, claim_row>,
    devices: Map<u32, u32>,
    by_device: BTreeMap<u32, u64>,
}

impl Claims {
    /// Counts what the map holds already: a restarted owner finds it as the former one left it.
    pub(crate) fn new(
        map: Map<object_key, claim_row>,
        devices: Map<u32, u32>,
    ) -> Result<Self, KernelError> {
        let mut by_device = BTreeMap::new();
        for (key, _) in map.all().map_err(|e| read_failed(Table::Claims, &e))? {
            *by_device.entry(key.dev).or_insert(0) += 1;
        }
        Ok(Claims {
            map,
            devices,
            by_device,
        })
    }

    /// The device comes before its first claim: where none is said to be, nobody looks for one.
    fn put(&mut self, key: &ObjectKey, row: &ClaimRow) -> Result<(), KernelError> {
        let raw_key = key_to(key);
        let raw = claim_row {
            key: raw_key,
            zone: row.zone.0,
            scope: match row.scope {
                Scope::Exact => claim_scope::SCOPE_EXACT.0,
                Scope::Subtree => claim_scope::SCOPE_SUBTREE.0,
            },
            generation: row.generation,
        };
        let failed = |e| write_failed(Table::Claims, key, &e);
        let new = self.map.get(&raw_key).map_err(failed)?.is_none();
        if !self.by_device.contains_key(&key.dev) {
            self.devices
                .put(&key.dev, &key.dev, Put::Any)
                .map_err(|e| device_failed(key.dev, &e))?;
        }
        let written = self.map.put(&raw_key, &raw, Put::Any).map_err(failed);
        if written.is_ok() && new {
            *self.by_device.entry(key.dev).or_insert(0) += 1;
        } else if !self.by_device.contains_key(&key.dev) {
            self.forget_device(key.dev)?;
        }
        written
    }

    /// The device goes after its last claim.
    fn drop(&mut self, key: &ObjectKey) -> Result<(), KernelError> {
        let deleted = self
            .map
            .delete(&key_to(key))
            .map_err(|e| write_failed(Table::Claims, key, &e))?;
        if !deleted {
            return Ok(());
        }
        let left = self.by_device.entry(key.dev).or_insert(1);
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.by_device.remove(&key.dev);
            self.forget_device(key.dev)?;
        }
        Ok(())
    }

    fn forget_device(&self, dev: u32) -> Result<(), KernelError> {
        self.devices
            .delete(&dev)
            .map(drop)
            .map_err(|e| device_failed(dev, &e))
    }
}

fn device_failed(dev: u32, e: &std::io::Error) -> KernelError {
    let device = format!("claimed_devs, {}:{}", dev >> 20, dev & 0xf_ffff);
    error::from_io("write to map", device, e)
}

impl TableStore for Claims {
    fn table(&self) -> Table {
        Table::Claims
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        match step {
            MapWrite::PutClaim(key, row) => self.put(key, row),
            MapWrite::DropClaim(key) => self.drop(key),
            other => Err(not_mine(Table::Claims, other)),
        }
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let rows = self.map.all().map_err(|e| read_failed(Table::Claims, &e))?;
        Ok(Rows::Claims(
            rows.into_iter()
                .map(|(key, row)| {
                    let row = ClaimRow {
                        zone: ZoneId(row.zone),
                        scope: match claim_scope(row.scope) {
                            claim_scope::SCOPE_EXACT => Scope::Exact,
                            _ => Scope::Subtree,
                        },
                        generation: row.generation,
                        depth: 0,
                    };
                    (key_from(&key), row)
                })
                .collect(),
        ))
    }
}
