//! Pins: what keeps programs attached and maps alive while no daemon runs (I4).
//!
//! Below one directory of a BPF file system lie `v<schema>/maps/<map>` and `v<schema>/links/<program>`.
//! A start loads its own programs on the maps that are there, attaches them beside the old ones, and
//! renames each new link over the old one, which the kernel then detaches. Until then both decide, and
//! the stricter wins; at no moment does neither.
//!
//! | what a start finds | what it does |
//! |---|---|
//! | nothing, or maps without links (a first start that was broken off) | makes everything anew |
//! | links and every map, of this size | uses the maps, replaces the links |
//! | the same, but for maps that were added later (`LATER`) | makes those anew |
//! | links, and a map missing or of another size or layout | refuses; what is attached goes on |
//! | another schema's directory | refuses; what is attached goes on |

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::query::ProgInfoIter;
use libbpf_rs::skel::OpenSkel as _;
use libbpf_rs::{Link, MapCore as _, MapHandle, OpenMapMut};
use rustix::fs::{FlockOperation, flock, statfs};
use syva_model::image::SCHEMA;
use syva_model::kernel::KernelError;

use crate::error::{from_io, from_libbpf, here};
use crate::skel::OpenSyvaSkel;

/// `BPF_FS_MAGIC` in include/uapi/linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// Maps that belong to one load: nothing in them is worth keeping.
const OWN: [&str; 2] = ["barrier", "probe_request"];

/// Maps that builds of this schema did not always have. Over the pins of one that had none they are made
/// anew; what they hold is derived from others or from the journal, and is put right by the reconciler.
const LATER: [&str; 4] = ["zone_usage", "usage_by_daemon", "links", "pulled"];

/// A link's name before it takes the old one's place. File names there have no dots.
const NEW: &str = "new_";

/// How long the kernel may take to detach what was unpinned: it does that in a work item for each program,
/// and waits for all its processors each time.
const DETACHED: Duration = Duration::from_secs(60);

/// What helps when nothing that is pinned can be used.
const UNLOAD: &str = "`syva-core --unload` removes what is attached, and ends enforcement until the \
                      next start";

/// Where the pins of one daemon lie, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pins {
    dir: PathBuf,
    _lock: File,
}

impl Pins {
    /// Makes the directories and locks them.
    pub(crate) fn lock(root: &Path) -> Result<Pins, KernelError> {
        is_bpffs(root)?;
        make(root)?;
        let lock = lock(root)?;
        let dir = root.join(version());
        let foreign = names(root)?.into_iter().find(|name| *name != version());
        if let Some(foreign) = foreign {
            return Err(here(
                "use the pins in",
                root.display().to_string(),
                format!("{foreign} is not this version's ({})", version()),
                UNLOAD,
            ));
        }
        for inner in [dir.clone(), dir.join("maps"), dir.join("links")] {
            make(&inner)?;
        }
        Ok(Pins { dir, _lock: lock })
    }

    /// Has the object use the maps that are pinned, or pin those it makes.
    pub(crate) fn tell(&self, open: &mut OpenSyvaSkel<'static>) -> Result<(), KernelError> {
        let attached = self.attached()?;
        if attached.is_empty() {
            for name in names(&self.maps())? {
                remove(&self.maps().join(name))?;
            }
        }
        for mut map in open.open_object_mut().maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            // Those with a dot are sections of the object (constants).
            if OWN.contains(&name.as_str()) || name.contains('.') {
                continue;
            }
            let path = self.maps().join(&name);
            let new = LATER.contains(&name.as_str()) && !path.exists();
            if !attached.is_empty() && !new {
                fits(&map, &name, &path)?;
            }
            map.set_pin_path(&path)
                .map_err(|e| from_libbpf("say where to pin map", &name, &e))?;
        }
        Ok(())
    }

    /// Puts a link that was just attached in the place of the program's former one.
    pub(crate) fn replace(&self, program: &str, link: &mut Link) -> Result<(), KernelError> {
        let (new, place) = (
            self.links().join(format!("{NEW}{program}")),
            self.links().join(program),
        );
        remove(&new)?;
        link.pin(&new)
            .map_err(|e| from_libbpf("pin the link of program", program, &e))?;
        fs::rename(&new, &place)
            .map_err(|e| from_io("put the pin in the place of the former one of", program, &e))
    }

    /// Removes the links of programs that are no more.
    pub(crate) fn retain(&self, programs: &[&str]) -> Result<(), KernelError> {
        for name in names(&self.links())? {
            if !programs.contains(&name.as_str()) {
                remove(&self.links().join(name))?;
            }
        }
        Ok(())
    }

    /// A load that failed, where maps of an earlier start are used: those may be the reason.
    pub(crate) fn explain(&self, failure: KernelError) -> KernelError {
        let remedy = match self.attached() {
            Ok(attached) if !attached.is_empty() => format!(
                "what an earlier start attached goes on enforcing; if its maps in {} do not fit, {UNLOAD}",
                self.dir.display()
            ),
            _ => String::new(),
        };
        KernelError { remedy, ..failure }
    }

    fn attached(&self) -> Result<Vec<String>, KernelError> {
        names(&self.links())
    }

    fn maps(&self) -> PathBuf {
        self.dir.join("maps")
    }

    fn links(&self) -> PathBuf {
        self.dir.join("links")
    }
}

/// What [`release`] removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Programs that were attached and are so no more.
    pub links: usize,
    /// Maps.
    pub maps: usize,
}

/// Ends enforcement: removes every pin below `root`, of whichever version, and waits until the kernel
/// has detached the programs. Nothing there is nothing to do.
///
/// # Errors
/// A daemon runs; what cannot be removed; programs that are still attached.
pub fn release(root: &Path) -> Result<Released, KernelError> {
    let mut released = Released::default();
    if !root.exists() {
        return Ok(released);
    }
    is_bpffs(root)?;
    let _lock = lock(root)?;
    // Links first: a program without its maps' pins still has its maps.
    let mut ids = Vec::new();
    let mut paths = Vec::new();
    for version in names(root)? {
        let links = root.join(version).join("links");
        for name in names(&links)? {
            let path = links.join(name);
            ids.push(program_id(&path)?);
            paths.push(path);
        }
    }
    let watched = left_of(&ids);
    for path in &paths {
        remove(path)?;
    }
    released.links = paths.len();
    wait_detached(&watched)?;
    for version in names(root)? {
        let dir = root.join(version);
        let maps = dir.join("maps");
        for name in names(&maps)? {
            remove(&maps.join(name))?;
            released.maps += 1;
        }
        for inner in [maps, dir.join("links"), dir] {
            remove_dir(&inner)?;
        }
    }
    remove_dir(root)?;
    Ok(released)
}

/// The program behind a pinned link.
fn program_id(path: &Path) -> Result<u32, KernelError> {
    let on = || path.display().to_string();
    let link = Link::open(path).map_err(|e| from_libbpf("open the pin", on(), &e))?;
    let info = link.info();
    let info = info.map_err(|e| from_libbpf("ask the kernel about", on(), &e))?;
    Ok(info.prog_id)
}

/// Those of the programs that the kernel shows. To whom it shows none (it takes CAP_SYS_ADMIN) they cannot
/// be watched; they are unpinned all the same, and detached a moment later. Not the links: a link loses
/// its id before its program is detached, the program its own after that (`bpf_link_free()` in
/// kernel/bpf/syscall.c).
fn left_of(ids: &[u32]) -> Vec<u32> {
    let shown = ProgInfoIter::default().map(|program| program.id);
    shown.filter(|id| ids.contains(id)).collect()
}

fn wait_detached(ids: &[u32]) -> Result<(), KernelError> {
    let begun = Instant::now();
    loop {
        let left = left_of(ids).len();
        if left == 0 {
            return Ok(());
        }
        if begun.elapsed() > DETACHED {
            return Err(here(
                "detach",
                format!("{left} programs"),
                format!("the kernel still has them after {DETACHED:?}"),
                "another process holds them: stop it",
            ));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A pinned map that cannot be used is found before the kernel is asked to use it.
fn fits(map: &OpenMapMut<'_>, name: &str, path: &Path) -> Result<(), KernelError> {
    let pinned = MapHandle::from_pinned_path(path).map_err(|e| KernelError {
        remedy: UNLOAD.into(),
        ..from_libbpf("open the pinned map", path.display().to_string(), &e)
    })?;
    let (held, wanted) = (pinned.max_entries(), map.max_entries());
    // Maps that grow with their objects have no size; the kernel rounds none of ours.
    if held == wanted {
        return Ok(());
    }
    Err(here(
        "use the pinned map",
        name,
        format!("it has room for {held}, and {wanted} are asked for"),
        format!("start with the capacities as they were, if it is those that changed; or {UNLOAD}"),
    ))
}

fn version() -> String {
    format!("v{SCHEMA}")
}

fn is_bpffs(root: &Path) -> Result<(), KernelError> {
    let parent = root.parent().unwrap_or(root);
    let on = || parent.display().to_string();
    let fs = statfs(parent).map_err(|e| from_io("look at the file system of", on(), &e.into()))?;
    if u64::from_ne_bytes(fs.f_type.to_ne_bytes()) & 0xffff_ffff == BPF_FS_MAGIC {
        return Ok(());
    }
    Err(here(
        "pin programs in",
        on(),
        "it is not on a BPF file system",
        "mount one (mount -t bpf bpf /sys/fs/bpf), name another place with --pin-dir, or start with \
         --pin-dir off, and enforcement ends with the daemon",
    ))
}

/// Two daemons never run on the same pins, whatever their journals.
fn lock(root: &Path) -> Result<File, KernelError> {
    let on = || root.display().to_string();
    let dir = File::open(root).map_err(|e| from_io("open", on(), &e))?;
    flock(dir.as_fd(), FlockOperation::NonBlockingLockExclusive).map_err(|e| {
        let busy = e == rustix::io::Errno::WOULDBLOCK;
        KernelError {
            remedy: if busy {
                "another daemon uses it: stop that first".into()
            } else {
                String::new()
            },
            ..from_io("lock", on(), &e.into())
        }
    })?;
    Ok(dir)
}

fn make(dir: &Path) -> Result<(), KernelError> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(from_io("make", dir.display().to_string(), &e))
        }
        _ => Ok(()),
    }
}

/// What lies in a directory, sorted; nothing if there is none.
fn names(dir: &Path) -> Result<Vec<String>, KernelError> {
    let failed = |e: io::Error| from_io("list", dir.display().to_string(), &e);
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn remove(path: &Path) -> Result<(), KernelError> {
    gone(path, fs::remove_file(path))
}

fn remove_dir(path: &Path) -> Result<(), KernelError> {
    gone(path, fs::remove_dir(path))
}

fn gone(path: &Path, outcome: io::Result<()>) -> Result<(), KernelError> {
    match outcome {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(from_io("remove", path.display().to_string(), &e))
        }
        _ => Ok(()),
    }
}
