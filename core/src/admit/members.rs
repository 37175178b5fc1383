//! Admission of memberships.

use super::{Admission, Case, Refusal, RefusalKind, below, conflict, invalid, stale, text};
use crate::command::Attach;
use crate::fold::Reply;
use crate::state::Zone;

impl Case<'_> {
    pub(super) fn attach(&self, attach: &Attach) -> Result<Admission, Refusal> {
        text("container id", &attach.container, 1)?;
        text("source", &attach.source, 0)?;
        for field in [&attach.pod.namespace, &attach.pod.name, &attach.pod.uid] {
            text("pod field", field, 0)?;
        }
        if attach.cgroup.0 == 0 {
            return invalid(format!(
                "container {}: cgroup id 0 is no cgroup",
                attach.container
            ));
        }
        self.cgroup_allowed(&attach.container, &attach.cgroup_path)?;
        let zone = self.zone(&attach.zone)?;
        if zone.draining {
            return conflict(format!(
                "zone {} is draining: register it again to revive it, or choose another",
                attach.zone
            ));
        }
        self.unit_sockets_allowed(zone, &attach.unit_sockets)?;
        if let Some((other, member)) = self.state.container_of(attach.cgroup)
            && *other != attach.container
        {
            return conflict(format!(
                "cgroup {} is container {other}'s, in zone {}: detach that one first",
                attach.cgroup,
                self.state.zone_label(member.zone)
            ));
        }
        match self.state.members.contains_key(&attach.container) {
            true => self.attach_again(attach, zone),
            false => self.attach_new(attach),
        }
    }

    pub(super) fn attach_new(&self, attach: &Attach) -> Result<Admission, Refusal> {
        let max = self.node.capacity.members as usize;
        if self.state.members.len() >= max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "cannot attach {}: the node holds {max} members",
                    attach.container
                ),
            ));
        }
        Ok(Admission::Append)
    }

    pub(super) fn attach_again(&self, attach: &Attach, zone: &Zone) -> Result<Admission, Refusal> {
        let Some(held) = self.state.members.get(&attach.container) else {
            return Ok(Admission::Append);
        };
        if attach.generation != 0 && attach.generation < held.generation {
            return stale(format!(
                "generation {} of container {} is stale: {} is attached",
                attach.generation, attach.container, held.generation
            ));
        }
        let same = held.zone == zone.id && held.cgroup == attach.cgroup;
        let newer = attach.generation > held.generation;
        if !same && !newer {
            return conflict(format!(
                "container {} is attached to zone {} with cgroup {}: detach it first, or attach it \
                 with a generation above {}",
                attach.container,
                self.state.zone_label(held.zone),
                held.cgroup,
                held.generation
            ));
        }
        let repeated = same
            && !newer
            && held.pod == attach.pod
            && held.source == attach.source
            && held.unit_sockets == attach.unit_sockets;
        Ok(if repeated {
            Admission::Unchanged(Reply::said(attach.said()))
        } else {
            Admission::Append
        })
    }

    pub(super) fn cgroup_allowed(&self, container: &str, path: &str) -> Result<(), Refusal> {
        let holds = |inner: &str| path == "/" || inner == path || below(inner, path);
        let why = if path == "/" {
            "it is the root cgroup: the whole host would be in the zone"
        } else if holds(&self.node.own_cgroup) {
            "the daemon itself is in it"
        } else if holds(&self.node.init_cgroup) {
            "PID 1 is in it"
        } else {
            return Ok(());
        };
        invalid(format!(
            "container {container}: cgroup {path} cannot be attached, {why}"
        ))
    }

    pub(super) fn detach(&self, container: &str, generation: u64) -> Result<Admission, Refusal> {
        text("container id", container, 1)?;
        let Some(held) = self.state.members.get(container) else {
            let said = format!("container {container} is not attached");
            return Ok(Admission::Unchanged(Reply::said(said)));
        };
        if generation != 0 && generation < held.generation {
            return stale(format!(
                "generation {generation} of container {container} is stale: {} is attached",
                held.generation
            ));
        }
        Ok(Admission::Append)
    }
}
