//! The maps by way of the actors that own them.

use std::collections::{BTreeMap, BTreeSet};

use syva_model::image::{CgroupId, MapWrite, MemberRow, Mode, Table};
use syva_model::kernel::{KernelError, Linked, Recounted, Rows};

use super::maps::Maps;
use crate::address::Address;
use crate::control::ControlMsg;
use crate::loader::LoaderMsg;
use crate::map::MapMsg;
use crate::membership::{MembershipMsg, Survey};

/// Who owns what the reconciler writes.
#[derive(Clone)]
pub struct Owners {
    /// Zones, claims, pairs and host sockets; members by their own actor.
    pub tables: Vec<(Table, Address<MapMsg>)>,
    /// The control map.
    pub control: Address<ControlMsg>,
    /// Memberships and what lies below them.
    pub membership: Address<MembershipMsg>,
    /// Who has the files that were linked out of claims.
    pub loader: Address<LoaderMsg>,
}

impl Owners {
    fn map(&self, table: Table) -> Result<&Address<MapMsg>, KernelError> {
        let found = self.tables.iter().find(|(owned, _)| *owned == table);
        found
            .map(|(_, address)| address)
            .ok_or_else(|| super::work::refuse("a map has no owner"))
    }
}

impl Maps for Owners {
    fn begin(&mut self, seq: u64) -> Result<(), KernelError> {
        self.control.wait(|reply| ControlMsg::Begin(seq, reply))?
    }

    fn advance_epoch(&mut self) -> Result<(), KernelError> {
        self.control.wait(ControlMsg::AdvanceEpoch)?
    }

    fn finish(&mut self, seq: u64, mode: Mode) -> Result<(), KernelError> {
        self.control
            .wait(|reply| ControlMsg::Finish(seq, mode, reply))?
    }

    fn write(&mut self, table: Table, steps: &[MapWrite]) -> Result<(), KernelError> {
        let steps = steps.to_vec();
        self.map(table)?.wait(|reply| MapMsg::Write(steps, reply))?
    }

    fn label(&mut self, steps: &[MapWrite], named: &BTreeSet<CgroupId>) -> Result<(), KernelError> {
        let (steps, named) = (steps.to_vec(), named.clone());
        self.membership
            .wait(|reply| MembershipMsg::Write(steps, named, reply))?
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        let members = self.map(Table::Members)?;
        members.wait(|reply| MapMsg::Member(id, reply))?
    }

    fn rows(&mut self, table: Table) -> Result<Rows, KernelError> {
        self.map(table)?.wait(MapMsg::Rows)?
    }

    fn inherited(
        &mut self,
        roots: &BTreeMap<CgroupId, MemberRow>,
        cgroups: &[CgroupId],
    ) -> Result<BTreeMap<CgroupId, MemberRow>, KernelError> {
        let (roots, cgroups) = (roots.clone(), cgroups.to_vec());
        self.membership
            .wait(|reply| MembershipMsg::Inherited(roots, cgroups, reply))?
    }

    fn restore_links(&mut self, linked: &[Linked]) -> Result<(), KernelError> {
        let links = self.loader.wait(LoaderMsg::Links)??;
        match links.is_restored()? {
            true => Ok(()),
            false => links.restore(linked),
        }
    }

    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        self.membership.wait(MembershipMsg::Recount)?
    }

    fn survey(&mut self, roots: &BTreeMap<CgroupId, MemberRow>) -> Result<Survey, KernelError> {
        let roots = roots.clone();
        self.membership
            .wait(|reply| MembershipMsg::Survey(roots, reply))?
    }
}
