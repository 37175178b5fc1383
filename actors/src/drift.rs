//! Drift: what the maps held though the journal does not say so, row by row, as an event tells it
//! (D14).

use std::fmt;
use std::time::SystemTime;

use syva_model::image::{ClaimRow, MemberRow, Origin, Pair, Scope, Table, ZoneRow};
use syva_model::plan::{Change, Diff};

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
    let Diff {
        zones,
        members,
        claims,
        pairs,
        host_sockets,
    } = &report.rows;
    let on = |table: Table| move |(key, found, wanted)| drift(table.name(), key, found, wanted);
    let pairs = pairs.iter().map(|change| {
        let open = |held: Option<()>| held.map(|()| "open".to_owned());
        (pair(change.key), open(change.old), open(change.new))
    });
    let given = |(): &()| "given".to_owned();
    let recounted = report.recounted.iter().map(|count| {
        let key = format!("{} {}", count.zone, count.share.name());
        let (found, wanted) = (count.counted.to_string(), count.rows.to_string());
        drift(USAGE, key, Some(found), Some(wanted))
    });
    told(zones, zone)
        .map(on(Table::Zones))
        .chain(told(members, member).map(on(Table::Members)))
        .chain(told(claims, claim).map(on(Table::Claims)))
        .chain(pairs.map(on(Table::Pairs)))
        .chain(told(host_sockets, given).map(on(Table::HostSockets)))
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
