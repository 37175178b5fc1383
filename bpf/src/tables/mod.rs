//! The policy maps, each behind the seam's [`TableStore`](syva_model::kernel::TableStore).

mod claims;
mod filter;
mod host_sockets;
mod links;
mod members;
mod pairs;
mod usage;
mod zones;

pub(crate) use claims::Claims;
pub(crate) use filter::MemberFilter;
pub(crate) use host_sockets::{HostSockets, path_from};
pub(crate) use links::Links;
pub(crate) use members::Members;
pub(crate) use pairs::Pairs;
pub use usage::Quotas;
pub(crate) use usage::{Usage, usage_rows};
pub(crate) use zones::Zones;

use std::fmt::Display;
use std::io;

use syva_model::image::{MapWrite, ObjectKey, Table};
use syva_model::kernel::KernelError;

use crate::error;
use crate::skel::types::object_key;

/// The seam's key of the kernel's.
pub(crate) fn key_from(key: &object_key) -> ObjectKey {
    ObjectKey {
        dev: key.dev,
        ino: key.ino,
        subvol: key.subvol,
    }
}

fn key_to(key: &ObjectKey) -> object_key {
    object_key {
        dev: key.dev,
        pad: 0,
        ino: key.ino,
        subvol: key.subvol,
    }
}

fn write_failed(table: Table, row: impl Display, e: &io::Error) -> KernelError {
    let mut error = error::from_io("write to map", format!("{}, {row}", table.name()), e);
    if e.kind() == io::ErrorKind::ArgumentListTooLong {
        error.remedy = format!("the map is full: raise the capacity of {}", table.name());
    }
    error
}

fn read_failed(table: Table, e: &io::Error) -> KernelError {
    error::from_io("read map", table.name(), e)
}

/// A plan's step for another map.
fn not_mine(table: Table, step: &MapWrite) -> KernelError {
    error::here(
        "write to map",
        table.name(),
        format!("the step {step:?} belongs to map {}", step.table().name()),
        "this is a bug; report it",
    )
}
