//! The metered kernel: any kernel side, with its failures counted. It stands between the actors and
//! the backend, so that each failure is counted once, whichever actor meets it and whichever backend
//! it comes from.

use std::sync::Arc;

use syva_model::image::{CgroupId, Control, MapWrite, MemberRow, Table, ZoneId};
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, Counters, EventSource, Kernel, KernelError, LetThrough,
    LinkStore, Linked, Loaded, Prober, Pulled, Recounted, Rows, TableStore, ZoneUsage,
};

use crate::ledger::Clock;
use crate::loader::BoxedKernel;
use crate::tally::Tally;

/// A kernel side that counts.
pub struct Metered {
    kernel: BoxedKernel,
    tally: Tally,
    clock: Clock,
}

impl Metered {
    /// Counts what `kernel` fails at in `tally`.
    pub fn new(kernel: BoxedKernel, tally: Tally, clock: Clock) -> Metered {
        Metered {
            kernel,
            tally,
            clock,
        }
    }
}

impl Kernel for Metered {
    fn load(&mut self, capacity: &Capacity) -> Result<Loaded, KernelError> {
        self.kernel.load(capacity)
    }

    fn table(&self, table: Table) -> Result<Box<dyn TableStore>, KernelError> {
        Ok(Box::new(MeteredTable {
            store: self.kernel.table(table)?,
            tally: self.tally.clone(),
        }))
    }

    fn control(&self) -> Result<Box<dyn ControlStore>, KernelError> {
        Ok(Box::new(MeteredControl {
            store: self.kernel.control()?,
            tally: self.tally.clone(),
        }))
    }

    fn events(&self) -> Result<Box<dyn EventSource>, KernelError> {
        self.kernel.events()
    }

    fn prober(&self) -> Result<Arc<dyn Prober>, KernelError> {
        self.kernel.prober()
    }

    fn counters(&self) -> Result<Arc<dyn CounterSource>, KernelError> {
        let source = self.kernel.counters();
        if source.is_err() {
            self.tally.counter_read(None);
        }
        Ok(Arc::new(MeteredCounters {
            source: source?,
            tally: self.tally.clone(),
            clock: self.clock,
        }))
    }

    fn links(&self) -> Result<Arc<dyn LinkStore>, KernelError> {
        Ok(Arc::new(MeteredLinks {
            store: self.kernel.links()?,
            tally: self.tally.clone(),
        }))
    }

    fn unload(&mut self) -> Result<(), KernelError> {
        self.kernel.unload()
    }
}

struct MeteredLinks {
    store: Arc<dyn LinkStore>,
    tally: Tally,
}

impl MeteredLinks {
    fn counted<T>(
        &self,
        operation: &'static str,
        outcome: Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        outcome.inspect_err(|_| self.tally.map_error(operation, "links"))
    }
}

impl LinkStore for MeteredLinks {
    fn is_restored(&self) -> Result<bool, KernelError> {
        self.counted("read", self.store.is_restored())
    }

    fn held(&self) -> Result<Vec<Linked>, KernelError> {
        self.counted("read", self.store.held())
    }

    fn restore(&self, linked: &[Linked]) -> Result<(), KernelError> {
        self.counted("write", self.store.restore(linked))
    }

    fn forget(&self, linked: &[Linked]) -> Result<(), KernelError> {
        self.counted("write", self.store.forget(linked))
    }
}

struct MeteredTable {
    store: Box<dyn TableStore>,
    tally: Tally,
}

impl MeteredTable {
    fn counted<T>(
        &self,
        operation: &'static str,
        outcome: Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        outcome.inspect_err(|_| self.tally.map_error(operation, self.store.table().name()))
    }
}

impl TableStore for MeteredTable {
    fn table(&self) -> Table {
        self.store.table()
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let outcome = self.store.write(step);
        self.counted("write", outcome)
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        let outcome = self.store.member(id);
        self.counted("read", outcome)
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let outcome = self.store.rows();
        self.counted("read", outcome)
    }

    fn room(&mut self, zone: ZoneId) -> Result<u64, KernelError> {
        let outcome = self.store.room(zone);
        self.counted("read", outcome)
    }

    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        let outcome = self.store.recount();
        self.counted("read", outcome)
    }

    fn pulled(&mut self) -> Result<Vec<Pulled>, KernelError> {
        let outcome = self.store.pulled();
        self.counted("read", outcome)
    }

    fn forget_pulled(&mut self, pulled: &Pulled) -> Result<(), KernelError> {
        let outcome = self.store.forget_pulled(pulled);
        self.counted("write", outcome)
    }
}

struct MeteredControl {
    store: Box<dyn ControlStore>,
    tally: Tally,
}

impl MeteredControl {
    fn counted<T>(
        &self,
        operation: &'static str,
        outcome: Result<T, KernelError>,
    ) -> Result<T, KernelError> {
        outcome.inspect_err(|_| self.tally.map_error(operation, Table::Control.name()))
    }
}

impl ControlStore for MeteredControl {
    fn read(&mut self) -> Result<Control, KernelError> {
        let outcome = self.store.read();
        self.counted("read", outcome)
    }

    fn write(&mut self, control: &Control) -> Result<(), KernelError> {
        let outcome = self.store.write(control);
        self.counted("write", outcome)
    }

    fn settle(&mut self) -> Result<(), KernelError> {
        let outcome = self.store.settle();
        self.counted("write", outcome)
    }
}

struct MeteredCounters {
    source: Arc<dyn CounterSource>,
    tally: Tally,
    clock: Clock,
}

impl CounterSource for MeteredCounters {
    fn counters(&self) -> Result<Counters, KernelError> {
        let outcome = self.source.counters();
        let success = outcome.is_ok().then(self.clock);
        self.tally.counter_read(success);
        outcome
    }

    fn usage(&self) -> Result<Vec<ZoneUsage>, KernelError> {
        self.source.usage()
    }

    fn let_through(&self) -> Result<Vec<LetThrough>, KernelError> {
        self.source.let_through()
    }
}
