//! The reach: what everybody may do with the maps as they are, by the reference decision. No moment of
//! a change may reach further than both its ends (I3).

use syva_model::decision::{Answer, Operation, decide_host_socket_in, decide_in};
use syva_model::hook::ObjectKind;
use syva_model::image::{CgroupId, Image, MemberRow, Origin, Scope, ZoneId};

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
        }
        Reach(bits)
    }

    /// The zone of the file at a path: the nearest claim that reaches it.
    fn label(&self, image: &Image, path: usize) -> ZoneId {
        let own = image.claims.get(&self.files.object(path));
        let mut above: Vec<usize> = (0..PATHS.len())
            .filter(|n| is_below(PATHS[path], PATHS[*n]))
            .collect();
        above.sort_by_key(|n| std::cmp::Reverse(PATHS[*n].len()));
        let held = above
            .iter()
            .filter_map(|n| image.claims.get(&self.files.object(*n)));
        let mut reaching = held.filter(|row| row.scope == Scope::Subtree);
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
