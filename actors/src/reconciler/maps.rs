//! The maps, as the reconciler needs them, and how a plan is enforced on them.

use std::collections::{BTreeMap, BTreeSet};

use syva_model::image::{CgroupId, Image, MapWrite, MemberRow, Mode, Table};
use syva_model::kernel::{KernelError, Linked, Recounted, Rows};
use syva_model::plan::Diff;

use crate::membership::Survey;
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

    /// Writes memberships, with what they mean for the cgroups below that the plan has not `named`.
    ///
    /// # Errors
    /// The kernel side's.
    fn label(&mut self, steps: &[MapWrite], named: &BTreeSet<CgroupId>) -> Result<(), KernelError>;

    /// Reads the row of one cgroup, kernel-born ones included.
    ///
    /// # Errors
    /// The kernel side's.
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError>;

    /// Reads every row of a map, members' excepted.
    ///
    /// # Errors
    /// The kernel side's.
    fn rows(&mut self, table: Table) -> Result<Rows, KernelError>;

    /// The rows that cgroups have from the roots above them.
    ///
    /// # Errors
    /// The kernel side's.
    fn inherited(
        &mut self,
        roots: &BTreeMap<CgroupId, MemberRow>,
        cgroups: &[CgroupId],
    ) -> Result<BTreeMap<CgroupId, MemberRow>, KernelError>;

    /// Writes these, if the kernel's own record of them was made anew.
    ///
    /// # Errors
    /// The kernel side's.
    fn restore_links(&mut self, linked: &[Linked]) -> Result<(), KernelError>;

    /// Compares what zones are counted to have with the rows, and corrects the counts.
    ///
    /// # Errors
    /// The kernel side's.
    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError>;

    /// Reads every membership, and which there should be, given the roots.
    ///
    /// # Errors
    /// The kernel side's.
    fn survey(&mut self, roots: &BTreeMap<CgroupId, MemberRow>) -> Result<Survey, KernelError>;
}

/// The change to these roots, with the zones that cgroups which join or leave are in by inheritance. The
/// journal knows nothing of those, and to a plan they do not come from the host or go there, but move.
///
/// # Errors
/// The kernel side's.
pub fn with_inherited(
    maps: &mut dyn Maps,
    diff: &Diff,
    roots: &BTreeMap<CgroupId, MemberRow>,
) -> Result<Diff, KernelError> {
    let mut diff = diff.clone();
    let leaving = diff.members.iter().filter(|change| change.new.is_none());
    let leaving: Vec<CgroupId> = leaving.map(|change| change.key).collect();
    let heirs = match leaving.is_empty() {
        true => BTreeMap::new(),
        false => maps.inherited(roots, &leaving)?,
    };
    for change in &mut diff.members {
        match (change.old, change.new) {
            (None, _) => change.old = maps.member(change.key)?,
            (_, None) => change.new = heirs.get(&change.key).copied(),
            _ => {}
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
    let named = steps.iter().filter_map(|step| match step {
        MapWrite::PutMember(id, _) | MapWrite::DropMember(id) => Some(*id),
        _ => None,
    });
    let named: BTreeSet<CgroupId> = named.collect();
    for run in steps.chunk_by(|a, b| a.table() == b.table()) {
        fail::fail_point!("reconciler-between-steps", |_| std::process::abort());
        let table = run.first().map_or(Table::Control, MapWrite::table);
        let (map, steps) = (table.name(), run.len());
        let _span = tracing::debug_span!("map.write", syva.map = map, syva.steps = steps).entered();
        match table {
            Table::Control => maps.advance_epoch()?,
            Table::Members => maps.label(run, &named)?,
            _ => maps.write(table, run)?,
        }
    }
    maps.finish(seq, mode)
}

/// Reads the maps as an image, memberships left out: those are surveyed.
///
/// # Errors
/// The kernel side's.
pub fn read(maps: &mut dyn Maps) -> Result<Image, KernelError> {
    let mut image = Image::default();
    for table in TABLES {
        if table == Table::Members {
            continue;
        }
        match maps.rows(table)? {
            Rows::Zones(rows) => image.zones.extend(rows),
            Rows::Claims(rows) => image.claims.extend(rows),
            Rows::Pairs(rows) => image.pairs.extend(rows),
            Rows::HostSockets(rows) => image.host_sockets.extend(rows),
            Rows::Members(rows) => image.members.extend(rows),
        }
    }
    Ok(image)
}
