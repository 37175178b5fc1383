//! Requests: what clients ask, before names are checked and facts looked up.

use syva_model::admit::{Refusal, RefusalKind};
use syva_model::command::{Attach, Command, Pod, Policy};
use syva_model::fold::scope;
use syva_model::image::{CgroupId, Mode, Scope};
use syva_model::kernel::Prober;
use syva_model::name::{BadName, Party, ZoneName};

use crate::cgroups::CgroupTree;
use crate::outcome::CommandError;
use crate::resolve;
use crate::vantage::Vantage;

/// A policy with its host paths, which become claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRequest {
    /// Everything but the paths.
    pub policy: Policy,
    /// Paths to claim, with all that is below them.
    pub host_paths: Vec<String>,
    /// Sockets of the host to give: paths, or abstract names (`@NAME`).
    pub host_sockets: Vec<String>,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Create or update a zone.
    RegisterZone {
        /// The zone's name.
        zone: String,
        /// Its policy, if that is to change.
        policy: Option<PolicyRequest>,
    },
    /// Remove a zone.
    RemoveZone {
        /// The zone's name.
        zone: String,
        /// Whether to wait for its members.
        drain: bool,
    },
    /// Attach a container.
    Attach {
        /// The container.
        container: String,
        /// The zone's name.
        zone: String,
        /// The cgroup's id.
        cgroup: CgroupId,
        /// The pod it belongs to.
        pod: Pod,
        /// Who manages it.
        source: String,
        /// Its generation; 0: none.
        generation: u64,
    },
    /// Detach a container.
    Detach {
        /// The container.
        container: String,
        /// Who asks.
        source: String,
        /// Its generation; 0: unconditionally.
        generation: u64,
    },
    /// Open a pair.
    AllowComm(String, String),
    /// Close a pair.
    DenyComm(String, String),
    /// Claim a path.
    RegisterHostPath {
        /// The zone's name.
        zone: String,
        /// The path.
        path: String,
        /// Whether to claim what is below it.
        recursive: bool,
    },
    /// Take back a claim.
    RemoveHostPath {
        /// The zone's name.
        zone: String,
        /// The claim's path, as listings show it.
        path: String,
    },
    /// Change the node's mode.
    SetMode(Mode),
    /// Give a zone a mode of its own, or have it follow the node's.
    SetZoneMode {
        /// The zone's name.
        zone: String,
        /// Its own mode; none: the node's.
        mode: Option<Mode>,
    },
    /// Give a zone a socket of the host.
    AllowHostSocket {
        /// The zone's name.
        zone: String,
        /// The socket's path, or its abstract name (`@NAME`).
        path: String,
    },
    /// Take it away.
    DenyHostSocket {
        /// The zone's name.
        zone: String,
        /// The socket's path, or its abstract name (`@NAME`).
        path: String,
    },
}

fn zone_name(name: String) -> Result<ZoneName, CommandError> {
    ZoneName::new(name).map_err(bad_name)
}

fn party(name: &str) -> Result<Party, CommandError> {
    Party::new(name).map_err(bad_name)
}

fn bad_name(error: BadName) -> CommandError {
    Refusal::new(RefusalKind::Invalid, error.to_string()).into()
}

impl Request {
    /// Makes a command of it: checks the names, looks up paths and cgroups. It blocks.
    ///
    /// # Errors
    /// What is wrong with the request, or what could not be looked up.
    pub fn resolve(
        self,
        prober: &dyn Prober,
        tree: &CgroupTree,
        vantage: &Vantage,
    ) -> Result<Command, CommandError> {
        Ok(match self {
            Request::RegisterZone { zone, policy } => {
                let zone = zone_name(zone)?;
                let sockets = policy.iter().flat_map(|policy| &policy.host_sockets);
                let host_sockets = sockets
                    .map(|path| resolve::sockets::socket(prober, vantage, path))
                    .collect::<Result<_, _>>()?;
                let paths = policy.iter().flat_map(|policy| &policy.host_paths);
                let claims = paths
                    .map(|path| resolve::claim(prober, vantage, path, Scope::Subtree))
                    .collect::<Result<_, _>>()?;
                let policy = policy.map(|policy| policy.policy);
                Command::RegisterZone {
                    zone,
                    policy,
                    claims,
                    host_sockets,
                }
            }
            Request::RemoveZone { zone, drain } => Command::RemoveZone {
                zone: zone_name(zone)?,
                drain,
            },
            Request::Attach {
                container,
                zone,
                cgroup,
                pod,
                source,
                generation,
            } => {
                if container.is_empty() {
                    let message = "the container id is empty";
                    return Err(Refusal::new(RefusalKind::Invalid, message).into());
                }
                let zone = zone_name(zone)?;
                let cgroup_path = resolve::cgroup(tree, cgroup, &container)?;
                let unit_sockets = resolve::sockets::of_unit(prober, vantage, &cgroup_path);
                Command::AttachContainer(Attach {
                    container,
                    zone,
                    cgroup,
                    cgroup_path,
                    pod,
                    source,
                    generation,
                    unit_sockets,
                })
            }
            Request::Detach {
                container,
                source,
                generation,
            } => Command::DetachContainer {
                container,
                source,
                generation,
            },
            Request::AllowComm(a, b) => Command::AllowComm {
                a: party(&a)?,
                b: party(&b)?,
            },
            Request::DenyComm(a, b) => Command::DenyComm {
                a: party(&a)?,
                b: party(&b)?,
            },
            Request::RegisterHostPath {
                zone,
                path,
                recursive,
            } => Command::RegisterHostPath {
                zone: zone_name(zone)?,
                claim: resolve::claim(prober, vantage, &path, scope(recursive))?,
            },
            Request::RemoveHostPath { zone, path } => Command::RemoveHostPath {
                zone: zone_name(zone)?,
                path: resolve::spelled(&path),
            },
            Request::SetMode(mode) => Command::SetMode { mode },
            Request::SetZoneMode { zone, mode } => Command::SetZoneMode {
                zone: zone_name(zone)?,
                mode,
            },
            Request::AllowHostSocket { zone, path } => Command::AllowHostSocket {
                zone: zone_name(zone)?,
                socket: resolve::sockets::socket(prober, vantage, &path)?,
            },
            Request::DenyHostSocket { zone, path } => Command::DenyHostSocket {
                zone: zone_name(zone)?,
                path: resolve::sockets::path(vantage, &path),
                asked: path,
            },
        })
    }
}
