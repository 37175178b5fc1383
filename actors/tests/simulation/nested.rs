//! I3 where cgroups lie in each other, exhaustively on a small world: whatever the maps are found to hold, and
//! whatever batch of entries is applied to maps that are right, what the kernel derives included.

use std::sync::Arc;

use syva_actors::memory::MemoryKernel;
use syva_actors::reconciler::{Desired, Work};
use syva_model::image::{
    CgroupId, ClaimRow, Image, MemberRow, Mode, ObjectKey, Origin, Scope, ZoneId, ZoneRow,
};
use syva_model::project::diff;

use crate::commands::{Files, PATHS};
use crate::node::{Board, Owned};
use crate::odds::Odds;
use crate::reach::{Reach, Scene};
use crate::tree::Tree;

const ONE: ZoneId = ZoneId(1);
const TWO: ZoneId = ZoneId(2);
const ANY: [Option<ZoneId>; 3] = [None, Some(ONE), Some(TWO)];
/// Each lies in the one before.
const CGROUPS: [&str; 3] = ["/a", "/a/b", "/a/b/c"];

/// A small world: its cgroups, of which so many can be in zones, and two claims, one in the other.
struct World {
    tree: Tree,
    files: Files,
    cgroups: Vec<(String, CgroupId)>,
    kernel: MemoryKernel,
    odds: Odds,
}

impl World {
    fn of(depth: usize) -> World {
        let tree = Tree::default();
        tree.make("/");
        let cgroups = CGROUPS[..depth].iter();
        let cgroups = cgroups.map(|path| ((*path).to_owned(), tree.make(path)));
        World {
            cgroups: cgroups.collect(),
            tree,
            files: Files::default(),
            kernel: MemoryKernel::new(),
            odds: Odds::new(0, None),
        }
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            cgroups: &self.cgroups,
            files: &self.files,
        }
    }

    fn object(&self, n: usize) -> ObjectKey {
        self.files.object(n)
    }

    /// Every image of those rows.
    fn images(&self, members: &[Option<MemberRow>], claims: usize) -> Vec<Image> {
        let mut all = vec![Image::default()];
        all[0]
            .zones
            .extend([ONE, TWO].map(|zone| (zone, ZoneRow::default())));
        for (_, id) in &self.cgroups {
            let with = |image: &Image, row: &Option<MemberRow>| {
                let mut image = image.clone();
                let own = |row: MemberRow| match row.origin {
                    Origin::Journal => MemberRow { root: *id, ..row },
                    Origin::Kernel => row,
                };
                image.members.extend(row.map(|row| (*id, own(row))));
                image
            };
            let each = all
                .iter()
                .flat_map(|image| members.iter().map(|row| with(image, row)));
            all = each.collect();
        }
        for (n, path) in PATHS.iter().enumerate().take(claims) {
            let with = |image: &Image, zone: Option<ZoneId>| {
                let mut image = image.clone();
                let row = zone.map(|zone| ClaimRow {
                    zone,
                    scope: Scope::Subtree,
                    generation: 1,
                    depth: path.matches('/').count() as u32,
                });
                image.claims.extend(row.map(|row| (self.object(n), row)));
                image
            };
            let each = all
                .iter()
                .flat_map(|image| ANY.map(|zone| with(image, zone)));
            all = each.collect();
        }
        all
    }

    /// Every image that entries can lead to.
    fn desired(&self, claims: usize) -> Vec<Image> {
        let rows = ANY.map(|zone| zone.map(|zone| row(zone, CgroupId(0), Origin::Journal)));
        self.images(&rows, claims)
    }

    /// Every image that may be found: rows of roots, rows that the kernel derives and whatever it derives
    /// them from, and what a plan that broke off has left in limbo.
    fn found(&self, claims: usize) -> Vec<Image> {
        let root = self.cgroups[0].1;
        let rows = [ONE, TWO].map(|zone| {
            [Origin::Journal, Origin::Kernel].map(|origin| Some(row(zone, root, origin)))
        });
        let others = [None, Some(row(ZoneId::LIMBO, root, Origin::Kernel))];
        let rows: Vec<_> = rows.into_iter().flatten().chain(others).collect();
        self.images(&rows, claims)
    }

    fn set(&self, image: &Image) {
        self.kernel.tamper(|held| *held = image.clone());
    }

    fn parts(&self) -> (Work, Owned) {
        let maps = Owned::open(&self.kernel, &self.tree, &self.odds).expect("opens");
        let work = Work::new(Box::new(Board::default()), Arc::default(), Arc::default());
        (work, maps)
    }

    /// Holds every row written since `from` against both ends, and where it has led.
    fn is_safe(&self, from: &Image, to: &Image, before: &Reach, after: &Reach) {
        let (scene, mut now) = (self.scene(), from.clone());
        let steps = self.kernel.recorded();
        for (done, step) in steps.iter().enumerate() {
            now.apply(step);
            let open = scene.reach(&now).beyond(before, after);
            assert_eq!(
                open,
                None,
                "after {} of {steps:#?}\nfrom {from:#?}\nto {to:#?}",
                done + 1
            );
        }
        assert_eq!(&self.kernel.image(), to, "{steps:#?}\nfrom {from:#?}");
    }
}

fn row(zone: ZoneId, root: CgroupId, origin: Origin) -> MemberRow {
    MemberRow { zone, root, origin }
}

fn wish(image: &Image) -> Desired {
    Desired {
        linked: Vec::new(),
        image: image.clone(),
        seq: 1,
        mode: Mode::Enforce,
    }
}

fn with_ends<'a>(world: &World, images: &'a [Image]) -> Vec<(&'a Image, Image, Reach)> {
    let scene = world.scene();
    let whole = images.iter().map(|image| (image, scene.with_born(image)));
    whole
        .map(|(image, whole)| {
            let end = scene.end(&whole);
            (image, whole, end)
        })
        .collect()
}

/// Whatever is found, the way to what is desired opens nothing.
fn every_repair_is_safe(depth: usize, claims: usize) {
    let world = World::of(depth);
    let desired = world.desired(claims);
    let desired = with_ends(&world, &desired);
    for from in world.found(claims) {
        let before = world.scene().end(&from);
        for (image, whole, after) in &desired {
            world.set(&from);
            world.kernel.record();
            let (mut work, mut maps) = world.parts();
            work.adopt(&mut maps, wish(image)).expect("repairs");
            world.is_safe(&from, whole, &before, after);
        }
    }
}

#[test]
fn no_step_of_a_repair_opens_what_neither_end_does() {
    every_repair_is_safe(2, 2);
    every_repair_is_safe(3, 1);
}

#[test]
fn no_step_of_a_batch_opens_what_neither_end_does_to_cgroups_in_each_other() {
    let world = World::of(3);
    let images = world.desired(2);
    let images = with_ends(&world, &images);
    for (from, held, before) in &images {
        for (to, whole, after) in &images {
            world.set(held);
            let (mut work, mut maps) = world.parts();
            let report = work.adopt(&mut maps, wish(from)).expect("agrees");
            assert_eq!(report.repaired(), 0, "{from:#?}");
            world.kernel.record();
            work.apply(&mut maps, &diff(from, to), 2, Mode::Enforce)
                .expect("applies");
            world.is_safe(held, whole, before, after);
        }
    }
}
