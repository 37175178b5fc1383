//! Admission: whether a command may enter the journal. Everything that could go wrong later is
//! refused here, in words, with nothing changed.

mod claims;
mod members;
mod sockets;
mod zones;

pub use claims::host_paths;

use crate::command::Command;
use crate::fold::Reply;
use crate::image::ZoneId;
use crate::kernel::Capacity;
use crate::name::{Party, ZoneName};
use crate::state::{Comm, State, Zone};

/// The longest container id, source, pod field or path, in bytes (`PATH_MAX`).
pub const MAX_TEXT: usize = 4096;

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
            host_sockets,
        } => case.register_zone(zone, policy.as_ref(), claims, host_sockets),
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
        Command::RemoveHostPath { zone, path } => case.remove_host_path(zone, path),
        Command::AllowHostSocket { zone, socket } => case.allow_host_socket(zone, socket),
        Command::DenyHostSocket { zone, asked, path } => case.deny_host_socket(zone, asked, path),
        Command::SetMode { mode } if *mode == state.mode => Ok(Admission::Unchanged(Reply::said(
            format!("mode is {}", mode.name()),
        ))),
        Command::SetZoneMode { zone, mode } => case.set_zone_mode(zone, *mode),
        Command::SetMode { .. } | Command::Boot { .. } => Ok(Admission::Append),
        Command::Reresolve { found, lost } => case.reresolve(found, lost),
        Command::Link { made, gone } => case.link(made, gone),
        Command::Prune { .. } => conflict(
            "a journal is pruned while its daemon is stopped: `syva-cli journal prune --path DIR`",
        ),
        Command::AcceptLoss { .. } => conflict(
            "a loss is accepted while the daemon is stopped: `syva-cli journal accept-loss --path DIR`",
        ),
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
