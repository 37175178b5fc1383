//! Resolution: looks up the facts a command needs before it is admitted — what a path is, where a
//! cgroup lies. It blocks, and nothing of it is in the fold.

pub mod links;
pub mod lookout;
pub mod names;
pub mod sockets;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use syva_model::admit::{Refusal, RefusalKind};
use syva_model::command::{Above, ClaimFacts};
use syva_model::file_system;
use syva_model::image::{CgroupId, Scope};
use syva_model::kernel::{ObjectFacts, Prober};

use crate::cgroups::{CgroupTree, Hierarchy as _};
use crate::outcome::CommandError;
use crate::vantage::Vantage;

fn invalid(message: String) -> CommandError {
    Refusal::new(RefusalKind::Invalid, message).into()
}

/// Looks up a path that is to be claimed: follows symbolic links now, and never again.
///
/// # Errors
/// A refusal that says what is wrong with the path, or the kernel's failure to identify it.
pub fn claim(
    prober: &dyn Prober,
    vantage: &Vantage,
    asked: &str,
    scope: Scope,
) -> Result<ClaimFacts, CommandError> {
    let path = canonical(vantage, asked)?;
    let facts = identify(prober, vantage, &path, asked)?;
    if !file_system::is_claimable(facts.fs_magic) {
        return Err(invalid(format!(
            "{asked} cannot be claimed: it lies on {}, whose objects the engine cannot identify \
             yet; it can on {}",
            file_system::name(facts.fs_magic),
            file_system::claimable()
        )));
    }
    let path = path.into_os_string().into_string().map_err(|path| {
        invalid(format!(
            "{asked} leads to {}, which is not UTF-8",
            path.to_string_lossy()
        ))
    })?;
    let generation = facts.generation;
    Ok(ClaimFacts {
        asked: asked.to_owned(),
        path: path.clone(),
        object: facts.key,
        generation,
        scope,
        above: above(prober, vantage, &path)?,
    })
}

/// A claim's path as claims are spelled, without looking at what is there: the path may be gone, and a
/// symbolic link in it may lead elsewhere by now.
pub fn spelled(asked: &str) -> String {
    let parts: Vec<&str> = asked.split('/').filter(|part| !part.is_empty()).collect();
    match asked.starts_with('/') {
        true => format!("/{}", parts.join("/")),
        false => asked.to_owned(),
    }
}

fn canonical(vantage: &Vantage, asked: &str) -> Result<PathBuf, CommandError> {
    if !asked.starts_with('/') {
        return Err(invalid(format!(
            "the path {asked:?} is not absolute: give it from /"
        )));
    }
    vantage.canonical(Path::new(asked)).map_err(|said| {
        invalid(format!(
            "cannot claim {asked:?}: looking it up said: {said}"
        ))
    })
}

/// Opens without any effect on what is opened and asks the kernel what it is.
fn identify(
    prober: &dyn Prober,
    vantage: &Vantage,
    path: &Path,
    asked: &str,
) -> Result<ObjectFacts, CommandError> {
    let fd = vantage
        .open_exactly(path)
        .map_err(|said| invalid(format!("cannot claim {asked:?}: opening it said: {said}")))?;
    prober.probe(fd.as_fd()).map_err(CommandError::Lookup)
}

/// The directories that a path leads through, without the root, which stays where it is.
fn above(prober: &dyn Prober, vantage: &Vantage, path: &str) -> Result<Vec<Above>, CommandError> {
    let ancestors = Path::new(path).ancestors().skip(1);
    ancestors
        .filter(|above| above.parent().is_some())
        .map(|above| {
            let facts = identify(prober, vantage, above, &above.to_string_lossy())?;
            Ok(Above {
                object: facts.key,
                generation: facts.generation,
            })
        })
        .collect()
}

/// Where the cgroup with that id lies.
///
/// # Errors
/// A refusal if there is none.
pub fn cgroup(tree: &CgroupTree, id: CgroupId, container: &str) -> Result<String, CommandError> {
    if id.0 == 0 {
        return Err(invalid(format!(
            "container {container}: cgroup id 0 is no cgroup"
        )));
    }
    let found = tree.find(id).map_err(|said| {
        let root = tree.root().display();
        invalid(format!(
            "container {container}: reading the cgroups below {root} said: {said}"
        ))
    })?;
    found.ok_or_else(|| {
        Refusal::new(
            RefusalKind::Conflict,
            format!(
                "container {container}: there is no cgroup with id {id}; the id is the inode number \
                 of its directory below {} (it may be gone already)",
                tree.root().display()
            ),
        )
        .into()
    })
}
