//! Resolution of host sockets: what a path will be known by once a socket is bound there.
//!
//! A socket is named by its path from its file system's root (`docs/decisions/0007-host-sockets.md`).
//! So neither the socket nor, when a path is looked up again, its directory need be there.

use std::path::{Path, PathBuf};

use syva_model::command::{SocketFacts, SocketReresolved};
use syva_model::file_system;
use syva_model::host_socket::{BadPlace, Place, SocketKey, UNIT_SOCKETS, is_service_unit};
use syva_model::kernel::{ObjectFacts, Prober};
use syva_model::state::State;

use super::{identify, invalid};
use crate::outcome::CommandError;
use crate::vantage::Vantage;

/// Looks up a socket that is to be given to a zone. Its directory must exist; symbolic links are
/// followed now (those of the path itself too, such as `/dev/log`), and never again.
///
/// # Errors
/// A refusal that says what is wrong with the path, or the kernel's failure to identify its directory.
pub fn socket(
    prober: &dyn Prober,
    vantage: &Vantage,
    asked: &str,
) -> Result<SocketFacts, CommandError> {
    let bad = |bad: BadPlace| invalid(format!("{asked:?} cannot be given to a zone: {bad}"));
    if asked.starts_with('@') {
        let place = Place::new(asked).map_err(bad)?;
        return Ok(SocketFacts {
            asked: asked.to_owned(),
            path: asked.to_owned(),
            socket: SocketKey::of_abstract(place),
        });
    }
    let path = canonical(vantage, asked)?;
    let (directory, name) = halves(vantage, &path, asked)?;
    let facts = identify(prober, vantage, directory, asked)?;
    let socket = key(&facts, name, asked)?;
    let path = path.into_os_string().into_string().map_err(|path| {
        let path = path.to_string_lossy();
        invalid(format!("{asked} leads to {path}, which is not UTF-8"))
    })?;
    Ok(SocketFacts {
        asked: asked.to_owned(),
        path,
        socket,
    })
}

/// The sockets that a service unit's zone may use, as far as they can be looked up; none if the cgroup
/// is not a service unit's. Where there is no systemd there are none, and nothing is amiss.
pub fn of_unit(prober: &dyn Prober, vantage: &Vantage, cgroup_path: &str) -> Vec<SocketFacts> {
    if !is_service_unit(cgroup_path) {
        return Vec::new();
    }
    let looked_up = UNIT_SOCKETS
        .iter()
        .map(|path| socket(prober, vantage, path));
    looked_up.filter_map(Result::ok).collect()
}

/// What is meant by a path that may be gone: free of symbolic links as far as it exists.
pub fn path(vantage: &Vantage, asked: &str) -> String {
    match canonical(vantage, asked) {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => asked.to_owned(),
    }
}

/// Looks up every given socket again, as after a reboot. Of directories that are not there yet (a
/// service makes its own when it starts) the nearest one above tells enough. A path is not found if
/// it leads over a symbolic link now, or to another kind of file system.
pub fn again(prober: &dyn Prober, vantage: &Vantage, state: &State) -> Vec<SocketReresolved> {
    let given = state.host_sockets.values();
    let lost = state.lost_sockets.iter().map(|lost| &lost.given);
    let mut paths: Vec<&str> = given.chain(lost).map(|given| given.path.as_str()).collect();
    paths.retain(|path| path.starts_with('/'));
    paths.sort_unstable();
    paths.dedup();
    let again = |path: &str| SocketReresolved {
        path: path.to_owned(),
        found: find(prober, vantage, path),
    };
    paths.into_iter().map(again).collect()
}

fn find(prober: &dyn Prober, vantage: &Vantage, path: &str) -> Option<SocketKey> {
    let (mut directory, name) = path.rsplit_once('/')?;
    let mut rest = name.to_owned();
    // The first that is there, so that only what is missing is taken as it is written.
    while !directory.is_empty() && vantage.open_exactly(Path::new(directory)).is_err() {
        let (above, missing) = directory.rsplit_once('/')?;
        rest = format!("{missing}/{rest}");
        directory = above;
    }
    let directory = if directory.is_empty() { "/" } else { directory };
    if !is_dir(vantage, Path::new(directory)) {
        return None;
    }
    let facts = identify(prober, vantage, Path::new(directory), path).ok()?;
    key(&facts, &rest, path).ok()
}

/// The path free of symbolic links. What is missing at its end is taken as it is written.
fn canonical(vantage: &Vantage, asked: &str) -> Result<PathBuf, CommandError> {
    if !asked.starts_with('/') {
        return Err(invalid(format!(
            "the path {asked:?} is neither absolute nor an abstract name: give it from /, or as @NAME"
        )));
    }
    if let Ok(whole) = vantage.canonical(Path::new(asked)) {
        return Ok(whole);
    }
    let trimmed = asked.trim_end_matches('/');
    let (directory, name) = trimmed.rsplit_once('/').unwrap_or_default();
    let directory = if directory.is_empty() { "/" } else { directory };
    let found = vantage.canonical(Path::new(directory)).map_err(|said| {
        invalid(format!(
            "cannot give {asked:?} to a zone: looking up its directory {directory} said: {said} (the \
             socket need not be there yet, its directory must)"
        ))
    })?;
    if !is_dir(vantage, &found) {
        return Err(invalid(format!(
            "cannot give {asked:?} to a zone: {directory} is not a directory"
        )));
    }
    Ok(found.join(name))
}

fn is_dir(vantage: &Vantage, path: &Path) -> bool {
    let opened = vantage.open_exactly(path).map(std::fs::File::from);
    opened
        .and_then(|file| file.metadata())
        .is_ok_and(|found| found.is_dir())
}

/// The directory of a path, and the name in it. A path that is a directory can be no socket's.
fn halves<'a>(
    vantage: &Vantage,
    path: &'a Path,
    asked: &str,
) -> Result<(&'a Path, &'a str), CommandError> {
    let name = path.file_name().and_then(|name| name.to_str());
    match (path.parent(), name) {
        _ if is_dir(vantage, path) => Err(invalid(format!(
            "{asked:?} is a directory: name the socket in it"
        ))),
        (Some(directory), Some(name)) => Ok((directory, name)),
        _ => Err(invalid(format!("{asked:?} names no socket"))),
    }
}

fn key(facts: &ObjectFacts, rest: &str, asked: &str) -> Result<SocketKey, CommandError> {
    if !file_system::is_claimable(facts.fs_magic) {
        return Err(invalid(format!(
            "{asked} cannot be given to a zone: it lies on {}, where the engine cannot tell sockets \
             apart yet; it can on {}",
            file_system::name(facts.fs_magic),
            file_system::claimable()
        )));
    }
    let above = facts.place.as_deref().ok_or_else(|| {
        invalid(format!(
            "{asked} cannot be given to a zone: its directory lies too deep, or its path is too long, \
             below its file system's root"
        ))
    })?;
    let place = Place::new(&format!("{above}/{rest}"))
        .map_err(|bad| invalid(format!("{asked:?} cannot be given to a zone: {bad}")))?;
    Ok(SocketKey {
        dev: facts.key.dev,
        place,
    })
}
