//! The in-memory backend (D15): holds what a kernel would, enforces nothing and says so. Everything
//! above the kernel runs on it, on any machine, and tests break it on purpose.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use syva_model::hook::Hook;
use syva_model::image::{
    CgroupId, ClaimRow, Control, Image, MapWrite, MemberRow, ObjectKey, SCHEMA, Table,
};
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, Counters, EventSource, HookCounters, HookState, Kernel,
    KernelError, KernelEvent, LetThrough, LinkStore, Linked, Loaded, ObjectFacts, Prober, Rows,
    TableStore,
};

/// A kernel's maps, in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryKernel(Arc<Mutex<Inside>>);

#[derive(Debug, Default)]
struct Inside {
    image: Image,
    control: Control,
    events: VecDeque<KernelEvent>,
    fault: Option<Fault>,
    writes: u64,
    loads: u64,
    recording: Option<Vec<MapWrite>>,
    links: BTreeMap<ObjectKey, Linked>,
    links_restored: bool,
}

/// What goes wrong, once or until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Writes to that table fail with that errno until it is mended.
    Refuse(Table, i32),
    /// The next write to that table panics.
    PanicOnce(Table),
    /// The next wait on the ring fails.
    FailPollOnce,
    /// The next wait on the ring panics.
    PanicPollOnce,
    /// Loading fails until it is mended.
    FailLoad,
}

impl MemoryKernel {
    /// Empty maps.
    pub fn new() -> MemoryKernel {
        MemoryKernel::default()
    }

    /// What the maps hold, kernel-born rows included.
    pub fn image(&self) -> Image {
        self.inside().image.clone()
    }

    /// What the control map holds.
    pub fn control_row(&self) -> Control {
        self.inside().control
    }

    /// How many writes there have been.
    pub fn writes(&self) -> u64 {
        self.inside().writes
    }

    /// From now on remembers every step written to a policy map.
    pub fn record(&self) {
        self.inside().recording = Some(Vec::new());
    }

    /// The steps since then.
    pub fn recorded(&self) -> Vec<MapWrite> {
        self.inside().recording.take().unwrap_or_default()
    }

    /// How often it was loaded.
    pub fn loads(&self) -> u64 {
        self.inside().loads
    }

    /// Changes the maps behind everyone's back.
    pub fn tamper(&self, change: impl FnOnce(&mut Image)) {
        change(&mut self.inside().image);
    }

    /// The kernel notes that a file was linked out of a claim.
    pub fn link(&self, linked: Linked) {
        self.inside().links.insert(linked.object, linked);
    }

    /// The kernel notes that a file is gone that was linked out of a claim.
    pub fn unlink(&self, object: ObjectKey) {
        self.inside().links.remove(&object);
    }

    /// The files that were linked out of claims.
    pub fn linked(&self) -> Vec<Linked> {
        self.inside().links.values().cloned().collect()
    }

    /// Breaks something, or mends it.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.inside().fault = fault;
    }

    /// Puts an event into the ring.
    pub fn emit(&self, event: KernelEvent) {
        self.inside().events.push_back(event);
    }

    /// Puts events into the ring so that one wait finds them all.
    pub fn emit_all(&self, events: Vec<KernelEvent>) {
        self.inside().events.extend(events);
    }

    /// How many events nobody has read yet.
    pub fn events_waiting(&self) -> usize {
        self.inside().events.len()
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn before_write(&mut self, table: Table) -> Result<(), KernelError> {
        self.writes += 1;
        match self.fault {
            Some(Fault::Refuse(broken, errno)) if broken == table => {
                Err(refused("write to map", table.name(), errno))
            }
            Some(Fault::PanicOnce(broken)) if broken == table => self.panic_once(),
            _ => Ok(()),
        }
    }

    fn before_poll(&mut self) -> Result<(), KernelError> {
        match self.fault {
            Some(Fault::FailPollOnce) => {
                self.fault = None;
                Err(refused("wait on", "events", 5))
            }
            Some(Fault::PanicPollOnce) => self.panic_once(),
            _ => Ok(()),
        }
    }

    #[allow(clippy::panic)] // the fault a test asked for
    fn panic_once(&mut self) -> ! {
        self.fault = None;
        panic!("asked to")
    }
}

fn refused(operation: &'static str, on: &str, errno: i32) -> KernelError {
    KernelError {
        operation,
        on: on.into(),
        said: std::io::Error::from_raw_os_error(errno).to_string(),
        errno: Some(errno),
        remedy: String::new(),
    }
}

impl Kernel for MemoryKernel {
    fn load(&mut self, _: &Capacity) -> Result<Loaded, KernelError> {
        let mut inside = self.inside();
        if inside.fault == Some(Fault::FailLoad) {
            return Err(refused("load", "the programs", 1));
        }
        inside.control.schema = SCHEMA;
        inside.loads += 1;
        drop(inside);
        let why = || Some("the memory backend attaches nothing".to_owned());
        let state = |hook: &Hook| HookState {
            hook: *hook,
            attached: false,
            problem: why(),
        };
        Ok(Loaded {
            backend: "memory",
            enforcing: false,
            hooks: Hook::ALL.iter().map(state).collect(),
            self_tests: Vec::new(),
            missing: Vec::new(),
            pinned: false,
            build: 0,
            kernel_release: String::new(),
        })
    }

    fn table(&self, table: Table) -> Result<Box<dyn TableStore>, KernelError> {
        Ok(Box::new(MemoryTable {
            kernel: self.clone(),
            table,
        }))
    }

    fn control(&self) -> Result<Box<dyn ControlStore>, KernelError> {
        Ok(Box::new(self.clone()))
    }

    fn events(&self) -> Result<Box<dyn EventSource>, KernelError> {
        Ok(Box::new(self.clone()))
    }

    fn prober(&self) -> Result<Arc<dyn Prober>, KernelError> {
        Ok(Arc::new(self.clone()))
    }

    fn counters(&self) -> Result<Arc<dyn CounterSource>, KernelError> {
        Ok(Arc::new(self.clone()))
    }

    fn links(&self) -> Result<Arc<dyn LinkStore>, KernelError> {
        Ok(Arc::new(self.clone()))
    }

    fn unload(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
}

impl LinkStore for MemoryKernel {
    fn is_restored(&self) -> Result<bool, KernelError> {
        Ok(self.inside().links_restored)
    }

    fn held(&self) -> Result<Vec<Linked>, KernelError> {
        Ok(self.linked())
    }

    fn restore(&self, linked: &[Linked]) -> Result<(), KernelError> {
        let mut inside = self.inside();
        for linked in linked {
            let row = inside.links.entry(linked.object);
            row.or_insert_with(|| linked.clone());
        }
        inside.links_restored = true;
        Ok(())
    }

    fn forget(&self, linked: &[Linked]) -> Result<(), KernelError> {
        let mut inside = self.inside();
        for linked in linked {
            let held = inside.links.get(&linked.object);
            if held.is_some_and(|held| {
                (held.generation, held.claim) == (linked.generation, linked.claim)
            }) {
                inside.links.remove(&linked.object);
            }
        }
        Ok(())
    }
}

struct MemoryTable {
    kernel: MemoryKernel,
    table: Table,
}

impl TableStore for MemoryTable {
    fn table(&self) -> Table {
        self.table
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let mut inside = self.kernel.inside();
        inside.before_write(self.table)?;
        inside.image.apply(step);
        if let Some(steps) = &mut inside.recording {
            steps.push(*step);
        }
        Ok(())
    }

    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        Ok(self.kernel.inside().image.members.get(&id).copied())
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let image = &self.kernel.inside().image;
        Ok(match self.table {
            Table::Zones => Rows::Zones(image.zones.iter().map(|(k, v)| (*k, *v)).collect()),
            // No kernel stores how deep a claim lies.
            Table::Claims => {
                let found = |row: &ClaimRow| ClaimRow { depth: 0, ..*row };
                Rows::Claims(image.claims.iter().map(|(k, v)| (*k, found(v))).collect())
            }
            Table::Pairs => Rows::Pairs(image.pairs.iter().copied().collect()),
            Table::HostSockets => Rows::HostSockets(image.host_sockets.iter().copied().collect()),
            Table::Members | Table::Control => {
                Rows::Members(image.members.iter().map(|(k, v)| (*k, *v)).collect())
            }
        })
    }
}

impl ControlStore for MemoryKernel {
    fn read(&mut self) -> Result<Control, KernelError> {
        Ok(self.inside().control)
    }

    fn write(&mut self, control: &Control) -> Result<(), KernelError> {
        let mut inside = self.inside();
        inside.before_write(Table::Control)?;
        inside.control = *control;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), KernelError> {
        Ok(())
    }
}

impl EventSource for MemoryKernel {
    fn poll(
        &mut self,
        timeout: Duration,
        sink: &mut dyn FnMut(KernelEvent),
    ) -> Result<u64, KernelError> {
        let mut inside = self.inside();
        inside.before_poll()?;
        let events: Vec<_> = inside.events.drain(..).collect();
        drop(inside);
        if events.is_empty() {
            std::thread::sleep(timeout.min(Duration::from_millis(10)));
        }
        events.into_iter().for_each(sink);
        Ok(0)
    }
}

impl Prober for MemoryKernel {
    /// Asks stat(2), as the kernel's own answer is not to be had here.
    fn probe(&self, fd: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError> {
        let error = |said: rustix::io::Errno| KernelError {
            operation: "stat",
            on: "an open path".into(),
            said: said.to_string(),
            errno: Some(said.raw_os_error()),
            remedy: String::new(),
        };
        let stat = rustix::fs::fstat(fd).map_err(error)?;
        let fs = rustix::fs::fstatfs(fd).map_err(error)?;
        let (major, minor) = (
            rustix::fs::major(stat.st_dev),
            rustix::fs::minor(stat.st_dev),
        );
        let key = ObjectKey {
            dev: major << 20 | minor,
            ino: stat.st_ino,
            subvol: 0,
        };
        Ok(ObjectFacts {
            key,
            generation: 0,
            fs_magic: fs.f_type.cast_unsigned(),
            place: place(fd),
        })
    }
}

/// The path a descriptor was opened by, from `/`: here nothing is mounted that would matter.
fn place(fd: BorrowedFd<'_>) -> Option<String> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let path = std::fs::read_link(link)
        .ok()?
        .into_os_string()
        .into_string();
    let path = path.ok()?;
    Some(if path == "/" { String::new() } else { path })
}

impl CounterSource for MemoryKernel {
    fn counters(&self) -> Result<Counters, KernelError> {
        let hooks = vec![HookCounters::default(); Hook::ALL.len()];
        Ok(Counters {
            hooks,
            ..Counters::default()
        })
    }

    /// It has no hooks that could fail.
    fn let_through(&self) -> Result<Vec<LetThrough>, KernelError> {
        Ok(Vec::new())
    }
}
