//! The desired image: exactly what the kernel's policy maps should hold, as sorted rows.
//!
//! An [`Image`] is a projection of the journal's state (see `project`). The kernel-born rows (nested
//! cgroups) are not part of it: they are checked against cgroupfs, never against the fold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::host_socket::Grant;

/// The layout of the pinned maps: their names, types, sizes that no option sets, and what their keys and
/// values mean. A release that changes any of it, by one hook more already, has another number. A daemon
/// that meets pins of another one refuses and leaves them enforcing.
pub const SCHEMA: u32 = 1;

/// A zone's number. Never reused, never 0 for a registered zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneId(pub u32);

impl ZoneId {
    /// Everything that is in no zone: the host's tasks and sockets, unclaimed files.
    pub const HOST: ZoneId = ZoneId(0);
    /// Where a plan parks a row that changes zone, so that no step of the plan opens what neither
    /// end allows (I3). It has no members, pairs or flags of its own: nothing reaches into it.
    pub const LIMBO: ZoneId = ZoneId(u32::MAX - 1);
    /// The kernel could not tell (a walk past its bound, a dentry off its root): refused to zoned
    /// callers (I9).
    pub const UNKNOWN: ZoneId = ZoneId(u32::MAX);
    /// The engine's own files: nobody is in it, and no pair can name it.
    pub const ENGINE: ZoneId = ZoneId(u32::MAX - 2);
    /// The first id that is reserved; registered zones stay below it.
    pub const FIRST_RESERVED: u32 = u32::MAX - 15;
}

impl fmt::Display for ZoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A cgroup-v2 id: the 64-bit kernfs id, which is also the directory's inode number in cgroupfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CgroupId(pub u64);

impl fmt::Display for CgroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a file-system object, as the kernel itself names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The superblock's `s_dev` in the kernel's own encoding (`major << 20 | minor`): what stat(2)
    /// reports differs from it on btrfs and overlayfs, so it is learned from the kernel.
    pub dev: u32,
    /// The inode number (`i_ino`).
    pub ino: u64,
    /// The subvolume on file systems that have them, else 0.
    #[serde(default)]
    pub subvol: u64,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.dev >> 20, self.dev & 0xf_ffff, self.ino)?;
        if self.subvol != 0 {
            write!(f, "@{}", self.subvol)?;
        }
        Ok(())
    }
}

/// How far a claim reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The object alone.
    Exact,
    /// The object and everything below it on the same superblock, files made later included.
    Subtree,
}

/// What a zone's own row says of it as a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZoneRow {
    /// An unrestricted caller.
    pub privileged: bool,
    /// Cross-zone operations are reported (`would_deny`), not refused.
    pub audit: bool,
    /// ptrace attach inside the zone is allowed.
    pub allow_ptrace: bool,
}

/// Who put a membership row into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// A journal entry: the root of an attached subtree.
    Journal,
    /// Derived from its parent's row: by the kernel at mkdir, or by the walk at attach.
    Kernel,
}

/// A cgroup's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MemberRow {
    /// The zone its tasks are in.
    pub zone: ZoneId,
    /// The attached cgroup this one is, or descends from.
    pub root: CgroupId,
    /// Who wrote the row.
    pub origin: Origin,
}

/// A claim on a file-system object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClaimRow {
    /// The zone the object belongs to. [`ZoneId::HOST`]: it is nobody's for that, and only stays where it
    /// is, as a directory above claims.
    pub zone: ZoneId,
    /// How far the claim reaches.
    pub scope: Scope,
    /// The object's inode generation when it was claimed (`i_generation`, 0 where there is none).
    pub generation: u64,
    /// How deep the claimed path lies (components below `/`). Orders plans, not stored in the kernel:
    /// nested claims are added deepest first and removed shallowest first.
    #[serde(default)]
    pub depth: u32,
}

impl ClaimRow {
    /// Of a directory above claims.
    pub fn above(generation: u64) -> ClaimRow {
        ClaimRow {
            zone: ZoneId::HOST,
            scope: Scope::Exact,
            generation,
            depth: 0,
        }
    }

    /// Whether it gives what it is about to a zone.
    pub fn labels(&self) -> bool {
        self.zone != ZoneId::HOST
    }
}

/// An allowed pair of zones, one entry for both directions (I3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    low: ZoneId,
    high: ZoneId,
}

impl Pair {
    /// The pair of two zones, whichever is named first.
    pub fn new(a: ZoneId, b: ZoneId) -> Pair {
        Pair {
            low: a.min(b),
            high: a.max(b),
        }
    }

    /// The lower id ([`ZoneId::HOST`] if the host is one side).
    pub fn low(self) -> ZoneId {
        self.low
    }

    /// The higher id.
    pub fn high(self) -> ZoneId {
        self.high
    }

    /// Whether the zone is one of the two.
    pub fn contains(self, zone: ZoneId) -> bool {
        self.low == zone || self.high == zone
    }
}

/// What the kernel's policy maps should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Zones by id.
    pub zones: BTreeMap<ZoneId, ZoneRow>,
    /// Attached cgroups by id. Kernel-born rows are not in a desired image.
    pub members: BTreeMap<CgroupId, MemberRow>,
    /// Claims by object.
    pub claims: BTreeMap<ObjectKey, ClaimRow>,
    /// Allowed pairs.
    pub pairs: BTreeSet<Pair>,
    /// Single host sockets given to zones.
    #[serde(default)]
    pub host_sockets: BTreeSet<Grant>,
}

/// A policy map in the kernel, each owned by one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Zone rows.
    Zones,
    /// Cgroup memberships.
    Members,
    /// Object claims.
    Claims,
    /// Allowed pairs.
    Pairs,
    /// Host sockets given to zones.
    HostSockets,
    /// Epoch, sequences, mode and build id.
    Control,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 6] = [
        Table::Zones,
        Table::Members,
        Table::Claims,
        Table::Pairs,
        Table::HostSockets,
        Table::Control,
    ];

    /// The map's name: in the kernel, in errors and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Zones => "zones",
            Table::Members => "members",
            Table::Claims => "claims",
            Table::Pairs => "pairs",
            Table::HostSockets => "host_sockets",
            Table::Control => "control",
        }
    }
}

/// The node's mode: what happens to a cross-zone operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is refused with EPERM.
    #[default]
    Enforce,
    /// It is allowed and reported as `would_deny`.
    Audit,
}

impl Mode {
    /// As the command line, the metrics and the API spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        }
    }
}

/// The one row of the control map: what the kernel stamps on its events, and what invalidates the
/// labels it has cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The map layout ([`SCHEMA`]).
    pub schema: u32,
    /// The node's mode, for people; a decision reads its zone's own row.
    pub mode: Mode,
    /// Advances after every change of the claims; a label cached under another epoch is stale.
    pub epoch: u64,
    /// The last journal sequence whose effects are all in the maps.
    pub applied: u64,
    /// The journal sequence being written; equal to `applied` when nothing is.
    pub applying: u64,
    /// Which BPF object wrote the row.
    pub build: u64,
}

/// One step of a plan: one write to one map. Applying it twice changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MapWrite {
    /// Creates or replaces a zone row.
    PutZone(ZoneId, ZoneRow),
    /// Removes a zone row; absent is fine.
    DropZone(ZoneId),
    /// Creates or replaces a membership, also of the cgroups below that are no roots and of which the plan
    /// has no step.
    PutMember(CgroupId, MemberRow),
    /// Removes a membership, also of those cgroups; absent is fine.
    DropMember(CgroupId),
    /// Creates or replaces a claim.
    PutClaim(ObjectKey, ClaimRow),
    /// Removes a claim; absent is fine.
    DropClaim(ObjectKey),
    /// Opens a pair.
    PutPair(Pair),
    /// Closes a pair; absent is fine.
    DropPair(Pair),
    /// Gives a zone a host socket.
    PutHostSocket(Grant),
    /// Takes it away; absent is fine.
    DropHostSocket(Grant),
    /// Advances the epoch, so that labels cached before the claim writes above are not used again.
    AdvanceEpoch,
}

impl MapWrite {
    /// The map the step writes.
    pub const fn table(&self) -> Table {
        match self {
            MapWrite::PutZone(..) | MapWrite::DropZone(..) => Table::Zones,
            MapWrite::PutMember(..) | MapWrite::DropMember(..) => Table::Members,
            MapWrite::PutClaim(..) | MapWrite::DropClaim(..) => Table::Claims,
            MapWrite::PutPair(..) | MapWrite::DropPair(..) => Table::Pairs,
            MapWrite::PutHostSocket(_) | MapWrite::DropHostSocket(_) => Table::HostSockets,
            MapWrite::AdvanceEpoch => Table::Control,
        }
    }
}
