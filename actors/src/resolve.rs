//! Resolution: looks up the facts a command needs before it is admitted — what a path is, where a
//! cgroup lies. It blocks, and nothing of it is in the fold.

pub mod sockets;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use syva_model::admit::{Refusal, RefusalKind};
use syva_model::command::{ClaimFacts, Reresolved};
use syva_model::image::{CgroupId, Scope};
use syva_model::kernel::{ObjectFacts, Prober};
use syva_model::state::State;

use crate::cgroups::CgroupTree;
use crate::outcome::CommandError;

/// File systems whose inode numbers identify an object as long as it exists, by the magic number that
/// statfs(2) reports. Others are refused until they have been tried (I10).
const KNOWN_FILE_SYSTEMS: &[(u64, &str)] = &[
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0xf2f5_2010, "f2fs"),
];

/// Names of those that people try, for the refusal.
const OTHER_FILE_SYSTEMS: &[(u64, &str)] = &[
    (0x9123_683e, "btrfs"),
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6367_7270, "cgroup2"),
    (0x4d44, "vfat"),
];

fn invalid(message: String) -> CommandError {
    Refusal::new(RefusalKind::Invalid, message).into()
}

/// Looks up a path that is to be claimed: follows symbolic links now, and never again.
///
/// # Errors
/// A refusal that says what is wrong with the path, or the kernel's failure to identify it.
pub fn claim(prober: &dyn Prober, asked: &str, scope: Scope) -> Result<ClaimFacts, CommandError> {
    let path = canonical(asked)?;
    let facts = identify(prober, &path, asked)?;
    if let Err(name) = known(facts.fs_magic) {
        return Err(invalid(format!(
            "{asked} cannot be claimed: it lies on {name}, whose objects the engine cannot identify \
             yet; it can on {}",
            KNOWN_FILE_SYSTEMS
                .iter()
                .map(|(_, name)| *name)
                .collect::<Vec<_>>()
                .join(", ")
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
        path,
        object: facts.key,
        generation,
        scope,
    })
}

fn canonical(asked: &str) -> Result<PathBuf, CommandError> {
    if !asked.starts_with('/') {
        return Err(invalid(format!(
            "the path {asked:?} is not absolute: give it from /"
        )));
    }
    std::fs::canonicalize(asked).map_err(|said| {
        invalid(format!(
            "cannot claim {asked:?}: looking it up said: {said}"
        ))
    })
}

/// Opens without any effect on what is opened (`O_PATH`) and asks the kernel what it is.
fn identify(prober: &dyn Prober, path: &Path, asked: &str) -> Result<ObjectFacts, CommandError> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let fd = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
        .map_err(|said| invalid(format!("cannot claim {asked:?}: opening it said: {said}")))?;
    prober.probe(fd.as_fd()).map_err(CommandError::Lookup)
}

fn known(magic: u64) -> Result<(), String> {
    let named = |list: &[(u64, &str)]| {
        list.iter()
            .find(|(number, _)| *number == magic)
            .map(|(_, name)| (*name).to_owned())
    };
    if named(KNOWN_FILE_SYSTEMS).is_some() {
        return Ok(());
    }
    let other = named(OTHER_FILE_SYSTEMS);
    Err(other.unwrap_or_else(|| format!("a file system with magic {magic:#x}")))
}

/// Looks up every claimed path again, as after a reboot. A path that is gone, has become a symbolic
/// link or lies on another kind of file system is not found.
pub fn again(prober: &dyn Prober, state: &State) -> Vec<Reresolved> {
    let claimed = state.claims.values().chain(state.lost.values());
    let mut paths: Vec<&str> = claimed.map(|claim| claim.path.as_str()).collect();
    paths.sort_unstable();
    paths
        .into_iter()
        .map(|path| {
            let found = identify(prober, Path::new(path), path).ok();
            let found = found.filter(|facts| known(facts.fs_magic).is_ok());
            let found = found.map(|facts| (facts.key, facts.generation));
            Reresolved {
                path: path.to_owned(),
                found,
            }
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
