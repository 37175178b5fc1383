//! Changing what is another zone's: every mutation hook, each refusal with its allowed twins.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use syva_model::decision::Operation;
use syva_model::hook::Hook;
use syva_model::image::{MapWrite, Pair, Scope};
use syva_model::kernel::Verdict;

use super::world::{AUDITED, ONE, TWO, World};
use super::{kept_names, relabelling};
use crate::guest::actor::{Outcome, act, act_on};
use crate::guest::{Checks, Failure, mutating};

/// Claimed by zone one, with all that is in it.
pub const CLAIMED: &str = "/tmp/mutate/one";
/// Claimed by nobody.
pub const PUBLIC: &str = "/tmp/mutate/public";

/// A change that stays in one directory: the hook, the action, and the names it is done to.
type Change = (Hook, &'static str, &'static [&'static str]);

const CHANGES: &[Change] = &[
    (Hook::InodeCreate, "create", &["new"]),
    (Hook::InodeMkdir, "mkdir", &["new"]),
    (Hook::InodeMknod, "fifo", &["new"]),
    (Hook::InodeMknod, "bind", &["new"]),
    (Hook::InodeSymlink, "symlink", &["new"]),
    (Hook::InodeLink, "link", &["file", "new"]),
    (Hook::InodeRename, "rename", &["file", "new"]),
    (Hook::InodeRename, "rename", &["file", "other"]),
    (Hook::InodeRename, "rename", &["folder", "new"]),
    (Hook::InodeRename, "exchange", &["file", "other"]),
    (Hook::InodeUnlink, "unlink", &["file"]),
    (Hook::InodeRmdir, "rmdir", &["folder"]),
    (Hook::InodeSetattr, "truncate", &["file"]),
    (Hook::InodeSetattr, "chmod", &["file"]),
    (Hook::InodeSetattr, "chmod", &["folder"]),
    (Hook::InodeSetattr, "chown", &["file"]),
    (Hook::InodeSetattr, "times", &["file"]),
    (Hook::InodeSetxattr, "set-attribute", &["file"]),
    (Hook::InodeSetxattr, "set-acl", &["file"]),
    (Hook::InodeRemovexattr, "remove-attribute", &["file"]),
    (Hook::InodeRemovexattr, "remove-acl", &["file"]),
];

pub fn run(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    prepare(Path::new(PUBLIC))?;
    prepare(Path::new(CLAIMED))?;
    // Its inode stays; what is in it is made anew for every change.
    world.claim(Path::new(CLAIMED), ONE, Scope::Subtree)?;
    for change in CHANGES {
        everywhere(checks, world, change)?;
    }
    described(checks, world)?;
    between(checks, world)?;
    relabelling::links(checks, world)?;
    relabelling::claimed_itself(checks, world)?;
    relabelling::exactly_claimed(checks, world)?;
    pairs(checks, world)?;
    by_descriptor(checks, world)
}

/// Fills a directory that is there, or makes it: two files and a folder, with all that can be removed.
pub fn prepare(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::create_dir(dir.join("folder"))?;
    for name in ["file", "other"] {
        let file = dir.join(name);
        fs::write(&file, name)?;
        for action in ["set-attribute", "set-acl"] {
            mutating::perform(action, std::slice::from_ref(&file)).unwrap_or(Ok(()))?;
        }
    }
    Ok(())
}

fn at(dir: &str, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| Path::new(dir).join(name)).collect()
}

fn refs(paths: &[PathBuf]) -> Vec<&Path> {
    paths.iter().map(PathBuf::as_path).collect()
}

/// Names and, of files, length, mode, owner, time and links: what a refused change must leave.
fn picture(dir: &str) -> Result<Vec<String>, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let m = entry.metadata()?;
        lines.push(format!(
            "{} {} {} {:o} {} {} {}",
            entry.path().display(),
            m.ino(),
            m.len(),
            m.mode(),
            m.uid(),
            m.mtime(),
            m.nlink()
        ));
    }
    lines.sort();
    Ok(lines)
}

/// Zone two is refused in zone one's directory and leaves it as it was; everyone who may, may.
fn everywhere(checks: &mut Checks, world: &mut World, change: &Change) -> Result<(), Failure> {
    let (hook, action, names) = *change;
    let what = format!("{action} {}", names.join(" to "));
    let (claimed, public) = (at(CLAIMED, names), at(PUBLIC, names));
    let two = world.two.clone();
    let before = picture(CLAIMED)?;
    let claim = format!("zone two, zone one's: {what}");
    world.refused(checks, &claim, hook, &two, action, &refs(&claimed))?;
    checks.equal(
        format!("{claim}: left as it was"),
        &picture(CLAIMED)?,
        &before,
    );
    for (who, cgroup) in [
        ("zone one", world.one.clone()),
        ("a host task", world.free.clone()),
        ("a privileged zone", world.privileged.clone()),
    ] {
        let claim = format!("{who}, zone one's: {what}");
        world.allowed(checks, &claim, &cgroup, action, &refs(&claimed))?;
        checks.that(
            format!("{claim}: it is done"),
            picture(CLAIMED)? != before || is_invisible(hook),
            "nothing changed",
        );
        prepare(Path::new(CLAIMED))?;
    }
    let claim = format!("zone two, nobody's: {what}");
    world.allowed(checks, &claim, &two, action, &refs(&public))?;
    prepare(Path::new(PUBLIC))
}

/// Attributes are not part of the picture; that they are removed proves that they were set.
fn is_invisible(hook: Hook) -> bool {
    matches!(hook, Hook::InodeSetxattr | Hook::InodeRemovexattr)
}

/// The event names what was to be made, and the claim it was to be made in.
fn described(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let key = world.key(Path::new(CLAIMED))?.0;
    for (action, name, hook) in [
        ("create", "new", Hook::InodeCreate),
        ("chmod", "file", Hook::InodeSetattr),
    ] {
        let path = Path::new(CLAIMED).join(name);
        let claim = format!("zone two, zone one's again: {action} {name}");
        let event = world
            .refused(checks, &claim, hook, &two, action, &[&path])?
            .ok_or("no event")?;
        let seen = (event.claim, event.depth, event.name.as_str());
        checks.equal("event: claim, depth, name", &seen, &(Some(key), 1, name));
        checks.equal("event: operation", &event.operation, &Operation::Use);
        let number = fs::metadata(&path).map_or(0, |m| std::os::unix::fs::MetadataExt::ino(&m));
        checks.equal("event: inode", &event.inode, &number);
    }
    let (audited, new) = (world.audited.clone(), Path::new(CLAIMED).join("new"));
    let (outcome, _, events) = world.watch(|| act(&audited, "create", &[&new]))?;
    checks.allowed(
        "an audited zone makes a file in zone one's directory",
        &outcome,
    );
    let seen: Vec<_> = events
        .iter()
        .map(|e| (e.hook, e.verdict, e.subject, e.object))
        .collect();
    checks.equal(
        "the event says what would have been denied",
        &seen.first(),
        &Some(&(Hook::InodeCreate, Verdict::WouldDeny, AUDITED, ONE)),
    );
    prepare(Path::new(CLAIMED))
}

/// Both ends of a rename count, and what is replaced.
fn between(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let inside = |name: &str| Path::new(CLAIMED).join(name);
    let outside = |name: &str| Path::new(PUBLIC).join(name);
    for (claim, action, from, to) in [
        ("out of", "rename", inside("file"), outside("new")),
        ("into", "rename", outside("file"), inside("new")),
        ("onto a file of", "rename", outside("file"), inside("file")),
        (
            "away over a file, out of",
            "rename",
            inside("file"),
            outside("file"),
        ),
        (
            "with an exchange, out of",
            "exchange",
            inside("file"),
            outside("file"),
        ),
        (
            "with an exchange, into",
            "exchange",
            outside("file"),
            inside("file"),
        ),
        (
            "a folder out of",
            "rename",
            inside("folder"),
            outside("new"),
        ),
    ] {
        let hook = Hook::InodeRename;
        let refused = format!("zone two renames {claim} zone one's directory");
        world.refused(checks, &refused, hook, &two, action, &[&from, &to])?;
        let allowed = format!("zone one renames {claim} its directory");
        world.allowed(checks, &allowed, &one, action, &[&from, &to])?;
        prepare(Path::new(CLAIMED))?;
        prepare(Path::new(PUBLIC))?;
    }
    // What zone one has replaced is zone one's: the claim is the directory's, not the file's.
    let (old, new) = (inside("file"), inside("other"));
    world.allowed(
        checks,
        "zone one replaces its file",
        &one,
        "rename",
        &[&new, &old],
    )?;
    world.refused(
        checks,
        "zone two opens the file that replaced another",
        Hook::FileOpen,
        &two,
        "open",
        &[&old],
    )?;
    world.allowed(checks, "zone one opens it", &one, "open", &[&old])?;
    prepare(Path::new(CLAIMED))
}

/// A pair opens changes, and closes them again; it does not open what would change labels.
fn pairs(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let two = world.two.clone();
    let pair = Pair::new(TWO, ONE);
    world.pairs.write(&MapWrite::PutPair(pair))?;
    for (hook, action, names) in CHANGES {
        let args = at(CLAIMED, names);
        prepare(Path::new(CLAIMED))?;
        let claim = format!(
            "an allowed pair: {action} {}, by {}",
            names.join(" to "),
            hook.name()
        );
        world.allowed(checks, &claim, &two, action, &refs(&args))?;
    }
    prepare(Path::new(CLAIMED))?;
    let (file, outside) = (
        Path::new(CLAIMED).join("file"),
        Path::new(PUBLIC).join("new"),
    );
    world.refused(
        checks,
        "an allowed pair: a link out of the claim",
        Hook::InodeLink,
        &two,
        "link",
        &[&file, &outside],
    )?;
    kept_names::with_a_pair(checks, world, Path::new(CLAIMED))?;
    world.pairs.write(&MapWrite::DropPair(pair))?;
    world.control.settle()?;
    world.refused(
        checks,
        "a closed pair: chmod",
        Hook::InodeSetattr,
        &two,
        "chmod",
        &[&file],
    )?;
    Ok(())
}

/// A descriptor that is open changes the object no more than its path, but for its content.
fn by_descriptor(checks: &mut Checks, world: &mut World) -> Result<(), Failure> {
    let (one, two) = (world.one.clone(), world.two.clone());
    let path = Path::new(CLAIMED).join("file");
    let with = |who: &Path, action: &str| match fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
    {
        Ok(file) => act_on(who, action, file),
        Err(error) => Outcome::Broken(error.to_string()),
    };
    let received =
        |who: &Path| match fs::File::open(&path).and_then(|file| mutating::handed_over(&file)) {
            Ok(socket) => act_on(who, "receive-descriptor", socket),
            Err(error) => Outcome::Broken(error.to_string()),
        };
    for (hook, action) in [
        (Hook::InodeSetattr, "truncate-open"),
        (Hook::InodeSetattr, "chmod-open"),
        (Hook::FileOpen, "reopen"),
        (Hook::MmapFile, "map"),
        (Hook::FileMprotect, "map-then-execute"),
    ] {
        let claim = format!("zone two has a descriptor of zone one's file: {action}");
        world.refused_as(checks, &claim, hook, Errno::PERM, || with(&two, action))?;
        let claim = format!("zone one has a descriptor of its file: {action}");
        world.goes_on(checks, &claim, || with(&one, action))?;
    }
    world.goes_on(checks, "zone two maps its descriptor to read", || {
        with(&two, "map-to-read")
    })?;
    world.refused_as(
        checks,
        "zone two receives a descriptor of zone one's file",
        Hook::FileReceive,
        Errno::PERM,
        || received(&two),
    )?;
    world.goes_on(checks, "zone one receives a descriptor of its file", || {
        received(&one)
    })?;
    let free = world.free.clone();
    world.goes_on(checks, "a host task receives one", || received(&free))
}
