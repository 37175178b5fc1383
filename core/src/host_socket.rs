//! Host sockets that are given to zones: how one is named, so that the kernel and the journal mean
//! the same (`docs/decisions/0007-host-sockets.md`).

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::image::ZoneId;

/// The longest [`Place`] in bytes: as many as the kernel's key has room for (`SOCKET_PLACE_BYTES`).
pub const PLACE_BYTES: usize = 112;

/// The most components a [`Place`] of a file has, the socket's own name included: as many as the
/// kernel climbs (`SOCKET_PLACE_LEVELS`).
pub const PLACE_LEVELS: usize = 8;

/// The longest abstract name (`sun_path` without its leading zero byte; unix(7)).
const ABSTRACT_BYTES: usize = 107;

/// The sockets that a zone with a systemd service unit in it may use without being asked for: where
/// the unit says that it is ready, and where it logs (D6).
pub const UNIT_SOCKETS: [&str; 4] = [
    "/run/systemd/notify",
    "/run/systemd/journal/stdout",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/dev-log",
];

/// Where a socket is: its path from the root of the file system it lies on (`/systemd/notify` on the
/// one mounted at `/run`), or an abstract name behind an `@`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    bytes: [u8; PLACE_BYTES],
    length: u8,
}

/// Why a text is not a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    /// Neither a path from a root nor an abstract name.
    #[error("{0:?} is neither a path from a file system's root nor an abstract name (@NAME)")]
    Form(String),
    /// It is too long.
    #[error(
        "{text:?} is {length} bytes long from its file system's root: at most {max} are told apart"
    )]
    TooLong {
        /// The text.
        text: String,
        /// How long it is.
        length: usize,
        /// How long it may be.
        max: usize,
    },
    /// It is too deep.
    #[error(
        "{text:?} lies {levels} levels below its file system's root: at most {PLACE_LEVELS} are climbed"
    )]
    TooDeep {
        /// The text.
        text: String,
        /// How deep.
        levels: usize,
    },
}

impl Place {
    /// Checks a text.
    ///
    /// # Errors
    /// [`BadPlace`] says which rule it breaks.
    pub fn new(text: &str) -> Result<Place, BadPlace> {
        let max = match text.as_bytes().first() {
            Some(b'/') => PLACE_BYTES,
            Some(b'@') => ABSTRACT_BYTES + 1,
            _ => return Err(BadPlace::Form(text.to_owned())),
        };
        let parts = || text.split('/').skip(1);
        let well_formed = match text.as_bytes() {
            [b'@', name @ ..] => !name.is_empty() && !name.contains(&0),
            _ => parts().all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0')),
        };
        if !well_formed {
            return Err(BadPlace::Form(text.to_owned()));
        }
        let length = text.len();
        if length > max {
            let text = text.to_owned();
            return Err(BadPlace::TooLong { text, length, max });
        }
        let levels = parts().count();
        if text.starts_with('/') && levels > PLACE_LEVELS {
            let text = text.to_owned();
            return Err(BadPlace::TooDeep { text, levels });
        }
        let mut bytes = [0; PLACE_BYTES];
        bytes[..length].copy_from_slice(text.as_bytes());
        // At most 112.
        let length = u8::try_from(length).unwrap_or(u8::MAX);
        Ok(Place { bytes, length })
    }

    /// The place as text.
    pub fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.length)];
        // It was made of a text.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Whether it is an abstract name.
    pub fn is_abstract(&self) -> bool {
        self.bytes[0] == b'@'
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl TryFrom<String> for Place {
    type Error = BadPlace;

    fn try_from(text: String) -> Result<Place, BadPlace> {
        Place::new(&text)
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        place.as_str().to_owned()
    }
}

/// A host socket, as the kernel tells it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketKey {
    /// The file system's `s_dev`, as in [`crate::image::ObjectKey`]; 0 for an abstract name.
    pub dev: u32,
    /// Where it is there.
    pub place: Place,
}

impl SocketKey {
    /// An abstract socket.
    pub fn of_abstract(place: Place) -> SocketKey {
        SocketKey { dev: 0, place }
    }
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dev == 0 {
            return self.place.fmt(f);
        }
        write!(
            f,
            "{}:{}{}",
            self.dev >> 20,
            self.dev & 0xf_ffff,
            self.place
        )
    }
}

/// A row of the map: this zone may use this socket of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The zone.
    pub zone: ZoneId,
    /// The socket.
    pub socket: SocketKey,
}

impl Grant {
    /// Every row of a zone, in their order.
    pub(crate) fn of(zone: ZoneId) -> Range<Grant> {
        let first = |zone| Grant {
            zone,
            socket: SocketKey {
                dev: 0,
                place: Place {
                    bytes: [0; PLACE_BYTES],
                    length: 0,
                },
            },
        };
        first(zone)..first(ZoneId(zone.0.saturating_add(1)))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "zone {}, socket {}", self.zone, self.socket)
    }
}

/// Whether a cgroup (its path below the cgroup root) is a systemd service unit's: its last component
/// is the unit's name, and no scope is around it (a container's own systemd names its services as the
/// host's does, in a scope or in the container's service).
pub fn is_service_unit(cgroup_path: &str) -> bool {
    let mut parts = cgroup_path.rsplit('/');
    let unit = parts.next().unwrap_or_default();
    let service = |part: &str| part.len() > ".service".len() && part.ends_with(".service");
    service(unit) && !parts.any(|part| part.ends_with(".scope") || service(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_was_given() {
        let deep = format!("/{}", ["d"; PLACE_LEVELS].join("/"));
        let long = format!("/{}", "x".repeat(PLACE_BYTES - 1));
        let name = format!("@{}", "x".repeat(ABSTRACT_BYTES));
        for text in [
            "/systemd/notify",
            "/s",
            "@/tmp/.X11-unix/X0",
            &deep,
            &long,
            &name,
        ] {
            assert_eq!(Place::new(text).expect(text).as_str(), text);
        }
    }

    #[test]
    fn what_the_kernel_could_not_tell_apart_is_no_place() {
        for text in [
            "", "notify", "/", "@", "/a//b", "/a/", "/./a", "/a/..", "/a\0", "@a\0",
        ] {
            assert_eq!(
                Place::new(text),
                Err(BadPlace::Form(text.into())),
                "{text:?}"
            );
        }
        let deep = format!("/{}", ["d"; PLACE_LEVELS + 1].join("/"));
        assert!(matches!(Place::new(&deep), Err(BadPlace::TooDeep { .. })));
        for text in [
            format!("/{}", "x".repeat(PLACE_BYTES)),
            format!("@{}", "x".repeat(ABSTRACT_BYTES + 1)),
        ] {
            assert!(matches!(Place::new(&text), Err(BadPlace::TooLong { .. })));
        }
    }

    #[test]
    fn a_service_unit_s_cgroup_is_known_by_its_name() {
        for path in [
            "/system.slice/nginx.service",
            "/nginx.service",
            "/system.slice/system-getty.slice/getty@tty1.service",
        ] {
            assert!(is_service_unit(path), "{path}");
        }
        for path in [
            "/",
            "",
            "/.service",
            "/system.slice",
            "/system.slice/nginx.service/worker",
            "/machine.slice/c1.scope/system.slice/nginx.service",
            "/user.slice/user@0.service/app.slice/a.service",
        ] {
            assert!(!is_service_unit(path), "{path}");
        }
    }
}
