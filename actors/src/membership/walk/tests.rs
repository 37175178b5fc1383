//! What the walk makes of what it is shown: a zone's quota bounds what a check takes in, and not what the host
//! says is in the zone; and nothing is gone for not being shown.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use syva_model::plan::{Change, Diff, plan};

use super::*;
use crate::cgroups::{CgroupTree, Enter, Sight};

/// `/zone` has two cgroups, and one of these another.
#[derive(Default)]
struct Tree {
    /// How many of the next lists leave out `/zone`, and how many `/zone/a`, with what lies below.
    without_zone: Cell<usize>,
    without_a: Cell<usize>,
}

/// Each with the one it lies in.
const TREE: [(u64, u64, &str); 5] = [
    (1, 1, ""),
    (2, 1, "zone"),
    (3, 2, "a"),
    (4, 2, "b"),
    (5, 3, "deep"),
];

struct Seen(CgroupId);

impl Sight for Seen {
    fn id(&self) -> CgroupId {
        self.0
    }

    fn is_there(&self) -> io::Result<bool> {
        Ok(true)
    }
}

fn once_less(left: &Cell<usize>) -> bool {
    let before = left.get();
    left.set(before.saturating_sub(1));
    before > 0
}

impl Hierarchy for Tree {
    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn all(&self) -> io::Result<Cgroups> {
        let (zone, a) = (once_less(&self.without_zone), once_less(&self.without_a));
        let mut found = Cgroups::below(CgroupId(1));
        for (id, above, name) in &TREE[1..] {
            if !(zone && *id == 2 || a && *id == 3) {
                found.add(CgroupId(*id), CgroupId(*above), OsStr::new(name));
            }
        }
        Ok(found)
    }

    fn is_there(&self, _: &Cgroups, id: CgroupId) -> io::Result<bool> {
        Ok(TREE.iter().any(|(there, ..)| *there == id.0))
    }

    fn below(&self, _: &Cgroups, id: CgroupId, enter: &mut Enter<'_>) -> Result<(), KernelError> {
        descend(id.0, enter)
    }
}

fn descend(id: u64, enter: &mut Enter<'_>) -> Result<(), KernelError> {
    for (inner, above, _) in &TREE[1..] {
        if *above == id && enter(&Seen(CgroupId(*inner)))? {
            descend(*inner, enter)?;
        }
    }
    Ok(())
}

struct Table {
    rows: BTreeMap<CgroupId, MemberRow>,
    quota: usize,
}

impl Members for Table {
    fn member(&mut self, id: CgroupId) -> Result<Option<MemberRow>, KernelError> {
        Ok(self.rows.get(&id).copied())
    }

    fn write(&mut self, step: MapWrite) -> Result<(), KernelError> {
        match step {
            MapWrite::PutMember(id, row) => drop(self.rows.insert(id, row)),
            MapWrite::DropMember(id) => drop(self.rows.remove(&id)),
            _ => {}
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<Vec<(CgroupId, MemberRow)>, KernelError> {
        Ok(self.rows.iter().map(|(id, row)| (*id, *row)).collect())
    }

    fn room(&mut self, zone: ZoneId) -> Result<u64, KernelError> {
        let born = |row: &&MemberRow| row.zone == zone && row.origin == Origin::Kernel;
        let held = self.rows.values().filter(born).count();
        Ok(self.quota.saturating_sub(held) as u64)
    }
}

/// Surveys, and plans and writes what is wrong. Returns how many rows that were.
fn repair<H: Hierarchy>(
    walker: &Walker<H>,
    table: &mut Table,
    roots: &BTreeMap<CgroupId, MemberRow>,
) -> usize {
    let Survey { held, wanted, .. } = walker.survey(table, roots).expect("surveyed");
    let members = Change::between(&held, &wanted);
    let steps = plan(&Diff {
        members,
        ..Diff::default()
    });
    let named = steps.iter().filter_map(|step| match step {
        MapWrite::PutMember(id, _) => Some(*id),
        _ => None,
    });
    let named = named.collect();
    walker
        .steps(table, &steps, &named, &BTreeSet::new())
        .expect("repaired");
    steps.len()
}

#[test]
fn a_repair_takes_in_no_more_than_the_zone_may_have_and_an_attachment_all() {
    let zone = ZoneId(7);
    let root = CgroupId(2);
    let row = MemberRow {
        zone,
        root,
        origin: Origin::Journal,
    };
    let roots = BTreeMap::from([(root, row)]);
    let rows = roots.clone();
    let mut table = Table { rows, quota: 1 };
    let walker = Walker::new(Tree::default());
    assert_eq!(repair(&walker, &mut table, &roots), 1);
    let again = repair(&walker, &mut table, &roots);
    assert_eq!(again, 0, "nothing is drift that is left out");
    assert_eq!(table.rows.len(), 2);

    table.quota = 3;
    let more = repair(&walker, &mut table, &roots);
    assert_eq!(more, 2, "with room, the rest");

    table.rows.clear();
    table.quota = 0;
    let attach = MapWrite::PutMember(root, row);
    let named = BTreeSet::from([root]);
    walker
        .steps(&mut table, &[attach], &named, &BTreeSet::new())
        .expect("attached");
    assert_eq!(table.rows.len(), 4, "the host says what is in the zone");
}

fn root_of(zone: u32, root: CgroupId) -> (MemberRow, BTreeMap<CgroupId, MemberRow>) {
    let row = MemberRow {
        zone: ZoneId(zone),
        root,
        origin: Origin::Journal,
    };
    (row, BTreeMap::from([(root, row)]))
}

#[test]
fn a_row_whose_cgroup_is_in_no_list_stays_for_as_long_as_its_root() {
    let (row, mut roots) = root_of(7, CgroupId(2));
    let removed = CgroupId(9);
    let mut rows = roots.clone();
    rows.extend([3, 4, 5].map(|id| (CgroupId(id), born_of(row))));
    rows.insert(removed, born_of(row));
    let mut table = Table {
        rows: rows.clone(),
        quota: 9,
    };
    let walker = Walker::new(Tree::default());
    for _ in 0..4 {
        walker.tree.without_a.set(9);
        assert_eq!(repair(&walker, &mut table, &roots), 0);
        assert_eq!(table.rows, rows);
    }
    // It changes as all the others do.
    let (moved, again) = root_of(8, CgroupId(2));
    assert_eq!(
        repair(&walker, &mut table, &again),
        2 * rows.len(),
        "parked and written"
    );
    assert!(table.rows.values().all(|row| row.zone == moved.zone));
    roots.clear();
    walker.tree.without_a.set(0);
    repair(&walker, &mut table, &roots);
    assert_eq!(table.rows, BTreeMap::new(), "the root's membership is over");
}

#[test]
fn a_root_is_gone_only_if_several_lists_lack_it() {
    let (_, roots) = root_of(7, CgroupId(2));
    let mut table = Table {
        rows: roots.clone(),
        quota: 9,
    };
    let walker = Walker::new(Tree::default());
    for (lists, gone) in [(0, vec![]), (2, vec![]), (3, vec![CgroupId(2)])] {
        walker.tree.without_zone.set(lists);
        let survey = walker.survey(&mut table, &roots).expect("surveyed");
        assert_eq!(survey.gone, gone, "{lists}");
    }
    // Nor is it taken out of the zone around it for one list.
    let (_, around) = root_of(8, CgroupId(1));
    walker.tree.without_zone.set(1);
    let heirs = walker.inherited(&mut table, &around, &[CgroupId(2)]);
    assert_eq!(heirs.expect("found").len(), 1);
}

/// Kernfs takes every name but those with a slash or a newline.
#[test]
fn what_lies_below_a_name_that_is_no_text_stays_in_its_zone() {
    let dir = tempfile::tempdir().expect("a directory");
    let zone = dir.path().join("zone");
    let strange = zone.join(OsString::from_vec(vec![0xff]));
    let inner = strange.join("x");
    fs::create_dir_all(&inner).expect("made");
    let id = |path: &Path| CgroupId(fs::metadata(path).expect("there").ino());
    let (row, roots) = root_of(7, id(&zone));
    let mut table = Table {
        rows: BTreeMap::new(),
        quota: 9,
    };
    let walker = Walker::new(CgroupTree::at(dir.path()));
    let put = |table: &mut Table, row: MemberRow| {
        let step = MapWrite::PutMember(id(&zone), row);
        let named = BTreeSet::from([id(&zone)]);
        walker
            .steps(table, &[step], &named, &BTreeSet::new())
            .expect("written");
    };
    put(&mut table, row);
    let zoned = |row: MemberRow| {
        let born = [&strange, &inner].map(|path| (id(path), born_of(row)));
        BTreeMap::from_iter([(id(&zone), row)].into_iter().chain(born))
    };
    assert_eq!(table.rows, zoned(row), "attached");
    for _ in 0..3 {
        assert_eq!(repair(&walker, &mut table, &roots), 0);
    }
    assert_eq!(table.rows, zoned(row), "compared");
    let (moved, _) = root_of(8, id(&zone));
    put(&mut table, moved);
    assert_eq!(table.rows, zoned(moved), "given to another zone");
    table.rows.remove(&id(&inner));
    let (_, roots) = root_of(8, id(&zone));
    assert_eq!(repair(&walker, &mut table, &roots), 1);
    assert_eq!(table.rows, zoned(moved), "repaired");
}
