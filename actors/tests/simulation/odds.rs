//! The odds: the one source of chance, and what goes wrong by it.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use syva_journal::store::memory::{Call, Fate};
use syva_model::kernel::KernelError;

/// What a process that dies unwinds with.
pub struct Died;

/// A fault built in on purpose, which the checks must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The disk says that it has flushed, and has not.
    DiskLies,
    /// The kernel says that it has written a row, and has not, once in a while.
    KernelForgets,
    /// A batch is acknowledged before the maps hold it.
    AcknowledgedEarly,
    /// A zone is privileged for a moment whenever its row is written.
    OpenForAMoment,
    /// Rows that differ are not repaired.
    NotRepaired,
}

/// Clones are the same odds.
#[derive(Clone)]
pub struct Odds(Arc<Mutex<Inside>>);

struct Inside {
    rng: fastrand::Rng,
    /// How many calls of a thousand fail.
    kernel: u32,
    store: u32,
    /// After how many more calls the process dies.
    dies_in: Option<u32>,
    broken: Option<Broken>,
}

impl Odds {
    pub fn new(seed: u64, broken: Option<Broken>) -> Odds {
        let rng = fastrand::Rng::with_seed(seed);
        Odds(Arc::new(Mutex::new(Inside {
            rng,
            kernel: 0,
            store: 0,
            dies_in: None,
            broken,
        })))
    }

    fn with<T>(&self, take: impl FnOnce(&mut Inside) -> T) -> T {
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        self.with(|inside| inside.rng.usize(..end))
    }

    /// Whether something happens that does so in `of` cases of a hundred.
    pub fn percent(&self, of: u32) -> bool {
        self.with(|inside| inside.rng.u32(..100) < of)
    }

    pub fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// How many calls of a thousand fail from now on.
    pub fn set_failures(&self, kernel: u32, store: u32) {
        self.with(|inside| (inside.kernel, inside.store) = (kernel, store));
    }

    /// The process dies after so many more calls.
    pub fn die_in(&self, calls: Option<u32>) {
        self.with(|inside| inside.dies_in = calls);
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        self.set_failures(0, 0);
        self.die_in(None);
    }

    pub fn is(&self, broken: Broken) -> bool {
        self.with(|inside| inside.broken == Some(broken))
    }

    fn maybe_die(&self) {
        let dies = self.with(|inside| match &mut inside.dies_in {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        });
        if dies {
            self.die_in(None);
            resume_unwind(Box::new(Died));
        }
    }

    /// A call to the kernel side.
    pub fn kernel(&self, operation: &'static str, on: &str) -> Result<(), KernelError> {
        self.maybe_die();
        let errno = self.with(|inside| {
            let fails = inside.rng.u32(..1000) < inside.kernel;
            fails.then(|| inside.rng.choice([12, 7, 1]).unwrap_or(5)) // ENOMEM, E2BIG, EPERM
        });
        errno.map_or(Ok(()), |errno| {
            Err(KernelError {
                operation,
                on: on.into(),
                said: std::io::Error::from_raw_os_error(errno).to_string(),
                errno: Some(errno),
                remedy: String::new(),
            })
        })
    }

    /// A call to the disk.
    pub fn store(&self, call: Call) -> Fate {
        self.maybe_die();
        if self.is(Broken::DiskLies) && call == Call::MakeDurable {
            return Fate::Lies;
        }
        self.with(|inside| match inside.rng.u32(..1000) < inside.store {
            false => Fate::Done,
            true if inside.rng.bool() => Fate::Fails,
            true => Fate::FailsAndIsDone,
        })
    }
}
