//! The reach: what everybody may do with the maps as they are, by the reference decision. No moment of
//! a change may reach further than both its ends (I3).

use syva_model::decision::{Answer, Operation, decide_host_socket_in, decide_in};
use syva_model::hook::ObjectKind;
use syva_model::image::{CgroupId, ClaimRow, Image, MemberRow, Origin, Scope, ZoneId};

use crate::commands::{Files, PATHS, sockets};

/// Those who act and what is acted on: every cgroup and every file there is.
pub struct Scene<'a> {
    pub cgroups: &'a [(String, CgroupId)],
    pub files: &'a Files,
}

/// The bits of the questions that are answered with yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Vec<bool>);

impl Reach {
    /// The first question that is answered with yes here, and with no there and there.
    pub fn beyond(&self, one: &Reach, other: &Reach) -> Option<usize> {
        (0..self.0.len()).find(|n| self.0[*n] && !one.0[*n] && !other.0[*n])
    }

    /// What is answered with yes in either.
    fn or(&self, other: &Reach) -> Reach {
        let both = self.0.iter().zip(&other.0);
        Reach(both.map(|(one, other)| *one || *other).collect())
    }
}

impl Scene<'_> {
    /// The image with the rows that the kernel derives: what lies below a root is as the root.
    pub fn with_born(&self, desired: &Image) -> Image {
        let mut image = desired.clone();
        let root = |path: &str| {
            let above = self
                .cgroups
                .iter()
                .filter(|(p, _)| p == path || is_below(path, p));
            let roots = above.filter_map(|(p, id)| Some((p.len(), desired.members.get(id)?)));
            roots.max_by_key(|(len, _)| *len).map(|(_, row)| *row)
        };
        for (path, id) in self.cgroups {
            if !desired.members.contains_key(id)
                && let Some(row) = root(path)
            {
                let origin = Origin::Kernel;
                image.members.insert(*id, MemberRow { origin, ..row });
            }
        }
        image
    }

    /// What the maps open.
    pub fn reach(&self, image: &Image) -> Reach {
        let zone = |id: &CgroupId| image.members.get(id).map_or(ZoneId::HOST, |row| row.zone);
        let zones: Vec<ZoneId> = self.cgroups.iter().map(|(_, id)| zone(id)).collect();
        let files: Vec<ZoneId> = (0..PATHS.len()).map(|n| self.label(image, n)).collect();
        let mut bits = Vec::new();
        let mut ask = |answer| bits.push(answer != Answer::Deny);
        for subject in &zones {
            for object in &files {
                ask(decide_in(
                    image,
                    ObjectKind::File,
                    Operation::Use,
                    *subject,
                    *object,
                ));
            }
            for object in zones.iter().chain([&ZoneId::HOST]) {
                for operation in Operation::ALL {
                    ask(decide_in(
                        image,
                        ObjectKind::Task,
                        operation,
                        *subject,
                        *object,
                    ));
                }
            }
            for socket in sockets() {
                ask(decide_host_socket_in(image, *subject, socket));
            }
            for (path, label) in files.iter().enumerate() {
                // As the hook on rename: what has a row of its own stays where it is.
                let operation = match self.row(image, path) {
                    Some(_) => Operation::Relabel,
                    None => Operation::Use,
                };
                ask(decide_in(
                    image,
                    ObjectKind::File,
                    operation,
                    *subject,
                    *label,
                ));
            }
        }
        bits.extend(Scene::nested().map(|(above, claim)| {
            let labels = self.row(image, claim).is_some_and(|row| row.labels());
            labels && self.row(image, above).is_none()
        }));
        Reach(bits)
    }

    /// What a step on the way from this image, or to it, may open.
    pub fn end(&self, image: &Image) -> Reach {
        self.reach(image).or(&self.claimed(image))
    }

    /// Of what is claimed itself at one end, and not only held in place, that it comes after what is claimed
    /// below it, or goes before it: either claim is between its own two ends.
    fn claimed(&self, image: &Image) -> Reach {
        let labels = |n| self.row(image, n).is_some_and(|row| row.labels());
        let claimed: Vec<bool> = Scene::nested().map(|(above, _)| labels(above)).collect();
        let asked = self.reach(image).0.len() - claimed.len();
        Reach([vec![false; asked], claimed].concat())
    }

    /// Every path that lies in another one.
    fn nested() -> impl Iterator<Item = (usize, usize)> {
        let all = (0..PATHS.len()).flat_map(|n| (0..PATHS.len()).map(move |m| (n, m)));
        all.filter(|(above, path)| is_below(PATHS[*path], PATHS[*above]))
    }

    fn row(&self, image: &Image, path: usize) -> Option<ClaimRow> {
        image.claims.get(&self.files.object(path)).copied()
    }

    /// The zone of the file at a path: the nearest claim that reaches it.
    fn label(&self, image: &Image, path: usize) -> ZoneId {
        let own = self.row(image, path).filter(ClaimRow::labels);
        let mut above: Vec<usize> = (0..PATHS.len())
            .filter(|n| is_below(PATHS[path], PATHS[*n]))
            .collect();
        above.sort_by_key(|n| std::cmp::Reverse(PATHS[*n].len()));
        let held = above.iter().filter_map(|n| self.row(image, *n));
        let mut reaching = held.filter(|row| row.labels() && row.scope == Scope::Subtree);
        own.or_else(|| reaching.next())
            .map_or(ZoneId::HOST, |row| row.zone)
    }
}

/// Whether a path lies below another.
pub fn is_below(path: &str, other: &str) -> bool {
    let other = other.trim_end_matches('/');
    path.strip_prefix(other)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}
