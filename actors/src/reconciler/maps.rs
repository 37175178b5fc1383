//! The maps, as the reconciler needs them, and how a plan is enforced on them.

use std::collections::BTreeMap;

use syva_model::image::{CgroupId, Image, MapWrite, MemberRow, Mode, Origin, Table};
use syva_model::kernel::{KernelError, Rows};
use syva_model::plan::Diff;

use crate::membership::Checked;
use crate::role::TABLES;

/// The kernel's maps, each behind whoever owns it.
pub trait Maps {
    /// A plan up to that entry begins.
    ///
    /// # Errors
    /// The kernel side's.
    fn begin(&mut self, seq: u64) -> Result<(), KernelError>;

    /// Labels cached so far are stale.
    ///
    /// # Errors
    /// The kernel side's.
    fn advance_epoch(&mut self) -> Result<(), KernelError>;

    /// The plan up to that entry is written. Returns once programs that began before have ended.
    ///
    /// # Errors
    /// The kernel side's.
    fn finish(&mut self, seq: u64, mode: Mode) -> Result<(), KernelError>;

    /// Writes steps for one map, members' and control's excepted, in order, up to the first that
    /// fails.
    ///
    /// # Errors
    /// The kernel side's.
    fn write(&mut self, table: Table, steps: &[MapWrite]) -> Result<(), KernelError>;

    /// Writes memberships, with what they mean for the cgroups below.
    ///
    /// # Errors
    /// The kernel side's.
    fn label(&mut self, steps: &[MapWrite]) -> Result<(), KernelError>;

    /// Reads the row of one cgroup, kernel-born ones included.
    ///
    /// # Errors
    /// The kernel side's.
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError>;

    /// Reads every row of a map.
    ///
    /// # Errors
    /// The kernel side's.
    fn rows(&mut self, table: Table) -> Result<Rows, KernelError>;

    /// Checks the kernel-born rows, given the roots there should be, and puts them right.
    ///
    /// # Errors
    /// The kernel side's.
    fn check(&mut self, roots: &BTreeMap<CgroupId, MemberRow>) -> Result<Checked, KernelError>;
}

/// The change, with the zones that cgroups which join are in by inheritance. The journal knows nothing of
/// those, and to a plan they are not the host's that join but others' that move.
///
/// # Errors
/// The kernel side's.
pub fn with_inherited(maps: &mut dyn Maps, diff: &Diff) -> Result<Diff, KernelError> {
    let mut diff = diff.clone();
    for change in &mut diff.members {
        if change.old.is_none() && change.new.is_some() {
            // Parked it stands by itself, as it will.
            let (root, origin) = (change.key, Origin::Journal);
            let born = maps.member(change.key)?;
            change.old = born.map(|row| MemberRow {
                root,
                origin,
                ..row
            });
        }
    }
    Ok(diff)
}

/// Runs a plan: runs of steps for the same map go there together, in order.
///
/// # Errors
/// The kernel side's: what was written before stays, and only a comparison can tell how far it came.
pub fn enforce(
    maps: &mut dyn Maps,
    steps: &[MapWrite],
    seq: u64,
    mode: Mode,
) -> Result<(), KernelError> {
    maps.begin(seq)?;
    for run in steps.chunk_by(|a, b| a.table() == b.table()) {
        fail::fail_point!("reconciler-between-steps", |_| std::process::abort());
        let table = run.first().map_or(Table::Control, MapWrite::table);
        let (map, steps) = (table.name(), run.len());
        let _span = tracing::debug_span!("map.write", syva.map = map, syva.steps = steps).entered();
        match table {
            Table::Control => maps.advance_epoch()?,
            Table::Members => maps.label(run)?,
            _ => maps.write(table, run)?,
        }
    }
    maps.finish(seq, mode)
}

/// Reads the maps as an image, kernel-born rows left out: those are the membership actor's. One that
/// stands where a journal's row should is overwritten by it.
///
/// # Errors
/// The kernel side's.
pub fn read(maps: &mut dyn Maps) -> Result<Image, KernelError> {
    let mut image = Image::default();
    for table in TABLES {
        match maps.rows(table)? {
            Rows::Zones(rows) => image.zones.extend(rows),
            Rows::Claims(rows) => image.claims.extend(rows),
            Rows::Pairs(rows) => image.pairs.extend(rows),
            Rows::HostSockets(rows) => image.host_sockets.extend(rows),
            Rows::Members(rows) => {
                let roots = rows
                    .into_iter()
                    .filter(|(_, row)| row.origin == Origin::Journal);
                image.members.extend(roots);
            }
        }
    }
    Ok(image)
}
