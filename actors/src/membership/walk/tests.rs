//! A zone's quota bounds what a check takes in, and not what the host says is in the zone.

use std::io;
use std::path::Path;

use syva_model::plan::{Change, Diff, plan};

use super::*;

/// `/zone` has two cgroups, and one of these another.
struct Tree;

const TREE: [(u64, &str); 5] = [
    (1, "/"),
    (2, "/zone"),
    (3, "/zone/a"),
    (4, "/zone/b"),
    (5, "/zone/a/deep"),
];

impl Hierarchy for Tree {
    fn root(&self) -> &Path {
        Path::new("/")
    }

    fn all(&self) -> io::Result<BTreeMap<CgroupId, String>> {
        Ok(TREE
            .map(|(id, path)| (CgroupId(id), path.to_owned()))
            .into())
    }

    fn id_at(&self, path: &str) -> Option<CgroupId> {
        let found = TREE.iter().find(|(_, there)| *there == path);
        found.map(|(id, _)| CgroupId(*id))
    }

    fn children(&self, path: &str) -> io::Result<Vec<Found>> {
        let below = |there: &str| {
            let rest = there.strip_prefix(path)?.strip_prefix('/')?;
            (!rest.contains('/')).then_some(())
        };
        let found = TREE.iter().filter(|(_, there)| below(there).is_some());
        Ok(found
            .map(|(id, path)| (CgroupId(*id), (*path).to_owned()))
            .collect())
    }
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
fn repair(
    walker: &mut Walker<Tree>,
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
    walker.steps(table, &steps, &named).expect("repaired");
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
    let mut walker = Walker::new(Tree);
    assert_eq!(repair(&mut walker, &mut table, &roots), 1);
    let again = repair(&mut walker, &mut table, &roots);
    assert_eq!(again, 0, "nothing is drift that is left out");
    assert_eq!(table.rows.len(), 2);

    table.quota = 3;
    let more = repair(&mut walker, &mut table, &roots);
    assert_eq!(more, 2, "with room, the rest");

    table.rows.clear();
    table.quota = 0;
    let attach = MapWrite::PutMember(root, row);
    let named = BTreeSet::from([root]);
    walker
        .steps(&mut table, &[attach], &named)
        .expect("attached");
    assert_eq!(table.rows.len(), 4, "the host says what is in the zone");
}
