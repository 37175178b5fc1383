//! Admission: whether a command may enter the journal. Everything that could go wrong later is
//! refused here, in words, with nothing changed.

use std::collections::BTreeSet;

use crate::command::{Attach, ClaimFacts, Command, Policy};
use crate::fold::Reply;
use crate::image::{ObjectKey, ZoneId};
use crate::kernel::Capacity;
use crate::name::{Party, ZoneName};
use crate::state::{Comm, State, Zone};

/// The longest container id, source, pod field or path, in bytes (`PATH_MAX`).
pub const MAX_TEXT: usize = 4096;

/// Directories whose claim would take the host itself away from everyone (D20).
const HOST_PATHS: &[&str] = &[
    "/", "/usr", "/bin", "/sbin", "/etc", "/proc", "/sys", "/dev", "/run",
];

/// What admission knows of the node beside the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// How many rows the kernel's maps hold.
    pub capacity: Capacity,
    /// The engine's own directories and files: state, socket, pins.
    pub engine_paths: Vec<String>,
    /// The daemon's own cgroup, below the cgroup root.
    pub own_cgroup: String,
    /// PID 1's cgroup.
    pub init_cgroup: String,
}

/// How a refusal is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// The command makes no sense.
    Invalid,
    /// It names what is not there.
    NotFound,
    /// It contradicts what is there: a conflicting assignment, members.
    Conflict,
    /// Its generation is older than the one held.
    Stale,
    /// A capacity is reached.
    Exhausted,
}

/// A command that was refused; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// How it is to be understood.
    pub kind: RefusalKind,
    /// What was asked, why not, and what to do.
    pub message: String,
}

impl Refusal {
    /// A refusal of a kind, in words.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Refusal {
        Refusal {
            kind,
            message: message.into(),
        }
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(RefusalKind::Invalid, message))
}

fn stale<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(RefusalKind::Stale, message))
}

fn conflict<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(RefusalKind::Conflict, message))
}

/// What becomes of a command that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It goes into the journal.
    Append,
    /// It asks for what is so already: no entry.
    Unchanged(Reply),
}

/// Judges a command on the state that all commands before it have led to.
///
/// # Errors
/// A [`Refusal`], in the words the caller is told.
pub fn admit(state: &State, node: &Node, command: &Command) -> Result<Admission, Refusal> {
    let case = Case { state, node };
    match command {
        Command::RegisterZone {
            zone,
            policy,
            claims,
        } => case.register_zone(zone, policy.as_ref(), claims),
        Command::RemoveZone { zone, drain } => case.remove_zone(zone, *drain),
        Command::AttachContainer(attach) => case.attach(attach),
        Command::DetachContainer {
            container,
            generation,
            ..
        } => case.detach(container, *generation),
        Command::AllowComm { a, b } => case.pair(a, b, Comm::Allowed),
        Command::DenyComm { a, b } => case.pair(a, b, Comm::Denied),
        Command::RegisterHostPath { zone, claim } => case.register_host_path(zone, claim),
        Command::SetMode { mode } if *mode == state.mode => Ok(Admission::Unchanged(Reply::said(
            format!("mode is {}", mode.name()),
        ))),
        Command::SetMode { .. } | Command::Boot { .. } => Ok(Admission::Append),
        Command::CgroupGone { container, cgroup } => {
            let still = state
                .members
                .get(container)
                .is_some_and(|m| m.cgroup == *cgroup);
            let unchanged = || Admission::Unchanged(Reply::said("not attached there any more"));
            Ok(if still {
                Admission::Append
            } else {
                unchanged()
            })
        }
    }
}

struct Case<'a> {
    state: &'a State,
    node: &'a Node,
}

impl Case<'_> {
    fn register_zone(
        &self,
        name: &ZoneName,
        policy: Option<&Policy>,
        claims: &[ClaimFacts],
    ) -> Result<Admission, Refusal> {
        let known = self.state.zones.get(name);
        if known.is_none() {
            self.room_for_a_zone(name)?;
        }
        let id = known.map(|zone| zone.id);
        self.claims_allowed(name, id, claims)?;
        if let Some(policy) = policy {
            self.policy_allowed(name, policy)?;
        }
        let settled = |zone: &&Zone| {
            !zone.draining && policy.is_none_or(|policy| self.same_policy(zone, policy, claims))
        };
        Ok(match known.filter(settled) {
            None => Admission::Append,
            Some(zone) => Admission::Unchanged(Reply {
                zone: Some(zone.id),
                ..Reply::said(format!("zone {name} is so already"))
            }),
        })
    }

    fn room_for_a_zone(&self, name: &ZoneName) -> Result<(), Refusal> {
        let max = self.node.capacity.zones;
        let full = self.state.zones.len() >= max as usize;
        if full || self.state.next_zone >= ZoneId::FIRST_RESERVED {
            let why = if full {
                "the node holds no more"
            } else {
                "zone ids are used up"
            };
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!("cannot create zone {name}: {why} (max_zones {max}); remove a zone first"),
            ));
        }
        Ok(())
    }

    fn policy_allowed(&self, name: &ZoneName, policy: &Policy) -> Result<(), Refusal> {
        if policy.allowed_zones.contains(&Party::Zone(name.clone())) {
            return invalid(format!(
                "zone {name} lists itself in allowed_zones: leave it out"
            ));
        }
        if let Some(bad) = policy
            .allowed_egress_cidrs
            .iter()
            .find(|cidr| !is_cidr(cidr))
        {
            return invalid(format!(
                "{bad:?} in allowed_egress_cidrs is not ADDRESS/PREFIX"
            ));
        }
        self.room_for_pairs(policy.allowed_zones.len())
    }

    fn room_for_pairs(&self, more: usize) -> Result<(), Refusal> {
        let max = self.node.capacity.pairs as usize;
        let open = self.state.open_pairs().len();
        if open + more > max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!("{open} of {max} allowed pairs are open, {more} more may not fit"),
            ));
        }
        Ok(())
    }

    fn same_policy(&self, zone: &Zone, policy: &Policy, claims: &[ClaimFacts]) -> bool {
        let mut asked = BTreeSet::new();
        let mut all_held = true;
        for facts in claims {
            asked.insert(facts.object);
            all_held &= self.state.claims.get(&facts.object).is_some_and(|held| {
                held.zone == zone.id
                    && held.by_policy == Some(facts.scope)
                    && held.generation == facts.generation
            });
        }
        let mut of_policy = self
            .state
            .claims_in(zone.id)
            .filter(|(_, c)| c.by_policy.is_some());
        let no_more = of_policy.all(|(key, _)| asked.contains(key));
        let none_lost = !self
            .state
            .lost
            .values()
            .any(|c| c.zone == zone.id && c.by_policy.is_some());
        let denied_again = policy.allowed_zones.iter().any(|party| {
            let other = self.state.party_id(party);
            other.is_some_and(|other| {
                let pair = crate::image::Pair::new(zone.id, other);
                self.state.comms.get(&pair) == Some(&Comm::Denied)
            })
        });
        zone.policy == *policy && all_held && no_more && none_lost && !denied_again
    }

    fn remove_zone(&self, name: &ZoneName, drain: bool) -> Result<Admission, Refusal> {
        let zone = self.zone(name)?;
        let members = self.state.members_in(zone.id);
        if members > 0 && !drain {
            return conflict(format!(
                "zone {name} has {members} members: detach them first, or remove it with drain"
            ));
        }
        if members > 0 && zone.draining {
            let said = format!("zone {name} is draining already, {members} members are left");
            return Ok(Admission::Unchanged(Reply::said(said)));
        }
        Ok(Admission::Append)
    }

    fn attach(&self, attach: &Attach) -> Result<Admission, Refusal> {
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

    fn attach_new(&self, attach: &Attach) -> Result<Admission, Refusal> {
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

    fn attach_again(&self, attach: &Attach, zone: &Zone) -> Result<Admission, Refusal> {
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
        let repeated = same && !newer && held.pod == attach.pod && held.source == attach.source;
        Ok(if repeated {
            let said = format!("container {} is in zone {}", attach.container, attach.zone);
            Admission::Unchanged(Reply::said(said))
        } else {
            Admission::Append
        })
    }

    fn cgroup_allowed(&self, container: &str, path: &str) -> Result<(), Refusal> {
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

    fn detach(&self, container: &str, generation: u64) -> Result<Admission, Refusal> {
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

    fn pair(&self, a: &Party, b: &Party, comm: Comm) -> Result<Admission, Refusal> {
        let (first, second) = (self.party(a)?, self.party(b)?);
        if first == second {
            return Ok(Admission::Unchanged(Reply::said(format!(
                "{a} may always reach itself"
            ))));
        }
        let pair = crate::image::Pair::new(first, second);
        if self.state.comms.get(&pair) == Some(&comm) {
            return Ok(Admission::Unchanged(Reply::said(format!(
                "{a} and {b}: so already"
            ))));
        }
        if comm == Comm::Allowed {
            self.room_for_pairs(1)?;
        }
        Ok(Admission::Append)
    }

    fn register_host_path(
        &self,
        name: &ZoneName,
        claim: &ClaimFacts,
    ) -> Result<Admission, Refusal> {
        let zone = self.zone(name)?;
        self.claims_allowed(name, Some(zone.id), std::slice::from_ref(claim))?;
        let held = self.state.claims.get(&claim.object);
        let same = held.is_some_and(|held| {
            held.by_command >= Some(claim.scope) && held.generation == claim.generation
        });
        Ok(if same {
            Admission::Unchanged(Reply::said(format!(
                "{} is zone {name}'s already",
                claim.path
            )))
        } else {
            Admission::Append
        })
    }

    fn claims_allowed(
        &self,
        name: &ZoneName,
        id: Option<ZoneId>,
        claims: &[ClaimFacts],
    ) -> Result<(), Refusal> {
        for claim in claims {
            self.path_allowed(claim)?;
            let by_object = self.state.claims.get(&claim.object);
            let by_path = self.state.claim_at(&claim.path).map(|(_, held)| held);
            let lost = self.state.lost.get(&claim.path);
            for held in [by_object, by_path, lost].into_iter().flatten() {
                if Some(held.zone) != id {
                    return conflict(format!(
                        "{} cannot be zone {name}'s: zone {} has claimed it as {}",
                        claim.path,
                        self.state.zone_label(held.zone),
                        held.path
                    ));
                }
            }
        }
        let new: BTreeSet<ObjectKey> = claims
            .iter()
            .map(|claim| claim.object)
            .filter(|object| !self.state.claims.contains_key(object))
            .collect();
        let (held, max) = (self.state.claims.len(), self.node.capacity.claims as usize);
        if held + self.state.lost.len() + new.len() > max {
            return Err(Refusal::new(
                RefusalKind::Exhausted,
                format!(
                    "{held} of {max} claims are held, {} more do not fit",
                    new.len()
                ),
            ));
        }
        Ok(())
    }

    fn path_allowed(&self, claim: &ClaimFacts) -> Result<(), Refusal> {
        text("path", &claim.path, 1)?;
        let path = claim.path.as_str();
        let library = path
            .strip_prefix("/lib")
            .is_some_and(|rest| !rest.contains('/'));
        if library || HOST_PATHS.contains(&path) {
            return invalid(format!(
                "{path} cannot be claimed: the host itself needs it; claim what lies below it"
            ));
        }
        for own in &self.node.engine_paths {
            if path == own || below(path, own) {
                return invalid(format!("{path} cannot be claimed: it is the engine's own"));
            }
            if below(own, path) && claim.scope == crate::image::Scope::Subtree {
                return invalid(format!(
                    "{path} cannot be claimed whole: the engine's own {own} lies below it"
                ));
            }
        }
        Ok(())
    }

    fn zone(&self, name: &ZoneName) -> Result<&Zone, Refusal> {
        self.state
            .zones
            .get(name)
            .ok_or_else(|| unknown(name.as_str()))
    }

    fn party(&self, party: &Party) -> Result<ZoneId, Refusal> {
        self.state
            .party_id(party)
            .ok_or_else(|| unknown(&party.to_string()))
    }
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        format!("there is no zone {name}: register it first, or see `syva-cli zones list`"),
    )
}

/// Whether `inner` lies below `outer`, both absolute.
fn below(inner: &str, outer: &str) -> bool {
    let outer = outer.trim_end_matches('/');
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

fn text(what: &str, value: &str, least: usize) -> Result<(), Refusal> {
    if value.len() < least {
        return invalid(format!("the {what} is empty"));
    }
    if value.len() > MAX_TEXT {
        return invalid(format!(
            "the {what} is {} bytes long, at most {MAX_TEXT}",
            value.len()
        ));
    }
    if value.chars().any(char::is_control) {
        return invalid(format!("the {what} {value:?} contains a control character"));
    }
    Ok(())
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let (Ok(address), Ok(prefix)) = (address.parse::<std::net::IpAddr>(), prefix.parse::<u8>())
    else {
        return false;
    };
    prefix <= if address.is_ipv4() { 32 } else { 128 }
}
