//! The table's rows: what an attack is, and what its twin.

use std::io;

use nix::libc;

use super::aim::Aim;
use super::{
    calls, capabilities, cgroups, changes, devices, engine, files, host, ipc, mounts, programs,
    sockets, tasks, terminals,
};

/// An attempt: on what, and what the attacker has itself. It succeeds only if it had its effect.
pub type Attempt = fn(&Aim, &Aim) -> io::Result<()>;

/// What shows that the attacker is refused this, and not everything.
#[derive(Debug, Clone, Copy)]
pub enum Twin {
    /// The same attempt on what is the attacker's own.
    Same,
    /// What an ordinary program does with the same interface.
    Instead(Attempt),
}

/// Whose it is that is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Another zone's.
    Zone,
    /// Another zone's, and the same of the host.
    ZoneAndHost,
    /// The node's, of which there is one.
    Node,
}

/// One way to get in or out.
#[derive(Debug, Clone, Copy)]
pub struct Technique {
    /// What it is called in the table.
    pub name: &'static str,
    /// Whose.
    pub against: Against,
    /// The attack.
    pub attempt: Attempt,
    /// Its twin.
    pub twin: Twin,
    /// The errors that say that this kernel has no such thing, rather than that it refuses it.
    pub lacking: &'static [i32],
    /// The errors that a refusal has.
    pub refusals: &'static [i32],
    /// Why it is open, if SECURITY.md says that it is.
    pub known: Option<&'static str>,
    /// Whether somebody outside all zones can do it without harm to the rest of the suite.
    pub control: bool,
}

/// What most kernels without something say.
const NONE: &[i32] = &[libc::ENOSYS, libc::EOPNOTSUPP, libc::ENODEV];

/// An attack on another zone's, whose twin is the same on the own.
pub const fn zone(name: &'static str, attempt: Attempt) -> Technique {
    Technique {
        name,
        against: Against::Zone,
        attempt,
        twin: Twin::Same,
        lacking: NONE,
        refusals: &[libc::EPERM, libc::EACCES],
        known: None,
        control: true,
    }
}

/// The same, of which the host's is as much out of reach.
pub const fn zone_and_host(name: &'static str, attempt: Attempt) -> Technique {
    Technique {
        against: Against::ZoneAndHost,
        ..zone(name, attempt)
    }
}

/// An attack on the node, and what ordinary programs do in its stead.
pub const fn node(name: &'static str, attempt: Attempt, twin: Attempt) -> Technique {
    Technique {
        against: Against::Node,
        twin: Twin::Instead(twin),
        ..zone(name, attempt)
    }
}

impl Technique {
    /// With further errors that say that the kernel has no such thing.
    pub const fn lacking(self, lacking: &'static [i32]) -> Technique {
        Technique { lacking, ..self }
    }

    /// Refused with other errors than most.
    pub const fn refused_with(self, refusals: &'static [i32]) -> Technique {
        Technique { refusals, ..self }
    }

    /// Open, as SECURITY.md says: why.
    pub const fn known(self, why: &'static str) -> Technique {
        Technique {
            known: Some(why),
            ..self
        }
    }

    /// Another twin than the same on the own.
    pub const fn twin(self, twin: Attempt) -> Technique {
        Technique {
            twin: Twin::Instead(twin),
            ..self
        }
    }

    /// Not to be done by anybody, not even to see that it works.
    pub const fn uncontrolled(self) -> Technique {
        Technique {
            control: false,
            ..self
        }
    }
}

/// Techniques that are about the same thing.
#[derive(Debug)]
pub struct Group {
    /// Its heading in the table.
    pub name: &'static str,
    /// Whether a victim is to be started anew for each: some attacks end it, or change what it has.
    pub anew: bool,
    /// The techniques.
    pub techniques: &'static [Technique],
}

/// Everything.
pub const ALL: &[Group] = &[
    Group {
        name: "Opening files",
        anew: false,
        techniques: files::ALL,
    },
    Group {
        name: "Changing files",
        anew: false,
        techniques: changes::ALL,
    },
    Group {
        name: "Programs and mappings",
        anew: false,
        techniques: programs::ALL,
    },
    Group {
        name: "Mounts and namespaces",
        anew: false,
        techniques: mounts::ALL,
    },
    Group {
        name: "Processes",
        anew: true,
        techniques: tasks::ALL,
    },
    Group {
        name: "Terminals",
        anew: true,
        techniques: terminals::ALL,
    },
    Group {
        name: "Sockets",
        anew: false,
        techniques: sockets::ALL,
    },
    Group {
        name: "IPC and keys",
        anew: true,
        techniques: ipc::ALL,
    },
    Group {
        name: "Control groups",
        anew: true,
        techniques: cgroups::ALL,
    },
    Group {
        name: "The engine",
        anew: false,
        techniques: engine::ALL,
    },
    Group {
        name: "Devices",
        anew: false,
        techniques: devices::ALL,
    },
    Group {
        name: "The host, by its files",
        anew: false,
        techniques: host::ALL,
    },
    Group {
        name: "The host, by system calls",
        anew: false,
        techniques: calls::ALL,
    },
    Group {
        name: "The host, by a capability alone",
        anew: false,
        techniques: capabilities::ALL,
    },
];

/// The technique with that name.
pub fn named(name: &str) -> Option<&'static Technique> {
    ALL.iter()
        .flat_map(|group| group.techniques)
        .find(|technique| technique.name == name)
}
