//! Files that were linked out of claims (`link.h`).

use std::io;
use std::sync::atomic::Ordering;

use syva_model::image::ObjectKey;
use syva_model::kernel::{KernelError, LinkStore, Linked};

use super::{key_from, key_to};
use crate::error;
use crate::map::{Map, Put};
use crate::mapped::Mapped;
use crate::pod::{text_of, zeroed};
use crate::skel::types::{link_row, object_key};

/// The row that says that the map was restored. No object has this key.
const RESTORED: ObjectKey = ObjectKey {
    dev: 0,
    ino: 0,
    subvol: 0,
};

/// The map, and the epoch under which the programs cache labels.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) map: Map<object_key, link_row>,
    /// `move_epoch`.
    pub(crate) moves: Mapped,
}

impl LinkStore for Links {
    fn is_restored(&self) -> Result<bool, KernelError> {
        let row = self.map.get(&key_to(&RESTORED));
        Ok(row.map_err(|e| self.failed("read map", &e))?.is_some())
    }

    fn held(&self) -> Result<Vec<Linked>, KernelError> {
        let rows = self.map.all().map_err(|e| self.failed("read map", &e))?;
        let objects = rows.iter().map(|(key, row)| (key_from(key), row));
        let mut held: Vec<Linked> = objects
            .filter(|(object, _)| *object != RESTORED)
            .map(|(object, row)| Linked {
                object,
                generation: row.generation,
                claim: key_from(&row.claim),
                claim_generation: row.claim_generation,
                name: text_of(&row.name),
            })
            .collect();
        held.sort_unstable();
        Ok(held)
    }

    fn restore(&self, linked: &[Linked]) -> Result<(), KernelError> {
        for linked in linked {
            self.put(&row_of(linked))?;
        }
        self.put(&zeroed())?;
        // Labels that were found without these rows are in the cache.
        let epoch = self
            .moves
            .word(0)
            .ok_or_else(|| error::here("advance", "the map move_epoch", "it holds no word", ""))?;
        epoch.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn forget(&self, linked: &[Linked]) -> Result<(), KernelError> {
        for linked in linked {
            let key = key_to(&linked.object);
            let failed = |e| self.failed("write to map", &e);
            let held = self.map.get(&key).map_err(failed)?;
            let is_it = |row: &link_row| {
                row.generation == linked.generation && key_from(&row.claim) == linked.claim
            };
            if held.is_some_and(|row| is_it(&row)) {
                self.map.delete(&key).map_err(failed)?;
            }
        }
        Ok(())
    }
}

impl Links {
    /// What the kernel has written meanwhile is newer.
    fn put(&self, row: &link_row) -> Result<(), KernelError> {
        match self.map.put(&row.key, row, Put::New) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.failed("write to map", &e))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, operation: &'static str, e: &io::Error) -> KernelError {
        let mut error = error::from_io(operation, self.map.name(), e);
        if e.kind() == io::ErrorKind::ArgumentListTooLong {
            error.remedy = "the map is full: raise the capacity of claims".into();
        }
        error
    }
}

fn row_of(linked: &Linked) -> link_row {
    let mut row = link_row {
        key: key_to(&linked.object),
        claim: key_to(&linked.claim),
        generation: linked.generation,
        claim_generation: linked.claim_generation,
        ..zeroed()
    };
    let room = row.name.len() - 1;
    for (to, from) in row.name.iter_mut().take(room).zip(linked.name.bytes()) {
        *to = from.cast_signed();
    }
    row
}
