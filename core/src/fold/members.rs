//! Folding memberships: attached, moved, detached, gone.

use super::{FoldError, Reply, Step};
use crate::command::Attach;
use crate::state::Member;

impl Step<'_> {
    pub(super) fn attach(&mut self, attach: &Attach) -> Result<Reply, FoldError> {
        let zone = self.zone_id(&attach.zone)?;
        let before = self.take_member(&attach.container);
        let moved = before.as_ref().filter(|m| m.zone != zone).map(|m| m.zone);
        let generation = match &before {
            Some(member) if attach.generation == 0 => member.generation,
            _ => attach.generation,
        };
        let member = Member {
            zone,
            cgroup: attach.cgroup,
            cgroup_path: attach.cgroup_path.clone(),
            pod: attach.pod.clone(),
            source: attach.source.clone(),
            generation,
            seq: self.seq,
            unit_sockets: attach.unit_sockets.clone(),
        };
        self.give_for_unit(&member);
        let container = attach.container.clone();
        self.state
            .index
            .by_cgroup
            .insert(member.cgroup, container.clone());
        self.state
            .index
            .members_of
            .entry(zone)
            .or_default()
            .insert(container.clone());
        self.touched.members.insert(member.cgroup);
        self.state.members.insert(container, member);
        if let Some(old) = moved {
            self.finish_draining(old);
        }
        let mut reply = Reply::said(attach.said());
        if !attach.unit_sockets.is_empty() {
            let paths = attach.unit_sockets.iter().map(|facts| facts.path.as_str());
            let paths: Vec<_> = paths.collect();
            reply.message.push_str(&format!(
                "; it is a systemd service unit, so the zone may use {} while it is in it",
                paths.join(", ")
            ));
        }
        Ok(reply)
    }

    pub(super) fn detach(&mut self, container: &str) -> Result<Reply, FoldError> {
        let Some(member) = self.take_member(container) else {
            let what = format!("container {container}");
            return Err(FoldError::Unknown {
                seq: self.seq,
                what,
            });
        };
        self.finish_draining(member.zone);
        Ok(Reply::said(format!("container {container} is in no zone")))
    }

    pub(super) fn take_member(&mut self, container: &str) -> Option<Member> {
        let member = self.state.members.remove(container)?;
        self.state.index.by_cgroup.remove(&member.cgroup);
        if let Some(names) = self.state.index.members_of.get_mut(&member.zone) {
            names.remove(container);
        }
        self.touched.members.insert(member.cgroup);
        self.take_for_unit(&member);
        Some(member)
    }
}
