//! The plan: in which order the rows are written, so that no step allows what neither end allows
//! (I3).
//!
//! The phases, and why they stand where they do:
//!
//! 1. close pairs, take host sockets and permissions away: only tightens;
//! 2. park in limbo whatever changes zone or will go, if there is more than that one change: while
//!    two rows change zone one after the other, a caller already in its new zone must not meet an
//!    object still in its old one;
//! 3. write claims: first the directories above them, so that no claim is in force that could be moved;
//!    then the claims, deepest first, those last that let go of something: an object's nearest claim is
//!    then its old one or its new one, never one between or none; advance the epoch;
//! 4. write memberships, new ones before those that come out of limbo;
//! 5. remove claims, shallowest first, and then the directories above them, for the reasons of 3; advance
//!    the epoch;
//! 6. remove memberships: the tasks are the host's from here on;
//! 7. give permissions to zone rows, open pairs, give host sockets: only what the new image allows.

use std::collections::BTreeMap;

use crate::host_socket::Grant;
use crate::image::{
    CgroupId, ClaimRow, Image, MapWrite, MemberRow, ObjectKey, Pair, Scope, ZoneId, ZoneRow,
};

/// One row that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<K, V> {
    /// Its key.
    pub key: K,
    /// What it was.
    pub old: Option<V>,
    /// What it shall be.
    pub new: Option<V>,
}

impl<K: Copy + Ord, V: Copy + PartialEq> Change<K, V> {
    /// The change from one value to another, if they differ.
    pub fn of(key: K, old: Option<V>, new: Option<V>) -> Option<Change<K, V>> {
        (old != new).then_some(Change { key, old, new })
    }

    /// Every change between two sets of rows, in key order.
    pub fn between(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<Change<K, V>> {
        let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
        let gone = gone.filter_map(|(key, row)| Change::of(*key, Some(*row), None));
        let here = new
            .iter()
            .filter_map(|(k, row)| Change::of(*k, old.get(k).copied(), Some(*row)));
        let mut changes: Vec<_> = gone.chain(here).collect();
        changes.sort_by_key(|change| change.key);
        changes
    }
}

/// Everything that differs between two images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Zone rows.
    pub zones: Vec<Change<ZoneId, ZoneRow>>,
    /// Memberships.
    pub members: Vec<Change<CgroupId, MemberRow>>,
    /// Claims.
    pub claims: Vec<Change<ObjectKey, ClaimRow>>,
    /// Pairs.
    pub pairs: Vec<Change<Pair, ()>>,
    /// Host sockets given.
    pub host_sockets: Vec<Change<Grant, ()>>,
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows differ.
    pub fn len(&self) -> usize {
        self.zones.len()
            + self.members.len()
            + self.claims.len()
            + self.pairs.len()
            + self.host_sockets.len()
    }

    /// Whether some row changes zone or reach while something else changes too, so that the order
    /// alone cannot make every step safe.
    fn needs_limbo(&self) -> bool {
        let moved = self.members.iter().any(moves);
        let relabelled = self
            .claims
            .iter()
            .any(|c| labelled(c).is_some_and(|old| c.new.is_some() || old.depth == UNKNOWN));
        (moved || relabelled) && self.members.len() + self.claims.len() > 1
    }
}

/// The depth of a claim that was found in the kernel and is nowhere else. Nothing can claim `/`.
const UNKNOWN: u32 = 0;

/// Whether a cgroup goes from one zone to another. From the host, or to it, is no such thing.
fn moves(change: &Change<CgroupId, MemberRow>) -> bool {
    matches!((change.old, change.new), (Some(old), Some(new)) if old.zone != new.zone)
}

/// Whether a cgroup stays in its zone, and only whose it is there changes.
fn stays(change: &Change<CgroupId, MemberRow>) -> bool {
    matches!((change.old, change.new), (Some(old), Some(new)) if old.zone == new.zone)
}

/// The ordered steps from one image to another.
pub fn plan(diff: &Diff) -> Vec<MapWrite> {
    let mut steps = Vec::new();
    tighten(diff, &mut steps);
    if diff.needs_limbo() {
        park(diff, &mut steps);
    }
    claim(diff, &mut steps);
    join(diff, &mut steps);
    unclaim(diff, &mut steps);
    leave(diff, &mut steps);
    loosen(diff, &mut steps);
    steps
}

fn tighten(diff: &Diff, steps: &mut Vec<MapWrite>) {
    steps.extend(
        diff.pairs
            .iter()
            .filter(|c| c.new.is_none())
            .map(|c| MapWrite::DropPair(c.key)),
    );
    let taken = diff.host_sockets.iter().filter(|c| c.new.is_none());
    steps.extend(taken.map(|c| MapWrite::DropHostSocket(c.key)));
    for change in &diff.zones {
        match (change.old, change.new) {
            // Without a row a zone is judged as the strictest, so this only tightens.
            (Some(_), None) => steps.push(MapWrite::DropZone(change.key)),
            (Some(old), Some(new)) if both(old, new) != old => {
                steps.push(MapWrite::PutZone(change.key, both(old, new)));
            }
            _ => {}
        }
    }
}

/// What both rows permit.
fn both(a: ZoneRow, b: ZoneRow) -> ZoneRow {
    ZoneRow {
        privileged: a.privileged && b.privileged,
        audit: a.audit && b.audit,
        allow_ptrace: a.allow_ptrace && b.allow_ptrace,
    }
}

fn park(diff: &Diff, steps: &mut Vec<MapWrite>) {
    for change in diff.members.iter().filter(|change| !stays(change)) {
        if let Some(row) = change.old {
            let zone = ZoneId::LIMBO;
            steps.push(MapWrite::PutMember(change.key, MemberRow { zone, ..row }));
        }
    }
    for change in &diff.claims {
        if let Some(row) = labelled(change) {
            steps.push(MapWrite::PutClaim(
                change.key,
                ClaimRow {
                    zone: ZoneId::LIMBO,
                    ..row
                },
            ));
        }
    }
    if diff.claims.iter().any(|c| labelled(c).is_some()) {
        steps.push(MapWrite::AdvanceEpoch);
    }
}

/// The row that was there, if it gave something to a zone.
fn labelled(change: &Change<ObjectKey, ClaimRow>) -> Option<ClaimRow> {
    change.old.filter(ClaimRow::labels)
}

fn claim(diff: &Diff, steps: &mut Vec<MapWrite>) {
    let put = |c: &Change<ObjectKey, ClaimRow>| c.new.map(|row| (turn(c), c.key, row));
    let mut rows: Vec<_> = diff.claims.iter().filter_map(put).collect();
    rows.sort_by_key(|(turn, key, row)| (*turn, std::cmp::Reverse(row.depth), *key));
    let any = !rows.is_empty();
    steps.extend(
        rows.into_iter()
            .map(|(_, key, row)| MapWrite::PutClaim(key, row)),
    );
    if any {
        steps.push(MapWrite::AdvanceEpoch);
    }
}

/// When a claim's row is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Of a directory above claims that was nobody's before: it must stay where it is by the time there
    /// are claims below it.
    Above,
    /// Of any other.
    Claim,
    /// It lets go of itself or of what lies below it, which then falls to the nearest claim above: that
    /// must be written first.
    LetsGo,
}

fn turn(change: &Change<ObjectKey, ClaimRow>) -> Turn {
    let becomes = change.new.filter(ClaimRow::labels);
    match (labelled(change), becomes) {
        (None, None) => Turn::Above,
        (Some(_), None) => Turn::LetsGo,
        (Some(old), Some(new)) if (old.scope, new.scope) == (Scope::Subtree, Scope::Exact) => {
            Turn::LetsGo
        }
        _ => Turn::Claim,
    }
}

fn join(diff: &Diff, steps: &mut Vec<MapWrite>) {
    for fresh in [true, false] {
        let these = diff.members.iter().filter(|c| c.old.is_none() == fresh);
        steps.extend(these.filter_map(|c| c.new.map(|row| MapWrite::PutMember(c.key, row))));
    }
}

fn unclaim(diff: &Diff, steps: &mut Vec<MapWrite>) {
    let gone = |c: &Change<ObjectKey, ClaimRow>| match (c.old, c.new) {
        (Some(row), None) => Some((!row.labels(), row.depth, c.key)),
        _ => None,
    };
    let mut keys: Vec<_> = diff.claims.iter().filter_map(gone).collect();
    keys.sort_unstable();
    let any = !keys.is_empty();
    steps.extend(keys.into_iter().map(|(_, _, key)| MapWrite::DropClaim(key)));
    if any {
        steps.push(MapWrite::AdvanceEpoch);
    }
}

fn leave(diff: &Diff, steps: &mut Vec<MapWrite>) {
    let gone = diff.members.iter().filter(|c| c.new.is_none());
    steps.extend(gone.map(|c| MapWrite::DropMember(c.key)));
}

fn loosen(diff: &Diff, steps: &mut Vec<MapWrite>) {
    for change in &diff.zones {
        if let Some(new) = change.new
            && change.old.map(|old| both(old, new)) != Some(new)
        {
            steps.push(MapWrite::PutZone(change.key, new));
        }
    }
    steps.extend(
        diff.pairs
            .iter()
            .filter(|c| c.new.is_some())
            .map(|c| MapWrite::PutPair(c.key)),
    );
    let given = diff.host_sockets.iter().filter(|c| c.new.is_some());
    steps.extend(given.map(|c| MapWrite::PutHostSocket(c.key)));
}

impl Image {
    /// What a step makes of the maps. The in-memory kernel and the tests use it; a real kernel's
    /// maps are read back and compared.
    pub fn apply(&mut self, step: &MapWrite) {
        match *step {
            MapWrite::PutZone(id, row) => drop(self.zones.insert(id, row)),
            MapWrite::DropZone(id) => drop(self.zones.remove(&id)),
            MapWrite::PutMember(id, row) => drop(self.members.insert(id, row)),
            MapWrite::DropMember(id) => drop(self.members.remove(&id)),
            MapWrite::PutClaim(key, row) => drop(self.claims.insert(key, row)),
            MapWrite::DropClaim(key) => drop(self.claims.remove(&key)),
            MapWrite::PutPair(pair) => drop(self.pairs.insert(pair)),
            MapWrite::DropPair(pair) => drop(self.pairs.remove(&pair)),
            MapWrite::PutHostSocket(grant) => drop(self.host_sockets.insert(grant)),
            MapWrite::DropHostSocket(grant) => drop(self.host_sockets.remove(&grant)),
            MapWrite::AdvanceEpoch => {}
        }
    }

    /// Makes every change of a diff at once.
    pub fn accept(&mut self, diff: &Diff) {
        fn set<K: Copy + Ord, V: Copy>(rows: &mut BTreeMap<K, V>, changes: &[Change<K, V>]) {
            for change in changes {
                match change.new {
                    Some(row) => rows.insert(change.key, row),
                    None => rows.remove(&change.key),
                };
            }
        }
        set(&mut self.zones, &diff.zones);
        set(&mut self.members, &diff.members);
        set(&mut self.claims, &diff.claims);
        for change in &diff.pairs {
            match change.new {
                Some(()) => self.pairs.insert(change.key),
                None => self.pairs.remove(&change.key),
            };
        }
        for change in &diff.host_sockets {
            match change.new {
                Some(()) => self.host_sockets.insert(change.key),
                None => self.host_sockets.remove(&change.key),
            };
        }
    }
}
