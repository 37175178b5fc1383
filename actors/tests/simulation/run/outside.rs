//! What others do to the node: cgroups that come and go, and maps changed behind the daemon's back.

use syva_model::image::{MemberRow, Origin, Pair, ZoneId, ZoneRow};

use super::Run;

impl Run {
    pub(super) fn make_cgroup(&mut self) {
        let name = self.odds.pick(&["a", "b", "c"]);
        let mut parents = self.tree.paths();
        parents.retain(|(path, _)| path.matches('/').count() < 3);
        let (parent, above) = parents[self.odds.below(parents.len())].clone();
        let path = format!("{}/{name}", parent.trim_end_matches('/'));
        if self.tree.paths().iter().any(|(held, _)| *held == path) {
            return;
        }
        let id = self.tree.make(&path);
        // As the kernel does at mkdir.
        self.kernel.tamper(|image| {
            if let Some(row) = image.members.get(&above).copied() {
                let origin = Origin::Kernel;
                image.members.insert(id, MemberRow { origin, ..row });
            }
        });
        self.note(format!("cgroup {path} is made: {id}"));
    }

    pub(super) fn remove_cgroup(&mut self) {
        let mut leaves = self.cgroups();
        let all = leaves.clone();
        leaves.retain(|(path, _)| !all.iter().any(|(p, _)| crate::reach::is_below(p, path)));
        if leaves.is_empty() {
            return;
        }
        let (path, id) = leaves[self.odds.below(leaves.len())].clone();
        self.tree.remove(&path);
        self.kernel.tamper(|image| {
            image.members.remove(&id);
        });
        // If it was attached the daemon has yet to notice.
        self.tampered = 2;
        self.note(format!("cgroup {path} is removed: {id}"));
    }

    /// Somebody changes the maps behind the daemon's back.
    pub(super) fn drift(&mut self) {
        let (kind, zone) = (self.odds.below(7), ZoneId(1 + self.odds.below(3) as u32));
        let other = ZoneId(1 + self.odds.below(3) as u32);
        let cgroups = self.cgroups();
        let cgroup = (!cgroups.is_empty()).then(|| cgroups[self.odds.below(cgroups.len())].1);
        let (privileged, object) = (self.odds.percent(50), self.files.object(self.odds.below(4)));
        self.kernel.tamper(|image| match (kind, cgroup) {
            (0, _) => drop(image.zones.remove(&zone)),
            (1, _) => drop(image.zones.insert(
                zone,
                ZoneRow {
                    privileged,
                    ..ZoneRow::default()
                },
            )),
            (2, _) => drop(image.claims.remove(&object)),
            (3, _) => image.claims.values_mut().for_each(|row| row.zone = zone),
            (4, _) if zone != other => drop(image.pairs.insert(Pair::new(zone, other))),
            (4, _) => image.pairs.clear(),
            (5, Some(id)) => drop(image.members.remove(&id)),
            (6, Some(root)) => {
                let row = MemberRow {
                    zone,
                    root,
                    origin: Origin::Journal,
                };
                image.members.insert(root, row);
            }
            _ => {}
        });
        self.tampered = 2;
        self.note(format!(
            "drift of kind {kind}: zone {zone}, cgroup {cgroup:?}"
        ));
    }
}
