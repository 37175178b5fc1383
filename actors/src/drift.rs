//! Drift: what the maps held though the journal does not say so, row by row, as an event tells it
//! (D14).

use std::fmt;
use std::time::SystemTime;

use syva_model::image::{ClaimRow, MemberRow, Origin, Pair, Scope, Table, ZoneRow};
use syva_model::plan::Change;

use crate::reconciler::Report;

/// How many rows of one comparison are told one by one; every one of them tells how many there were.
pub const TOLD: usize = 256;

/// A row that differed and was put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// When it was found.
    pub time: SystemTime,
    /// The map's name.
    pub map: &'static str,
    /// The row's key.
    pub key: String,
    /// What the map held; nothing if there was no row.
    pub found: Option<String>,
    /// What it holds now; nothing if there is no row.
    pub wanted: Option<String>,
    /// How many rows this comparison put right.
    pub rows: u64,
    /// The journal entry up to which the desired image went.
    pub seq: u64,
}

/// What the counts of what zones have are told under.
const USAGE: &str = "zone_usage";

/// The rows of a comparison, [`TOLD`] at most.
pub fn of(report: &Report, seq: u64) -> Vec<Drift> {
    let (time, rows) = (SystemTime::now(), report.repaired() as u64);
    let drift = |map, key: String, found, wanted| Drift {
        time,
        map,
        key,
        found,
        wanted,
        rows,
        seq,
    };
    let (changes, born) = (&report.rows, &report.born);
    let zones = told(&changes.zones, zone);
    let members = told(&changes.members, member);
    let claims = told(&changes.claims, claim);
    let pairs = changes.pairs.iter().map(|change| {
        let open = |held: Option<()>| held.map(|()| "open".to_owned());
        (pair(change.key), open(change.old), open(change.new))
    });
    // What a kernel-born row held is not kept: it was none, or another than the cgroup above it has.
    let relabelled = born.relabelled.iter().map(|cgroup| {
        let (found, wanted) = ("missing or wrong", "as the cgroup above it");
        (cgroup.to_string(), Some(found.into()), Some(wanted.into()))
    });
    let removed = born
        .removed
        .iter()
        .map(|cgroup| (cgroup.to_string(), Some("kernel-born".into()), None));
    let recounted = born.recounted.iter().map(|count| {
        let key = format!("{} {}", count.zone, count.share.name());
        let (found, wanted) = (count.counted.to_string(), count.rows.to_string());
        drift(USAGE, key, Some(found), Some(wanted))
    });
    let on = |table: Table| move |(key, found, wanted)| drift(table.name(), key, found, wanted);
    zones
        .map(on(Table::Zones))
        .chain(members.map(on(Table::Members)))
        .chain(claims.map(on(Table::Claims)))
        .chain(pairs.map(on(Table::Pairs)))
        .chain(relabelled.map(on(Table::Members)))
        .chain(removed.map(on(Table::Members)))
        .chain(recounted)
        .take(TOLD)
        .collect()
}

type Told = (String, Option<String>, Option<String>);

fn told<K: fmt::Display, V>(
    changes: &[Change<K, V>],
    text: impl Fn(&V) -> String,
) -> impl Iterator<Item = Told> {
    changes.iter().map(move |change| {
        let (old, new) = (change.old.as_ref(), change.new.as_ref());
        (change.key.to_string(), old.map(&text), new.map(&text))
    })
}

fn zone(row: &ZoneRow) -> String {
    let ZoneRow {
        privileged,
        audit,
        allow_ptrace,
    } = row;
    format!("privileged={privileged} audit={audit} allow_ptrace={allow_ptrace}")
}

fn member(row: &MemberRow) -> String {
    let origin = match row.origin {
        Origin::Journal => "journal",
        Origin::Kernel => "kernel",
    };
    format!("zone={} root={} origin={origin}", row.zone, row.root)
}

fn claim(row: &ClaimRow) -> String {
    let scope = match row.scope {
        Scope::Exact => "exact",
        Scope::Subtree => "subtree",
    };
    let (zone, generation) = (row.zone, row.generation);
    format!("zone={zone} scope={scope} generation={generation}")
}

fn pair(pair: Pair) -> String {
    format!("{} {}", pair.low(), pair.high())
}
