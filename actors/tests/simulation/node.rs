//! The node: the kernel's maps behind a faulty seam, and the parts of a daemon wired to each other directly, as
//! the actors are by messages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syva_actors::control::ControlState;
use syva_actors::drift::Drift;
use syva_actors::health::HealthMsg;
use syva_actors::map;
use syva_actors::membership::{Members, Survey, Walker};
use syva_actors::memory::MemoryKernel;
use syva_actors::reconciler::maps::Maps;
use syva_actors::reconciler::{Desired, Notices, Work};
use syva_actors::writer::Enforcer;
use syva_model::image::{
    CgroupId, Control, Image, MapWrite, MemberRow, Mode, Origin, Table, ZoneRow,
};
use syva_model::kernel::{
    ControlStore, Kernel as _, KernelError, Linked, Recounted, Rows, TableStore,
};
use syva_model::plan::Diff;

use crate::odds::{Broken, Odds};
use crate::tree::Tree;

/// A map that may fail.
struct FaultyTable {
    store: Box<dyn TableStore>,
    odds: Odds,
}

impl TableStore for FaultyTable {
    fn table(&self) -> Table {
        self.store.table()
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        self.odds.kernel("write to map", self.table().name())?;
        if self.odds.is(Broken::KernelForgets) && self.odds.percent(10) {
            return Ok(());
        }
        if let (MapWrite::PutZone(id, row), true) = (*step, self.odds.is(Broken::OpenForAMoment)) {
            let privileged = true;
            self.store
                .write(&MapWrite::PutZone(id, ZoneRow { privileged, ..row }))?;
        }
        self.store.write(step)
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        self.odds.kernel("read map", "members")?;
        self.store.member(id)
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        self.odds.kernel("read map", self.table().name())?;
        self.store.rows()
    }
}

/// A control map that may fail.
struct FaultyControl {
    store: Box<dyn ControlStore>,
    odds: Odds,
}

impl ControlStore for FaultyControl {
    fn read(&mut self) -> Result<Control, KernelError> {
        self.odds.kernel("read map", "control")?;
        self.store.read()
    }

    fn write(&mut self, control: &Control) -> Result<(), KernelError> {
        self.odds.kernel("write to map", "control")?;
        self.store.write(control)
    }

    fn settle(&mut self) -> Result<(), KernelError> {
        self.odds.kernel("wait for", "running programs")?;
        self.store.settle()
    }
}

/// The maps, owned directly.
pub struct Owned {
    kernel: MemoryKernel,
    odds: Odds,
    control: ControlState,
    walker: Walker<Tree>,
    /// Whether the maps were read and not written since: a comparison is under way.
    comparing: bool,
}

impl Owned {
    pub fn open(kernel: &MemoryKernel, tree: &Tree, odds: &Odds) -> Result<Owned, KernelError> {
        let (store, odds) = (kernel.control()?, odds.clone());
        let control = FaultyControl {
            store,
            odds: odds.clone(),
        };
        Ok(Owned {
            kernel: kernel.clone(),
            odds,
            control: ControlState::open(Box::new(control))?,
            walker: Walker::new(tree.clone()),
            comparing: false,
        })
    }

    fn table(&self, table: Table) -> Result<FaultyTable, KernelError> {
        let (store, odds) = (self.kernel.table(table)?, self.odds.clone());
        Ok(FaultyTable { store, odds })
    }
}

impl Members for FaultyTable {
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        TableStore::member(self, id)
    }

    fn write(&mut self, step: MapWrite) -> Result<(), KernelError> {
        map::write(self, &[step])
    }

    fn rows(&mut self) -> Result<Vec<(CgroupId, MemberRow)>, KernelError> {
        match TableStore::rows(self)? {
            Rows::Members(rows) => Ok(rows),
            other => unreachable!("{other:?}"),
        }
    }
}

impl Maps for Owned {
    fn begin(&mut self, seq: u64) -> Result<(), KernelError> {
        self.control.begin(seq)
    }

    fn advance_epoch(&mut self) -> Result<(), KernelError> {
        self.control.advance_epoch()
    }

    fn finish(&mut self, seq: u64, mode: Mode) -> Result<(), KernelError> {
        self.comparing = false;
        self.control.finish(seq, mode)
    }

    fn write(&mut self, table: Table, steps: &[MapWrite]) -> Result<(), KernelError> {
        let skipped = usize::from(self.comparing && self.odds.is(Broken::NotRepaired));
        map::write(&mut self.table(table)?, &steps[skipped..])
    }

    fn label(&mut self, steps: &[MapWrite], named: &BTreeSet<CgroupId>) -> Result<(), KernelError> {
        let mut members = self.table(Table::Members)?;
        self.walker
            .steps(&mut members, steps, named, &BTreeSet::new())
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        TableStore::member(&mut self.table(Table::Members)?, id)
    }

    fn rows(&mut self, table: Table) -> Result<Rows, KernelError> {
        self.comparing = true;
        TableStore::rows(&mut self.table(table)?)
    }

    fn inherited(
        &mut self,
        roots: &BTreeMap<CgroupId, MemberRow>,
        cgroups: &[CgroupId],
    ) -> Result<BTreeMap<CgroupId, MemberRow>, KernelError> {
        let mut members = self.table(Table::Members)?;
        self.walker.inherited(&mut members, roots, cgroups)
    }

    fn restore_links(&mut self, linked: &[Linked]) -> Result<(), KernelError> {
        let links = self.kernel.links()?;
        match links.is_restored()? {
            true => Ok(()),
            false => links.restore(linked),
        }
    }

    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        let mut members = self.table(Table::Members)?;
        Members::recount(&mut members)
    }

    fn survey(&mut self, roots: &BTreeMap<CgroupId, MemberRow>) -> Result<Survey, KernelError> {
        let mut members = self.table(Table::Members)?;
        self.walker.survey(&mut members, roots)
    }
}

/// What was told, for the simulation to deliver and to judge.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Told>>);

#[derive(Default)]
pub struct Told {
    pub reasons: BTreeMap<String, String>,
    pub gone: Vec<CgroupId>,
    pub drift: usize,
    pub wanted: bool,
}

impl Board {
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notices for Board {
    fn health(&self, message: HealthMsg) {
        let mut told = self.told();
        match message {
            HealthMsg::Raise(key, words) => drop(told.reasons.insert(key, words)),
            HealthMsg::Clear(key) => drop(told.reasons.remove(&key)),
            HealthMsg::Loaded(_) | HealthMsg::Restarted => {}
        }
    }

    fn gone(&self, cgroups: Vec<CgroupId>) {
        self.told().gone.extend(cgroups);
    }

    fn drift(&self, rows: Vec<Drift>) {
        self.told().drift += rows.len();
    }

    fn wanted(&self) {
        self.told().wanted = true;
    }
}

/// The reconciler, and the maps it writes.
pub struct Hands {
    pub work: Work,
    pub maps: Owned,
    /// What an acknowledgement of the last change would have hidden.
    pub violation: Option<String>,
}

impl Enforcer for Hands {
    fn apply(&mut self, diff: Diff, seq: u64, mode: Mode) -> Result<(), String> {
        if self.maps.odds.is(Broken::AcknowledgedEarly) && self.maps.odds.percent(20) {
            return Ok(());
        }
        let outcome = self.work.apply(&mut self.maps, &diff, seq, mode);
        if outcome.is_ok() {
            let missing = not_held(&self.maps.kernel.image(), &diff);
            self.violation = missing.map(|row| format!("entry {seq} is in force, but for {row}"));
        }
        outcome.map_err(|error| error.to_string())
    }

    fn adopt(&mut self, desired: Desired) -> Result<(), String> {
        let outcome = self.work.adopt(&mut self.maps, desired);
        outcome.map(drop).map_err(|error| error.to_string())
    }
}

/// The first row of a change that the maps do not hold.
fn not_held(image: &Image, diff: &Diff) -> Option<String> {
    let root = |id| {
        image
            .members
            .get(id)
            .filter(|row| row.origin == Origin::Journal)
    };
    let zones = diff
        .zones
        .iter()
        .find(|c| image.zones.get(&c.key).copied() != c.new);
    let members = diff.members.iter().find(|c| root(&c.key).copied() != c.new);
    let claims = diff
        .claims
        .iter()
        .find(|c| image.claims.get(&c.key).copied() != c.new);
    let pairs = diff
        .pairs
        .iter()
        .find(|c| image.pairs.contains(&c.key) != c.new.is_some());
    let given = |c: &syva_model::plan::Change<syva_model::host_socket::Grant, ()>| {
        image.host_sockets.contains(&c.key) != c.new.is_some()
    };
    let sockets = diff.host_sockets.iter().find(|c| given(c));
    zones
        .map(|c| format!("{c:?}"))
        .or(members.map(|c| format!("{c:?}")))
        .or(claims.map(|c| format!("{c:?}")))
        .or(pairs.map(|c| format!("{c:?}")))
        .or(sockets.map(|c| format!("{c:?}")))
}
