//! Host sockets given to zones: a row is its own key.

use syva_model::host_socket::{Grant, Place, SocketKey};
use syva_model::image::{MapWrite, Table, ZoneId};
use syva_model::kernel::{KernelError, Rows, TableStore};

use super::{not_mine, read_failed, write_failed};
use crate::map::{Map, Put};
use crate::pod::zeroed;
use crate::skel::types::host_socket;

/// The map.
#[derive(Debug)]
pub(crate) struct HostSockets {
    pub(crate) map: Map<host_socket, host_socket>,
}

/// The kernel's names, from the socket to its file system's root, as a path; empty for the root.
/// Nothing if they are not UTF-8.
pub(crate) fn path_from(names: &[i8]) -> Option<String> {
    let bytes: Vec<u8> = names.iter().map(|byte| byte.cast_unsigned()).collect();
    let names = String::from_utf8(bytes).ok()?;
    let names = names.split_terminator('\0').rev();
    Some(names.map(|name| format!("/{name}")).collect())
}

/// The same the other way round: the bytes the kernel compares.
fn names_to(place: &Place) -> Vec<u8> {
    let text = place.as_str();
    if let Some(name) = text.strip_prefix('@') {
        return name.as_bytes().to_vec();
    }
    let names = text.split('/').skip(1);
    let names: Vec<_> = names.map(|name| format!("{name}\0")).collect();
    names.into_iter().rev().collect::<String>().into_bytes()
}

fn raw(grant: &Grant) -> host_socket {
    let names = names_to(&grant.socket.place);
    let mut raw: host_socket = zeroed();
    raw.zone = grant.zone.0;
    raw.dev = grant.socket.dev;
    raw.length = names.len() as u64;
    for (byte, name) in raw.place.iter_mut().zip(names) {
        *byte = name.cast_signed();
    }
    raw
}

/// A row's meaning; nothing if no daemon can have written it.
fn grant(raw: &host_socket) -> Option<Grant> {
    let names = raw.place.get(..usize::try_from(raw.length).ok()?)?;
    let text = match raw.dev {
        0 => {
            let bytes = names.iter().map(|byte| byte.cast_unsigned()).collect();
            format!("@{}", String::from_utf8(bytes).ok()?)
        }
        _ => path_from(names)?,
    };
    Some(Grant {
        zone: ZoneId(raw.zone),
        socket: SocketKey {
            dev: raw.dev,
            place: Place::new(&text).ok()?,
        },
    })
}

impl TableStore for HostSockets {
    fn table(&self) -> Table {
        Table::HostSockets
    }

    fn write(&mut self, step: &MapWrite) -> Result<(), KernelError> {
        let (grant, result) = match step {
            MapWrite::PutHostSocket(grant) => {
                let raw = raw(grant);
                (grant, self.map.put(&raw, &raw, Put::Any))
            }
            MapWrite::DropHostSocket(grant) => (grant, self.map.delete(&raw(grant)).map(drop)),
            other => return Err(not_mine(Table::HostSockets, other)),
        };
        result.map_err(|e| write_failed(Table::HostSockets, grant, &e))
    }

    fn rows(&mut self) -> Result<Rows, KernelError> {
        let failed = |e: &std::io::Error| read_failed(Table::HostSockets, e);
        let mut grants = Vec::new();
        for (key, _) in self.map.all().map_err(|e| failed(&e))? {
            match grant(&key) {
                Some(grant) => grants.push(grant),
                // No plan could name it, so it is removed here: it opens what nobody gave.
                None => {
                    tracing::warn!(
                        zone = key.zone,
                        "a row of host_sockets that nobody can have meant"
                    );
                    self.map.delete(&key).map(drop).map_err(|e| failed(&e))?;
                }
            }
        }
        Ok(Rows::HostSockets(grants))
    }
}

#[cfg(test)]
mod tests {
    use syva_model::host_socket::{PLACE_BYTES, PLACE_LEVELS};

    use super::*;
    use crate::pod::bytes_of;

    fn given(dev: u32, place: &str) -> Grant {
        let place = Place::new(place).unwrap();
        Grant {
            zone: ZoneId(7),
            socket: SocketKey { dev, place },
        }
    }

    #[test]
    fn a_socket_is_named_to_the_kernel_from_its_own_name_up() {
        let raw = raw(&given(5, "/systemd/notify"));
        assert_eq!((raw.zone, raw.dev, raw.length), (7, 5, 15));
        assert!(bytes_of(&raw)[16..].starts_with(b"notify\0systemd\0\0"));
    }

    #[test]
    fn every_place_survives_the_round_trip() {
        let deep = ["/d"; PLACE_LEVELS].concat();
        let long = format!("/{}", "x".repeat(PLACE_BYTES - 1));
        for place in ["/s", "/a/b", &deep, &long] {
            assert_eq!(grant(&raw(&given(5, place))), Some(given(5, place)));
        }
        for place in ["@name", "@/tmp/.X11-unix/X0"] {
            assert_eq!(grant(&raw(&given(0, place))), Some(given(0, place)));
        }
        assert_eq!(path_from(&[]), Some(String::new()));
    }

    #[test]
    fn a_row_that_no_plan_can_name_is_told_from_one() {
        let mut odd = raw(&given(5, "/a"));
        odd.length = 0;
        assert_eq!(grant(&odd), None);
        odd.length = u64::MAX;
        assert_eq!(grant(&odd), None);
    }
}
