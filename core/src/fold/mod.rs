//! The fold: what one entry makes of the state. The only place where state changes.
//!
//! An entry in the journal has been admitted, so folding it cannot be refused; what does not fold is
//! a journal that this code must not act on ([`FoldError`]).

mod claims;
mod members;
mod sockets;
mod zones;

use std::collections::BTreeSet;

use crate::command::{Command, Reresolved};
use crate::entry::{Entry, Hash};
use crate::host_socket::Grant;
use crate::image::{CgroupId, ObjectKey, Pair, Scope, ZoneId};
use crate::name::{Party, ZoneName};
use crate::state::{Comm, State};
use claims::Source;

/// Why an entry does not fold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// Entries are folded one after another.
    #[error("entry {found} follows entry {after}: an entry is missing or stands twice")]
    Sequence {
        /// The last entry folded.
        after: u64,
        /// The entry that came.
        found: u64,
    },
    /// The chain is broken.
    #[error("entry {seq} follows {found}, but the entry before it hashes to {expected}")]
    Chain {
        /// The entry.
        seq: u64,
        /// What it says the entry before it hashes to.
        found: Hash,
        /// What that hashes to.
        expected: Hash,
    },
    /// Commands of a new boot come after its `boot` entry.
    #[error("entry {seq} was made in another boot than the last boot entry")]
    Boot {
        /// The entry.
        seq: u64,
    },
    /// The command names what the state does not have.
    #[error("entry {seq} names {what}, which does not exist at that point")]
    Unknown {
        /// The entry.
        seq: u64,
        /// What it names.
        what: String,
    },
}

/// What a command's caller is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The zone it was about, if it created or changed one.
    pub zone: Option<ZoneId>,
    /// What was done.
    pub message: String,
    /// What else the caller should know.
    pub notes: Vec<String>,
    /// What of that zone's policy nothing enforces yet.
    pub not_enforced: Vec<String>,
}

impl Reply {
    /// A reply that says only what was done.
    pub fn said(message: impl Into<String>) -> Reply {
        Reply {
            message: message.into(),
            ..Reply::default()
        }
    }
}

/// The rows of the desired image that an entry may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Zone rows.
    pub zones: BTreeSet<ZoneId>,
    /// Memberships.
    pub members: BTreeSet<CgroupId>,
    /// Claims.
    pub claims: BTreeSet<ObjectKey>,
    /// Pairs.
    pub pairs: BTreeSet<Pair>,
    /// Host sockets given.
    pub host_sockets: BTreeSet<Grant>,
}

impl Touched {
    /// Adds what another entry touched.
    pub fn merge(&mut self, other: Touched) {
        self.zones.extend(other.zones);
        self.members.extend(other.members);
        self.claims.extend(other.claims);
        self.pairs.extend(other.pairs);
        self.host_sockets.extend(other.host_sockets);
    }
}

/// What folding one entry gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// What the caller is told.
    pub reply: Reply,
    /// What may have changed.
    pub touched: Touched,
}

impl State {
    /// Folds the next entry, whose payload hashes to `hash`.
    ///
    /// # Errors
    /// [`FoldError`]; the state is then unusable and must be dropped.
    pub fn fold(&mut self, entry: &Entry, hash: Hash) -> Result<Folded, FoldError> {
        if entry.seq != self.seq + 1 {
            return Err(FoldError::Sequence {
                after: self.seq,
                found: entry.seq,
            });
        }
        if entry.prev != self.head {
            let (seq, found, expected) = (entry.seq, entry.prev, self.head);
            return Err(FoldError::Chain {
                seq,
                found,
                expected,
            });
        }
        // After the loss of everything there is no boot to be in, until a daemon has started.
        let anywhere = matches!(
            entry.command,
            Command::Boot { .. } | Command::AcceptLoss { .. } | Command::Prune { .. }
        );
        if !anywhere && self.boot != Some(entry.boot) {
            return Err(FoldError::Boot { seq: entry.seq });
        }
        let mut step = Step {
            state: self,
            seq: entry.seq,
            touched: Touched::default(),
        };
        let reply = step.apply(entry)?;
        let touched = step.touched;
        self.seq = entry.seq;
        self.head = hash;
        Ok(Folded { reply, touched })
    }
}

/// One entry being folded.
struct Step<'a> {
    state: &'a mut State,
    seq: u64,
    touched: Touched,
}

impl Step<'_> {
    fn apply(&mut self, entry: &Entry) -> Result<Reply, FoldError> {
        match &entry.command {
            Command::RegisterZone {
                zone,
                policy,
                claims,
                host_sockets,
            } => Ok(self.register_zone(zone, policy.as_ref(), claims, host_sockets)),
            Command::RemoveZone { zone, drain } => self.remove_zone(zone, *drain),
            Command::AttachContainer(attach) => self.attach(attach),
            Command::DetachContainer { container, .. } => self.detach(container),
            Command::AllowComm { a, b } => self.say_of_pair(a, b, Comm::Allowed),
            Command::DenyComm { a, b } => self.say_of_pair(a, b, Comm::Denied),
            Command::RegisterHostPath { zone, claim } => {
                let id = self.zone_id(zone)?;
                let notes = self.state.neighbours(claim, id);
                self.claim(id, claim, Source::Command);
                Ok(Reply {
                    notes,
                    ..Reply::said(format!("{} is zone {zone}'s", claim.path))
                })
            }
            Command::RemoveHostPath { zone, path } => self.remove_host_path(zone, path),
            Command::SetMode { mode } => {
                self.state.mode = *mode;
                self.touched.zones.extend(self.state.index.names.keys());
                Ok(Reply::said(format!("mode is {}", mode.name())))
            }
            Command::SetZoneMode { zone, mode } => self.set_zone_mode(zone, *mode),
            Command::Boot {
                claims,
                host_sockets,
            } => {
                self.state.boot = Some(entry.boot);
                let mut reply = self.boot(claims);
                match self.find_sockets_again(host_sockets) {
                    0 => {}
                    lost => reply
                        .message
                        .push_str(&format!(", {lost} host sockets lost")),
                }
                Ok(reply)
            }
            Command::Prune { up_to, .. } => {
                Ok(Reply::said(format!("entries up to {up_to} were pruned")))
            }
            Command::AcceptLoss { because, .. } => {
                Ok(Reply::said(format!("a loss was accepted: {because}")))
            }
            Command::Reresolve { found, lost } => Ok(self.move_claims(found, lost)),
            Command::Link { made, gone } => Ok(self.link(made, gone)),
            Command::CgroupGone { container, .. } => self.detach(container),
            Command::AllowHostSocket { zone, socket } => self.allow_host_socket(zone, socket),
            Command::DenyHostSocket { zone, asked, path } => {
                self.deny_host_socket(zone, asked, path)
            }
        }
    }

    fn boot(&mut self, found: &[Reresolved]) -> Reply {
        let containers: Vec<String> = self.state.members.keys().cloned().collect();
        let draining: BTreeSet<ZoneId> = self
            .state
            .zones
            .values()
            .filter(|zone| zone.draining)
            .map(|zone| zone.id)
            .collect();
        for container in &containers {
            self.take_member(container);
        }
        for zone in draining {
            self.finish_draining(zone);
        }
        let lost = self.reresolve(found);
        Reply::said(format!(
            "new boot: {} memberships void, {lost} claims lost",
            containers.len()
        ))
    }

    fn zone_id(&self, name: &ZoneName) -> Result<ZoneId, FoldError> {
        self.state
            .zones
            .get(name)
            .map(|zone| zone.id)
            .ok_or_else(|| FoldError::Unknown {
                seq: self.seq,
                what: format!("zone {name}"),
            })
    }

    fn party(&self, party: &Party) -> Result<ZoneId, FoldError> {
        self.state
            .party_id(party)
            .ok_or_else(|| FoldError::Unknown {
                seq: self.seq,
                what: format!("zone {party}"),
            })
    }
}

/// The scope a request asks for.
pub const fn scope(recursive: bool) -> Scope {
    if recursive {
        Scope::Subtree
    } else {
        Scope::Exact
    }
}
