//! The seam to the kernel (D15): what everything above it may ask, whichever backend answers.
//!
//! `syva-bpf` implements it with libbpf; `syva-actors` has an in-memory backend that never claims to
//! enforce. Implementations are synchronous; each store is owned by exactly one actor.

mod links;
mod usage;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::decision::Operation;
use crate::hook::{Hook, ObjectKind};
use crate::host_socket::Grant;
use crate::image::{
    CgroupId, ClaimRow, Control, MapWrite, MemberRow, ObjectKey, Pair, Table, ZoneId, ZoneRow,
};
pub use links::{LinkStore, Linked};
pub use usage::{Recounted, Share, ZoneUsage};

/// A failure of the kernel side: what was tried, on what, what the kernel said, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {on}: {said}{}", Remedy(.remedy))]
pub struct KernelError {
    /// What was tried ("write to map", "load program").
    pub operation: &'static str,
    /// On what ("members, cgroup 4711").
    pub on: String,
    /// What the kernel or the library answered.
    pub said: String,
    /// The errno, where there was one (positive).
    pub errno: Option<i32>,
    /// What the operator can do; empty if there is nothing to suggest.
    pub remedy: String,
}

struct Remedy<'a>(&'a str);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.0)
        }
    }
}

/// Whether one hook's program is attached, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookState {
    /// Which hook.
    pub hook: Hook,
    /// Whether its program runs.
    pub attached: bool,
    /// Why not, where it does not.
    pub problem: Option<String>,
}

/// One self-test's outcome: two independent ways of learning the same fact, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// `cgroup`, `inode` or `unix`.
    pub name: &'static str,
    /// `Ok` if both ways agree, else what each of them said.
    pub outcome: Result<(), String>,
}

/// What loading achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Which backend this is: `libbpf` or `memory`.
    pub backend: &'static str,
    /// Whether a kernel enforces what the maps say. The memory backend never says so.
    pub enforcing: bool,
    /// Every hook's state, in index order.
    pub hooks: Vec<HookState>,
    /// The self-tests' outcomes.
    pub self_tests: Vec<SelfTest>,
    /// What is missing here and what that means, by name (optional hooks, map types).
    pub missing: Vec<String>,
    /// Whether what is attached outlives this process.
    pub pinned: bool,
    /// Identifies the BPF object (the first eight bytes of its SHA-256).
    pub build: u64,
    /// The kernel's release (`uname -r`), empty in memory.
    pub kernel_release: String,
}

/// One hook's counters, summed over the CPUs. They count decisions on zoned callers only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounters {
    /// Operations allowed.
    pub allow: u64,
    /// Operations refused.
    pub deny: u64,
    /// Operations allowed that enforcement would have refused.
    pub would_deny: u64,
    /// Kernel reads that failed while deciding (the operation was allowed, I9).
    pub error: u64,
    /// Events that did not fit the ring buffer. The denial itself is counted in `deny`.
    pub lost: u64,
}

/// Denials of one hook between one pair of zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenialCount {
    /// The hook.
    pub hook: Hook,
    /// The caller's zone.
    pub subject: ZoneId,
    /// The object's zone.
    pub object: ZoneId,
    /// How many.
    pub count: u64,
}

/// Everything the kernel counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By hook, in index order.
    pub hooks: Vec<HookCounters>,
    /// By hook and zone pair.
    pub denials: Vec<DenialCount>,
    /// Denials whose pair did not fit the table (exact in sum, I5).
    pub denials_overflow: u64,
    /// Tasks that were moved out of their zone by one that may.
    pub escapes: u64,
    /// Failed kernel helpers, by the site's name.
    pub error_sites: Vec<(String, u64)>,
    /// What zones have of what all share; a zone that never had any may be missing.
    pub usage: Vec<ZoneUsage>,
}

/// A place where the kernel side can fail so that something is allowed for not being known (I9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetThrough {
    /// The site's name, as in [`Counters::error_sites`].
    pub site: String,
    /// What happened there, in words.
    pub meaning: &'static str,
    /// How often.
    pub count: u64,
}

/// What the kernel decided, as it tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Refused with EPERM.
    Deny,
    /// Allowed, because the subject's zone is audited.
    WouldDeny,
    /// No denial: a task was moved out of its zone by one that may, such as the host.
    Escape,
}

/// One denial, decoded from the ring buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelEvent {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub monotonic_ns: u64,
    /// The hook that decided.
    pub hook: Hook,
    /// What it decided.
    pub verdict: Verdict,
    /// The caller's zone.
    pub subject: ZoneId,
    /// The caller's cgroup.
    pub subject_cgroup: CgroupId,
    /// What kind of object it was: not always the hook's own.
    pub kind: ObjectKind,
    /// The object's zone; [`ZoneId::HOST`] for a host task or socket, and for the node.
    pub object: ZoneId,
    /// The caller's process id (tgid) in the initial pid namespace.
    pub pid: u32,
    /// The caller's thread id.
    pub tid: u32,
    /// The caller's command name, at most 15 bytes.
    pub comm: String,
    /// The task's process id that was signalled or traced, for task hooks, else 0.
    pub object_pid: u32,
    /// The signal, for `task_kill`, else 0.
    pub signal: u32,
    /// What was done, as far as the decision depended on it.
    pub operation: Operation,
    /// The object's inode, or 0 where there is none.
    pub inode: u64,
    /// The claim that gave the object its zone, for objects labelled by one.
    pub claim: Option<ObjectKey>,
    /// How many levels below the claim the object lies (0: the claimed object itself), or [`LINKED`].
    pub depth: u32,
    /// The object's own name (last path component, or a socket's bound name), lossy UTF-8.
    pub name: String,
    /// The last sequence wholly in the maps when this was decided.
    pub applied: u64,
    /// The sequence being written then.
    pub applying: u64,
}

/// Instead of a depth: it does not lie below the claim by the name it was reached by, but did by another when
/// that name was made ([`Linked`]).
pub const LINKED: u32 = u32::MAX - 1;

/// What the kernel says an open descriptor refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The object's key.
    pub key: ObjectKey,
    /// `i_generation`.
    pub generation: u64,
    /// The superblock's magic number (statfs(2)).
    pub fs_magic: u64,
    /// Its path from its file system's root (empty for the root itself), which is not what a path in
    /// some mount namespace says; nothing if it is too deep or too long to be a socket's
    /// [`crate::host_socket::Place`], or not UTF-8.
    pub place: Option<String>,
}

/// A process that a zone has pulled into a cgroup of its own, which no hook can refuse, or that such a process
/// has forked there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The process, in the initial pid namespace.
    pub pid: u32,
    /// The cgroup it was in before.
    pub home: CgroupId,
    /// The cgroup it was pulled into, which is in no zone until it is out of it.
    pub into: CgroupId,
    /// When (`CLOCK_MONOTONIC`, nanoseconds): a process that started later was given its number.
    pub since_ns: u64,
}

/// The rows a table holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Zone rows.
    Zones(Vec<(ZoneId, ZoneRow)>),
    /// Memberships, kernel-born ones included.
    Members(Vec<(CgroupId, MemberRow)>),
    /// Claims (their `depth` is unknown to the kernel and reads as 0).
    Claims(Vec<(ObjectKey, ClaimRow)>),
    /// Allowed pairs.
    Pairs(Vec<Pair>),
    /// Host sockets given to zones.
    HostSockets(Vec<Grant>),
}

/// One policy map.
pub trait TableStore: Send {
    /// Which map.
    fn table(&self) -> Table;
    /// Applies one step of a plan, idempotently.
    ///
    /// `PutMember` and `DropMember` touch exactly one row here; labelling what lies below is the
    /// membership actor's walk.
    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError>;
    /// Reads one cgroup's membership. Every table but the members' refuses.
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        Err(KernelError {
            operation: "read a membership from map",
            on: format!("{}, cgroup {id}", self.table().name()),
            said: "it holds no memberships".into(),
            errno: None,
            remedy: "this is a bug; report it".into(),
        })
    }
    /// Reads every row.
    fn rows(&mut self) -> Result<Rows, KernelError>;
    /// How many more rows that the kernel makes the zone may have. Only the members' has any such.
    fn room(&mut self, _zone: ZoneId) -> Result<u64, KernelError> {
        Ok(u64::MAX)
    }
    /// Compares what zones are counted to have of what all share with the rows, and corrects the counts.
    /// Only the members' has any, also those of the table of System V objects, which is nobody else's.
    fn recount(&mut self) -> Result<Vec<Recounted>, KernelError> {
        Ok(Vec::new())
    }
    /// Processes that zones have pulled into cgroups of their own. Only the members' knows of any.
    fn pulled(&mut self) -> Result<Vec<Pulled>, KernelError> {
        Ok(Vec::new())
    }
    /// One of them is where it was, or gone; unless it was pulled again meanwhile.
    fn forget_pulled(&mut self, _pulled: &Pulled) -> Result<(), KernelError> {
        Ok(())
    }
}

/// The control map.
pub trait ControlStore: Send {
    /// Reads the row.
    fn read(&mut self) -> Result<Control, KernelError>;
    /// Writes the row.
    fn write(&mut self, control: &Control) -> Result<(), KernelError>;
    /// Returns once every program that began before the call has ended (a map-in-map update waits
    /// for them), so that what was written is what is enforced (I1).
    fn settle(&mut self) -> Result<(), KernelError>;
}

/// The ring buffer's reading end. There is one consumer.
pub trait EventSource: Send {
    /// Waits up to `timeout` and hands every event that has come to `sink`. Returns how many records
    /// could not be decoded.
    fn poll(
        &mut self,
        timeout: Duration,
        sink: &mut dyn FnMut(KernelEvent),
    ) -> Result<u64, KernelError>;
}

/// Asks the kernel what a descriptor of this process refers to.
pub trait Prober: Send + Sync {
    /// The object's identity, as the hooks will see it.
    fn probe(&self, fd: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError>;
}

/// Reads what the kernel counts.
pub trait CounterSource: Send + Sync {
    /// All counters, read now.
    fn counters(&self) -> Result<Counters, KernelError>;
    /// What zones have of what all share.
    fn usage(&self) -> Result<Vec<ZoneUsage>, KernelError> {
        Ok(Vec::new())
    }
    /// Of the failures those that degrade the node's health, read now: something was let through.
    fn let_through(&self) -> Result<Vec<LetThrough>, KernelError>;
}

/// How many rows each map must hold; checked at admission, so that the kernel never discovers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Zones.
    pub zones: u32,
    /// Memberships, nested cgroups included.
    pub members: u32,
    /// Claims.
    pub claims: u32,
    /// Allowed pairs.
    pub pairs: u32,
    /// Host sockets given to zones.
    pub host_sockets: u32,
}

impl Capacity {
    /// How many rows the map of claims is to hold: claims, the directories above them, of which many have
    /// the same, and those of the engine's own files.
    pub fn claim_rows(&self) -> u32 {
        self.claims
            .saturating_mul(2)
            .saturating_add(MORE_CLAIM_ROWS)
    }

    /// How many claims there must be room for, so that so many rows fit.
    pub fn claims_for(rows: usize) -> usize {
        rows.saturating_sub(MORE_CLAIM_ROWS as usize).div_ceil(2)
    }
}

/// The rows of claims that no option gives.
const MORE_CLAIM_ROWS: u32 = 64;

impl Default for Capacity {
    fn default() -> Self {
        Capacity {
            zones: 10_000,
            members: 65_536,
            claims: 262_144,
            pairs: 1_000_000,
            host_sockets: 65_536,
        }
    }
}

/// A kernel side: loads, attaches, and hands out its parts, each to one owner.
pub trait Kernel: Send {
    /// Loads and attaches everything; a second call re-attaches what is missing.
    ///
    /// # Errors
    /// What this kernel lacks and what to do about it (I10): no BTF, no `bpf` among the LSMs, no
    /// privileges, no cgroup v2, a hybrid hierarchy.
    fn load(&mut self, capacity: &Capacity) -> Result<Loaded, KernelError>;
    /// A handle to a policy map. A restarted actor asks again.
    fn table(&self, table: Table) -> Result<Box<dyn TableStore>, KernelError>;
    /// A handle to the control map.
    fn control(&self) -> Result<Box<dyn ControlStore>, KernelError>;
    /// The ring buffer's reading end.
    fn events(&self) -> Result<Box<dyn EventSource>, KernelError>;
    /// The prober.
    fn prober(&self) -> Result<Arc<dyn Prober>, KernelError>;
    /// The counters.
    fn counters(&self) -> Result<Arc<dyn CounterSource>, KernelError>;
    /// The files that were linked out of claims.
    fn links(&self) -> Result<Arc<dyn LinkStore>, KernelError>;
    /// Detaches every program: nothing is enforced afterwards.
    fn unload(&mut self) -> Result<(), KernelError>;
}
