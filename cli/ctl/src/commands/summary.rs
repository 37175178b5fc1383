//! A journaled command in words, and the zones it is about.

#[cfg(test)]
mod tests;
mod whereabouts;

use std::fmt::Write as _;

use syva_model::command::{
    Attach, ClaimFacts, Command, LinkFacts, Policy, Reresolved, SocketFacts, Unresolved, ZoneType,
};
use syva_model::image::{Mode, Scope};
use syva_model::name::{Party, ZoneName};
pub use whereabouts::Whereabouts;

/// The command in one line.
pub fn summary(command: &Command) -> String {
    match command {
        Command::RegisterZone {
            zone,
            policy,
            claims,
            host_sockets,
        } => register_zone(zone, policy.as_ref(), claims, host_sockets),
        Command::RemoveZone { zone, drain: true } => {
            format!("zone {zone}, when its last container goes")
        }
        Command::RemoveZone { zone, drain: false } => format!("zone {zone}, at once"),
        Command::AttachContainer(attach) => attach_container(attach),
        Command::DetachContainer {
            container,
            source,
            generation,
        } => format!("container {container}{}", stamp(source, *generation)),
        Command::AllowComm { a, b } | Command::DenyComm { a, b } => format!("{a} and {b}"),
        Command::RegisterHostPath { zone, claim } => {
            format!("zone {zone}: {}, object {}", reach(claim), claim.object)
        }
        Command::RemoveHostPath { zone, path } => format!("zone {zone}: {path}"),
        Command::SetMode { mode } => format!("mode {}", mode.name()),
        Command::SetZoneMode { zone, mode } => {
            let mode = mode.map_or("the node's", Mode::name);
            format!("zone {zone}: mode {mode}")
        }
        Command::Boot {
            claims,
            host_sockets,
        } => {
            let lost = claims.iter().filter(|claim| claim.found.is_none()).count();
            let mut said = format!(
                "a new boot: memberships are void, {} claims found, {lost} lost",
                claims.len() - lost
            );
            let lost = host_sockets.iter().filter(|again| again.found.is_none());
            if !host_sockets.is_empty() {
                let lost = lost.count();
                let found = host_sockets.len() - lost;
                let _ = write!(said, ", {found} host sockets found, {lost} lost");
            }
            said
        }
        Command::Reresolve { found, lost } => reresolve(found, lost),
        Command::Link { made, gone } => link(made, gone),
        Command::AllowHostSocket { zone, socket } => {
            format!(
                "zone {zone}: {}, socket {}",
                socket_path(socket),
                socket.socket
            )
        }
        Command::DenyHostSocket { zone, path, .. } => format!("zone {zone}: {path}"),
        Command::CgroupGone { container, cgroup } => {
            format!("container {container}: its cgroup {cgroup} is gone")
        }
        Command::Prune { up_to, .. } => format!("entries up to {up_to}, for good"),
        Command::AcceptLoss {
            acknowledged,
            because,
        } => match acknowledged {
            Some(last) => format!("entry {last} had been acknowledged: {because}"),
            None => because.clone(),
        },
    }
}

/// How many claims or files are named one by one.
const NAMED: usize = 4;

/// The first of them, and how many more there are.
fn named(all: &[String], of: &str) -> String {
    let mut said = all.iter().take(NAMED).cloned().collect::<Vec<_>>();
    if all.len() > NAMED {
        said.push(format!("and {} {of} more", all.len() - NAMED));
    }
    said.join("; ")
}

fn link(made: &[LinkFacts], gone: &[LinkFacts]) -> String {
    let made = made.iter().map(|facts| {
        format!(
            "object {} of {} has a name outside: {}",
            facts.object, facts.claim, facts.name
        )
    });
    let gone = gone.iter();
    let gone = gone.map(|facts| format!("object {} of {} is gone", facts.object, facts.claim));
    named(&made.chain(gone).collect::<Vec<_>>(), "files")
}

fn reresolve(found: &[Reresolved], lost: &[Unresolved]) -> String {
    let found = found.iter().map(|again| match again.found {
        Some((object, _)) => format!("{} is object {object}", again.path),
        None => format!("{} is lost", again.path),
    });
    let lost = lost.iter();
    let lost = lost.map(|lost| format!("{} is lost: {}", lost.path, lost.because));
    named(&found.chain(lost).collect::<Vec<_>>(), "claims")
}

fn register_zone(
    zone: &ZoneName,
    policy: Option<&Policy>,
    claims: &[ClaimFacts],
    host_sockets: &[SocketFacts],
) -> String {
    let Some(policy) = policy else {
        return format!("zone {zone}, its policy left as it is");
    };
    let kind = match policy.zone_type {
        ZoneType::Standard => "standard",
        ZoneType::Privileged => "privileged",
        ZoneType::Isolated => "isolated",
    };
    let mut said = format!(
        "zone {zone}: {kind}, network {}",
        policy.network_mode.name()
    );
    if policy.allow_ptrace {
        said.push_str(", ptrace inside");
    }
    append(
        &mut said,
        "allows",
        policy.allowed_zones.iter().map(Party::to_string),
    );
    append(
        &mut said,
        "egress",
        policy.allowed_egress_cidrs.iter().cloned(),
    );
    append(&mut said, "claims", claims.iter().map(reach));
    append(
        &mut said,
        "host sockets",
        host_sockets.iter().map(socket_path),
    );
    said
}

fn append(said: &mut String, what: &str, items: impl Iterator<Item = String>) {
    let items: Vec<_> = items.collect();
    if !items.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(said, ", {what} {}", items.join(" "));
    }
}

fn reach(claim: &ClaimFacts) -> String {
    let below = match claim.scope {
        Scope::Exact => "",
        Scope::Subtree => "/**",
    };
    if claim.asked == claim.path {
        format!("{}{below}", claim.path)
    } else {
        format!("{}{below} (asked for as {})", claim.path, claim.asked)
    }
}

fn socket_path(facts: &SocketFacts) -> String {
    if facts.asked == facts.path {
        return facts.path.clone();
    }
    format!("{} (asked for as {})", facts.path, facts.asked)
}

fn attach_container(attach: &Attach) -> String {
    let mut said = format!(
        "container {} into zone {}, cgroup {} ({})",
        attach.container, attach.zone, attach.cgroup, attach.cgroup_path
    );
    if !attach.pod.name.is_empty() {
        let _ = write!(said, ", pod {}/{}", attach.pod.namespace, attach.pod.name);
    }
    said.push_str(&stamp(&attach.source, attach.generation));
    let sockets = attach.unit_sockets.iter().map(|facts| facts.path.clone());
    append(&mut said, "a service unit, which may use", sockets);
    said
}

fn stamp(source: &str, generation: u64) -> String {
    let mut said = String::new();
    if !source.is_empty() {
        let _ = write!(said, ", source {source}");
    }
    if generation != 0 {
        let _ = write!(said, ", generation {generation}");
    }
    said
}
