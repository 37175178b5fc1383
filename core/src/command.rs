//! Commands: what clients and the daemon itself ask for, together with the facts that were looked up
//! for them. A command is complete: folding it needs nothing but the state before it (I2).

mod facts;

use serde::{Deserialize, Serialize};

use crate::entry::Hash;
use crate::image::{CgroupId, Mode};
use crate::name::{Party, ZoneName};
pub use facts::{
    Above, ClaimFacts, LinkFacts, Reresolved, SocketFacts, SocketReresolved, Unresolved,
};

/// What a zone is as a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneType {
    /// Confined to its own objects and its allowed pairs.
    #[default]
    Standard,
    /// An unrestricted caller.
    Privileged,
    /// Enforced as standard.
    Isolated,
}

/// A zone's network mode. Recorded and reported; nothing enforces it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// Loopback only.
    #[default]
    Isolated,
    /// Through a bridge.
    Bridged,
    /// The host's.
    Host,
}

impl NetworkMode {
    /// As policies spell it.
    pub const fn name(self) -> &'static str {
        match self {
            NetworkMode::Isolated => "isolated",
            NetworkMode::Bridged => "bridged",
            NetworkMode::Host => "host",
        }
    }
}

/// A zone's policy. Replaced as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Zones it would talk to; a pair opens once both list each other. `host` needs no counterpart.
    #[serde(default)]
    pub allowed_zones: Vec<Party>,
    /// Whether ptrace attach inside the zone is allowed.
    #[serde(default)]
    pub allow_ptrace: bool,
    /// What it is as a caller.
    #[serde(default)]
    pub zone_type: ZoneType,
    /// Its network mode.
    #[serde(default)]
    pub network_mode: NetworkMode,
    /// Where it may connect to (CIDR). Recorded; nothing enforces it yet.
    #[serde(default)]
    pub allowed_egress_cidrs: Vec<String>,
}

impl Policy {
    /// What of the policy nothing enforces yet, in words.
    pub fn not_enforced(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.network_mode != NetworkMode::Host {
            let mode = self.network_mode.name();
            words.push(format!(
                "network_mode={mode} is recorded; nothing enforces it yet"
            ));
        }
        if !self.allowed_egress_cidrs.is_empty() {
            words.push("allowed_egress_cidrs are recorded; nothing enforces them yet".to_owned());
        }
        words
    }
}

/// Identifies one run of the kernel (`/proc/sys/kernel/random/boot_id`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(#[serde(with = "serde_bytes")] pub [u8; 16]);

impl BootId {
    /// Parses the kernel's UUID text (dashes and surrounding white space are ignored).
    pub fn parse(text: &str) -> Option<BootId> {
        let digits: Vec<u8> = text
            .trim()
            .bytes()
            .filter(|b| *b != b'-')
            .map(|b| {
                char::from(b)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok())
            })
            .collect::<Option<_>>()?;
        let mut id = [0; 16];
        if digits.len() != 2 * id.len() {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Some(BootId(id))
    }
}

impl std::fmt::Display for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for BootId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootId({self})")
    }
}

/// Where a container runs, as its orchestrator names it. Recorded for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pod {
    /// The pod's namespace.
    #[serde(default)]
    pub namespace: String,
    /// The pod's name.
    #[serde(default)]
    pub name: String,
    /// The pod's uid.
    #[serde(default)]
    pub uid: String,
}

/// An attachment of a container's cgroup to a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attach {
    /// The container.
    pub container: String,
    /// The zone it goes into.
    pub zone: ZoneName,
    /// Its cgroup.
    pub cgroup: CgroupId,
    /// The cgroup's path below the cgroup root, as found when the command came.
    pub cgroup_path: String,
    /// Its pod.
    #[serde(default)]
    pub pod: Pod,
    /// Which client manages it.
    #[serde(default)]
    pub source: String,
    /// The client's generation; 0: it keeps none.
    #[serde(default)]
    pub generation: u64,
    /// If the cgroup is a systemd service unit's, the sockets that its zone may therefore use
    /// ([`crate::host_socket::UNIT_SOCKETS`]) as far as they could be looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unit_sockets: Vec<SocketFacts>,
}

impl Attach {
    /// What the reply says: what is in the zone now.
    pub fn said(&self) -> String {
        format!(
            "container {} is in zone {}: cgroup {} and every cgroup below it",
            self.container, self.zone, self.cgroup_path
        )
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Creates a zone, or replaces its policy, or revives a draining one.
    RegisterZone {
        /// The zone.
        zone: ZoneName,
        /// Its policy; none leaves the old one, or gives a new zone the defaults.
        #[serde(default)]
        policy: Option<Policy>,
        /// The policy's host paths, resolved. They replace the earlier policy's claims.
        #[serde(default)]
        claims: Vec<ClaimFacts>,
        /// The policy's host sockets, resolved. They replace those of the earlier policy.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        host_sockets: Vec<SocketFacts>,
    },
    /// Removes a zone, at once or when its last member goes.
    RemoveZone {
        /// The zone.
        zone: ZoneName,
        /// Whether to wait for its members.
        drain: bool,
    },
    /// Puts a container's cgroup into a zone.
    AttachContainer(Attach),
    /// Takes a container out of its zone.
    DetachContainer {
        /// The container.
        container: String,
        /// Which client asks.
        #[serde(default)]
        source: String,
        /// The client's generation; 0: unconditionally.
        #[serde(default)]
        generation: u64,
    },
    /// Opens a pair, both directions at once.
    AllowComm {
        /// One side.
        a: Party,
        /// The other.
        b: Party,
    },
    /// Closes a pair, both directions at once, until either side allows it again.
    DenyComm {
        /// One side.
        a: Party,
        /// The other.
        b: Party,
    },
    /// Claims a path for a zone.
    RegisterHostPath {
        /// The zone.
        zone: ZoneName,
        /// The path and what it is.
        claim: ClaimFacts,
    },
    /// Takes back what RegisterHostPath claimed. What the zone's policy claims, its policy gives up.
    RemoveHostPath {
        /// The zone.
        zone: ZoneName,
        /// The claim's path, as listings show it. Nothing need be there any more.
        path: String,
    },
    /// Changes the node's mode (the daemon's own `--mode` included).
    SetMode {
        /// The new mode.
        mode: Mode,
    },
    /// Gives a zone a mode of its own, or has it follow the node's again.
    SetZoneMode {
        /// The zone.
        zone: ZoneName,
        /// Its own mode; none: the node's.
        mode: Option<Mode>,
    },
    /// The daemon found itself on a new boot: memberships are void, claims were resolved again.
    Boot {
        /// What every claimed path is now.
        #[serde(default)]
        claims: Vec<Reresolved>,
        /// What every given host socket's path is now.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        host_sockets: Vec<SocketReresolved>,
    },
    /// The daemon looked at the claims' paths again while it ran. It holds those claims alone that are not
    /// as they were.
    Reresolve {
        /// Claims whose path leads to another object, or through other directories, or leads somewhere
        /// again.
        #[serde(default)]
        found: Vec<Reresolved>,
        /// Claims whose path leads to nothing that can be claimed.
        #[serde(default)]
        lost: Vec<Unresolved>,
    },
    /// The daemon found that files were given names outside the claims they lay in, or that such files are
    /// gone.
    Link {
        /// Files that have such names.
        #[serde(default)]
        made: Vec<LinkFacts>,
        /// Files that had, and are no more.
        #[serde(default)]
        gone: Vec<LinkFacts>,
    },
    /// The daemon found that a member's cgroup is gone.
    CgroupGone {
        /// The container.
        container: String,
        /// The cgroup that no longer exists.
        cgroup: CgroupId,
    },
    /// Gives a zone a socket of the host.
    AllowHostSocket {
        /// The zone.
        zone: ZoneName,
        /// The socket.
        socket: SocketFacts,
    },
    /// Takes a socket of the host from a zone again, until its policy gives it anew.
    DenyHostSocket {
        /// The zone.
        zone: ZoneName,
        /// The path or name as it was asked for.
        asked: String,
        /// The same, free of symlinks as far as it exists.
        path: String,
    },
    /// The operator removed the journal's oldest entries. What stands for them from here on is the
    /// state they led to, which this binds to the chain. It changes nothing.
    Prune {
        /// The last entry that was removed.
        up_to: u64,
        /// Its hash, which the first entry that was kept follows.
        hash: Hash,
        /// The digest of the state after it.
        digest: Hash,
    },
    /// The operator accepted that entries are lost: those from this entry's own number on that had been
    /// acknowledged, or a history of which a later entry says that it is gone. It changes nothing.
    AcceptLoss {
        /// The last entry that had been acknowledged; nothing if nothing says so any more.
        acknowledged: Option<u64>,
        /// Why the journal was refused.
        because: String,
    },
}

impl Command {
    /// The command's kind, as `journal inspect` filters and prints it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Command::RegisterZone { .. } => "register_zone",
            Command::RemoveZone { .. } => "remove_zone",
            Command::AttachContainer(_) => "attach_container",
            Command::DetachContainer { .. } => "detach_container",
            Command::AllowComm { .. } => "allow_comm",
            Command::DenyComm { .. } => "deny_comm",
            Command::RegisterHostPath { .. } => "register_host_path",
            Command::RemoveHostPath { .. } => "remove_host_path",
            Command::SetMode { .. } => "set_mode",
            Command::SetZoneMode { .. } => "set_zone_mode",
            Command::Boot { .. } => "boot",
            Command::Reresolve { .. } => "reresolve",
            Command::Link { .. } => "link",
            Command::CgroupGone { .. } => "cgroup_gone",
            Command::AllowHostSocket { .. } => "allow_host_socket",
            Command::DenyHostSocket { .. } => "deny_host_socket",
            Command::Prune { .. } => "prune",
            Command::AcceptLoss { .. } => "accept_loss",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_prints_as_the_kernel_writes_it() {
        let text = "4f1c5a2e-9b1d-4c3e-8f00-0123456789ab";
        assert_eq!(
            BootId::parse(&format!("{text}\n"))
                .expect("valid")
                .to_string(),
            text
        );
        for bad in ["", "4f1c", "zz1c5a2e-9b1d-4c3e-8f00-0123456789ab"] {
            assert_eq!(BootId::parse(bad), None, "{bad:?}");
        }
    }
}
