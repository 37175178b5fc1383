//! Allowed pairs: one row for both directions.

use syva_model::image::{MapWrite, Pair, Table, ZoneId};
use syva_model::kernel::{KernelError, Rows, TableStore};

use super::{not_mine, read_failed, write_failed};
use crate::map::{Map, Put};
use crate::skel::types::pair_row;

/// The map.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) map: Map<pair_row, pair_row>,
}

fn raw(pair: Pair) -> pair_row {
    pair_row {
        low: pair.low().0,
        high: pair.high().0,
    }
}

fn named(pair: Pair) -> String {
    format!("zones {} and {}", pair.low(), pair.high())
}

impl TableStore for Pairs {
    fn table(&self) -> Table {
        Table::Pairs
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let (pair, result) = match step {
            MapWrite::PutPair(pair) => (pair, self.map.put(&raw(*pair), &raw(*pair), Put::Any)),
            MapWrite::DropPair(pair) => (pair, self.map.delete(&raw(*pair)).map(drop)),
            other => return Err(not_mine(Table::Pairs, other)),
        };
        result.map_err(|e| write_failed(Table::Pairs, named(*pair), &e))
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let rows = self.map.all().map_err(|e| read_failed(Table::Pairs, &e))?;
        Ok(Rows::Pairs(
            rows.into_iter()
                .map(|(pair, _)| Pair::new(ZoneId(pair.low), ZoneId(pair.high)))
                .collect(),
        ))
    }
}
