//! A zone's quota bounds what a check takes in, and not what the host says is in the zone.

use std::io;
use std::path::Path;

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

    fn has_room(&mut self, zone: ZoneId) -> Result<bool, KernelError> {
        let born = |row: &&MemberRow| row.zone == zone && row.origin == Origin::Kernel;
        Ok(self.rows.values().filter(born).count() < self.quota)
    }
}

#[test]
fn a_check_takes_in_no_more_than_the_zone_may_have_and_an_attachment_all() {
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
    let checked = walker.check(&mut table, &roots).expect("checked");
    assert_eq!(checked.relabelled.len(), 1, "{checked:?}");
    let again = walker.check(&mut table, &roots).expect("checked");
    assert_eq!(
        again,
        Checked::default(),
        "nothing is drift that is left out"
    );
    assert_eq!(table.rows.len(), 2);

    table.quota = 3;
    let checked = walker.check(&mut table, &roots).expect("checked");
    assert_eq!(
        checked.relabelled.len(),
        2,
        "with room, the rest: {checked:?}"
    );

    table.rows.clear();
    table.quota = 0;
    let attach = MapWrite::PutMember(root, row);
    walker.steps(&mut table, &[attach]).expect("attached");
    assert_eq!(table.rows.len(), 4, "the host says what is in the zone");
}
