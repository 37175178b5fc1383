//! The world of the suite: the loaded kernel side, its stores, and what is done and counted in it.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use syva_bpf::LibbpfKernel;
use syva_model::hook::Hook;
use syva_model::image::{
    CgroupId, ClaimRow, Control, MapWrite, MemberRow, ObjectKey, Origin, Pair, Scope, Table,
    ZoneId, ZoneRow,
};
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, Counters, EventSource, Kernel as _, KernelEvent,
    ObjectFacts, Prober, Rows, TableStore,
};

use crate::guest::actor::{Outcome, act, make_cgroup};
use crate::guest::{Checks, Failure};

/// The zone that is attacked.
pub const ONE: ZoneId = ZoneId(1);
/// The zone that attacks.
pub const TWO: ZoneId = ZoneId(2);
/// A zone that is audited.
pub const AUDITED: ZoneId = ZoneId(3);
/// A privileged zone.
pub const PRIVILEGED: ZoneId = ZoneId(4);

/// The journal's sequences that events are to carry.
pub const APPLIED: u64 = 7;
/// The same, of the entry that is being written.
pub const APPLYING: u64 = 8;

/// Sites that suites have fail on purpose.
const PROVOKED: [&str; 3] = ["walk_bound", "walk_rootless", "ipc_table"];

/// Everything.
pub struct World {
    pub kernel: LibbpfKernel,
    pub zones: Box<dyn TableStore>,
    pub members: Box<dyn TableStore>,
    pub claims: Box<dyn TableStore>,
    pub pairs: Box<dyn TableStore>,
    pub host_sockets: Box<dyn TableStore>,
    pub control: Box<dyn ControlStore>,
    pub one: PathBuf,
    pub two: PathBuf,
    pub audited: PathBuf,
    pub privileged: PathBuf,
    pub free: PathBuf,
    prober: Arc<dyn Prober>,
    counters: Arc<dyn CounterSource>,
    events: Box<dyn EventSource>,
}

impl World {
    /// Loads, attaches a cgroup to each zone, and leaves one out.
    pub fn new() -> Result<World, Failure> {
        let mut kernel = LibbpfKernel::new(PathBuf::from("/sys/fs/cgroup"));
        let loaded = kernel.load(&Capacity::default())?;
        if !loaded.enforcing {
            return Err(format!("not enforcing: {loaded:?}").into());
        }
        let mut world = World {
            zones: kernel.table(Table::Zones)?,
            members: kernel.table(Table::Members)?,
            claims: kernel.table(Table::Claims)?,
            pairs: kernel.table(Table::Pairs)?,
            host_sockets: kernel.table(Table::HostSockets)?,
            control: kernel.control()?,
            prober: kernel.prober()?,
            counters: kernel.counters()?,
            events: kernel.events()?,
            one: make_cgroup("one")?,
            two: make_cgroup("two")?,
            audited: make_cgroup("audited")?,
            privileged: make_cgroup("privileged")?,
            free: make_cgroup("free")?,
            kernel,
        };
        world.control.write(&Control {
            schema: 1,
            applied: APPLIED,
            applying: APPLYING,
            epoch: 1,
            ..Control::default()
        })?;
        let plain = ZoneRow::default();
        for (zone, row, cgroup) in [
            (ONE, plain, world.one.clone()),
            (TWO, plain, world.two.clone()),
            (
                AUDITED,
                ZoneRow {
                    audit: true,
                    ..plain
                },
                world.audited.clone(),
            ),
            (
                PRIVILEGED,
                ZoneRow {
                    privileged: true,
                    ..plain
                },
                world.privileged.clone(),
            ),
        ] {
            world.zones.write(&MapWrite::PutZone(zone, row))?;
            world.attach(&cgroup, zone)?;
        }
        Ok(world)
    }

    /// Makes the cgroup a root of the zone.
    pub fn attach(&mut self, cgroup: &Path, zone: ZoneId) -> Result<CgroupId, Failure> {
        let root = CgroupId(fs::metadata(cgroup)?.ino());
        let origin = Origin::Journal;
        let row = MemberRow { zone, root, origin };
        self.members.write(&MapWrite::PutMember(root, row))?;
        Ok(root)
    }

    /// What the kernel calls that path, and its generation.
    pub fn key(&self, path: &Path) -> Result<(ObjectKey, u64), Failure> {
        let file = File::open(path).map_err(|e| format!("opening {}: {e}", path.display()))?;
        let facts = self.prober.probe(file.as_fd())?;
        Ok((facts.key, facts.generation))
    }

    /// All that the kernel says of an open descriptor.
    pub fn kernel_facts(&self, fd: BorrowedFd<'_>) -> Result<ObjectFacts, Failure> {
        Ok(self.prober.probe(fd)?)
    }

    /// Claims a path, as the daemon would: the claim, the epoch, and nothing runs under the old ones.
    pub fn claim(&mut self, path: &Path, zone: ZoneId, scope: Scope) -> Result<ObjectKey, Failure> {
        let (key, generation) = self.key(path)?;
        let row = ClaimRow {
            zone,
            scope,
            generation,
            depth: 0,
        };
        self.claims.write(&MapWrite::PutClaim(key, row))?;
        self.advance_epoch()?;
        Ok(key)
    }

    /// Removes a claim.
    pub fn unclaim(&mut self, key: ObjectKey) -> Result<(), Failure> {
        self.claims.write(&MapWrite::DropClaim(key))?;
        self.advance_epoch()
    }

    pub fn advance_epoch(&mut self) -> Result<(), Failure> {
        let mut control = self.control.read()?;
        control.epoch += 1;
        self.control.write(&control)?;
        Ok(self.control.settle()?)
    }

    pub fn counters(&self) -> Result<Counters, Failure> {
        Ok(self.counters.counters()?)
    }

    /// Every event since the last call.
    pub fn events(&mut self) -> Result<Vec<KernelEvent>, Failure> {
        let mut events = Vec::new();
        let undecodable = self
            .events
            .poll(Duration::from_millis(1), &mut |event| events.push(event))?;
        if undecodable > 0 {
            return Err(format!("{undecodable} records could not be decoded").into());
        }
        Ok(events)
    }

    /// The rows of the memberships.
    pub fn memberships(&mut self) -> Result<Vec<(CgroupId, MemberRow)>, Failure> {
        match self.members.rows()? {
            Rows::Members(rows) => Ok(rows),
            other => Err(format!("not memberships: {other:?}").into()),
        }
    }

    /// It is refused, and counted once, by that hook alone; returns the one event.
    pub fn refused(
        &mut self,
        checks: &mut Checks,
        claim: &str,
        hook: Hook,
        cgroup: &Path,
        action: &str,
        args: &[&Path],
    ) -> Result<Option<KernelEvent>, Failure> {
        let attempt = || act(cgroup, action, args);
        self.refused_as(checks, claim, hook, Errno::PERM, attempt)
    }

    /// The same of whatever is attempted, and however its system call says so; returns the event.
    pub fn refused_as(
        &mut self,
        checks: &mut Checks,
        claim: &str,
        hook: Hook,
        errno: Errno,
        attempt: impl FnOnce() -> Outcome,
    ) -> Result<Option<KernelEvent>, Failure> {
        let (outcome, counted, mut events) = self.watch(attempt)?;
        let refused = Outcome::Refused(errno.raw_os_error());
        checks.equal(claim, &outcome, &refused);
        let expected = Hook::ALL.iter().map(|h| u64::from(*h == hook)).collect();
        checks.equal(format!("{claim}: counted once"), &counted.0, &expected);
        checks.equal(format!("{claim}: one event"), &events.len(), &1);
        Ok(events.pop())
    }

    /// It goes on, and nothing counts it as a denial.
    pub fn allowed(
        &mut self,
        checks: &mut Checks,
        claim: &str,
        cgroup: &Path,
        action: &str,
        args: &[&Path],
    ) -> Result<(), Failure> {
        self.goes_on(checks, claim, || act(cgroup, action, args))
    }

    /// The same, while a pair with the host opens the node to the zone: what is mounted is to be seen by
    /// others, and the host's mounts are no zone's to change.
    pub fn allowed_the_host(
        &mut self,
        checks: &mut Checks,
        claim: &str,
        zone: ZoneId,
        cgroup: &Path,
        action: &str,
        args: &[&Path],
    ) -> Result<(), Failure> {
        let pair = Pair::new(ZoneId::HOST, zone);
        self.pairs.write(&MapWrite::PutPair(pair))?;
        self.allowed(checks, claim, cgroup, action, args)?;
        Ok(self.pairs.write(&MapWrite::DropPair(pair))?)
    }

    /// The same of whatever is attempted.
    pub fn goes_on(
        &mut self,
        checks: &mut Checks,
        claim: &str,
        attempt: impl FnOnce() -> Outcome,
    ) -> Result<(), Failure> {
        let (outcome, counted, events) = self.watch(attempt)?;
        checks.allowed(claim, &outcome);
        let none = vec![0; Hook::ALL.len()];
        let quiet = counted == (none.clone(), none) && events.is_empty();
        checks.that(
            format!("{claim}: not counted"),
            quiet,
            format!("{counted:?}, {events:?}"),
        );
        Ok(())
    }

    /// Does it, and says by how much each hook's `deny` and `would_deny` grew, and the events.
    #[allow(clippy::type_complexity, reason = "three answers to one question")]
    pub fn watch(
        &mut self,
        attempt: impl FnOnce() -> Outcome,
    ) -> Result<(Outcome, (Vec<u64>, Vec<u64>), Vec<KernelEvent>), Failure> {
        self.events()?;
        let before = self.counters()?;
        let outcome = attempt();
        let after = self.counters()?;
        let grown = before.hooks.iter().zip(&after.hooks);
        let counted = (
            grown.clone().map(|(b, a)| a.deny - b.deny).collect(),
            grown.map(|(b, a)| a.would_deny - b.would_deny).collect(),
        );
        Ok((outcome, counted, self.events()?))
    }

    /// Nothing failed in the kernel that was not meant to.
    pub fn no_errors(&self, checks: &mut Checks) -> Result<(), Failure> {
        let counters = self.counters()?;
        let failed: Vec<_> = counters
            .error_sites
            .iter()
            .filter(|(name, count)| *count > 0 && !PROVOKED.contains(&name.as_str()))
            .collect();
        checks.that("no helper failed", failed.is_empty(), format!("{failed:?}"));
        let lost: u64 = counters.hooks.iter().map(|hook| hook.lost).sum();
        checks.equal("no event was lost", &lost, &0);
        let counted: u64 = counters.denials.iter().map(|denial| denial.count).sum();
        let denied: u64 = counters.hooks.iter().map(|hook| hook.deny).sum();
        checks.equal(
            "denials by pair add up to denials by hook",
            &counted,
            &denied,
        );
        Ok(())
    }
}
