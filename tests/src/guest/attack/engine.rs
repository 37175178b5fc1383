//! The engine itself: its programs and maps, its pins, its process, its socket, its files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use syva_model::image::SCHEMA;

use super::aim::Aim;
use super::sys::{self, call, halves, text, words};
use super::technique::{Technique, node};
use super::unix;

/// Where the suite's daemon has its socket and its state.
pub const HOME: &str = "/run/syva";
/// Where it pins.
const PINS: &str = "/sys/fs/bpf/syva";
/// Where the suite writes its process id.
pub const PID: &str = "/run/attack/daemon";

pub const ALL: &[Technique] = &[
    node(
        "bpf(2), the next map by id",
        |_, _| next(PROG_NEXT + 1).map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), a map by id",
        |_, _| map_by_id().map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), removing oneself from the members",
        |_, own| {
            let key = words(&[cgroup_id(own)?]);
            // Which map it is shows itself.
            for id in 1..64 {
                let map = opened(MAP_BY_ID, &mut halves(&[id]));
                if map.is_ok_and(|map| map_delete(&map, &key).is_ok()) {
                    return Ok(());
                }
            }
            Err(sys::without_effect())
        },
        socket_filter,
    )
    .uncontrolled(),
    node(
        "bpf(2), a program by id",
        |_, _| by_id(PROG_NEXT, PROG_BY_ID).map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), a link by id",
        |_, _| by_id(LINK_NEXT, LINK_BY_ID).map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), a map by its pin",
        |_, _| pinned("members").map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), pinning among its pins",
        |_, _| {
            let map = map_create()?;
            let at = pin_of("planted");
            pin(&map, &at)?;
            fs::remove_file(at)
        },
        socket_filter,
    ),
    node(
        "bpf(2), a tracing program",
        |_, _| load(TRACEPOINT).map(drop),
        socket_filter,
    ),
    node(
        "bpf(2), a program for kernel functions",
        |_, _| load(KPROBE).map(drop),
        socket_filter,
    ),
    node(
        "listing its pins",
        |_, _| fs::read_dir(PINS).map(drop),
        |_, own| fs::read_dir(&own.dir).map(drop),
    ),
    node(
        "renaming a pin",
        |_, _| {
            let (pin, beside) = (pin_of("members"), pin_of("elsewhere"));
            fs::rename(&pin, &beside)?;
            fs::rename(&beside, &pin)
        },
        own_bpffs,
    ),
    node(
        "unlinking a pin",
        |_, _| fs::remove_file(pin_of("pairs")),
        own_bpffs,
    )
    .uncontrolled(),
    node(
        "chmod(2) of a pin",
        |_, _| {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(pin_of("members"), fs::Permissions::from_mode(0o600))
        },
        own_bpffs,
    ),
    node(
        "mounting over its pins",
        |_, _| {
            mount(
                Some("tmpfs"),
                PINS,
                Some("tmpfs"),
                MsFlags::empty(),
                None::<&str>,
            )?;
            nix::mount::umount2(PINS, nix::mount::MntFlags::MNT_DETACH)?;
            Ok(())
        },
        own_bpffs,
    ),
    node(
        "a signal to its process",
        |_, _| call(libc::SYS_kill, [pid()?.into(), 0.into()]).map(drop),
        |it, _| call(libc::SYS_kill, [it.pid.into(), 0.into()]).map(drop),
    ),
    node(
        "the memory of its process",
        |_, _| File::open(format!("/proc/{}/mem", pid()?)).map(drop),
        |it, _| File::open(it.proc("mem")).map(drop),
    ),
    node(
        "a descriptor of its process",
        |_, _| {
            let process = sys::descriptor(libc::SYS_pidfd_open, [pid()?.into(), 0.into()])?;
            sys::descriptor(
                libc::SYS_pidfd_getfd,
                [sys::fd(&process), 3.into(), 0.into()],
            )
            .map(drop)
        },
        |it, _| File::open(it.proc("environ")).map(drop),
    ),
    node(
        "its oom_score_adj",
        |_, _| fs::write(format!("/proc/{}/oom_score_adj", pid()?), "0"),
        |_, _| fs::write("/proc/self/oom_score_adj", "0"),
    ),
    node(
        "its limits",
        |_, _| {
            let limit = words(&[1 << 20, 1 << 20]);
            call(
                libc::SYS_prlimit64,
                [
                    pid()?.into(),
                    sys::Arg::from(libc::RLIMIT_MEMLOCK),
                    limit.as_slice().into(),
                    0.into(),
                ],
            )
            .map(drop)
        },
        |_, _| {
            let limit = words(&[1 << 20, 1 << 20]);
            call(
                libc::SYS_prlimit64,
                [
                    0.into(),
                    sys::Arg::from(libc::RLIMIT_MEMLOCK),
                    limit.as_slice().into(),
                    0.into(),
                ],
            )
            .map(drop)
        },
    ),
    node(
        "its cgroup",
        |_, _| fs::write("/sys/fs/cgroup/system/syva/cgroup.freeze", "0"),
        |_, own| fs::write(own.cgroup.join("cgroup.freeze"), "0"),
    ),
    node(
        "its socket",
        |_, _| unix::connects(libc::SOCK_STREAM, &home("core.sock")),
        |it, _| unix::connects(libc::SOCK_STREAM, &it.path("stream.sock")),
    ),
    node(
        "unlinking its socket",
        |_, _| {
            let (socket, beside) = (home("core.sock"), home("elsewhere"));
            fs::rename(&socket, &beside)?;
            fs::rename(&beside, &socket)
        },
        |_, own| fs::remove_file(own.path("other")),
    ),
    node(
        "reading its journal",
        |_, _| fs::read_dir(home("state")).map(drop),
        |_, own| fs::read_dir(&own.dir).map(drop),
    ),
    node(
        "writing its journal",
        |_, _| {
            let head = first_file(&home("state"))?;
            File::options().append(true).open(head).map(drop)
        },
        |_, own| {
            File::options()
                .append(true)
                .open(own.path("other"))
                .map(drop)
        },
    ),
    node(
        "a file in its journal's directory",
        |_, _| {
            let new = home("state/planted");
            File::create_new(&new)?;
            fs::remove_file(new)
        },
        |_, own| File::create_new(own.path("new")).map(drop),
    ),
    node(
        "renaming its journal's directory",
        |_, _| {
            let (state, beside) = (home("state"), home("elsewhere"));
            fs::rename(&state, &beside)?;
            fs::rename(&beside, &state)
        },
        |_, own| fs::rename(own.path("folder"), own.path("new")),
    ),
];

const MAP_CREATE: i32 = 0;
const MAP_DELETE: i32 = 3;
const PROG_LOAD: i32 = 5;
const OBJ_PIN: i32 = 6;
const OBJ_GET: i32 = 7;
const PROG_NEXT: i32 = 11;
const PROG_BY_ID: i32 = 13;
const MAP_BY_ID: i32 = 14;
const LINK_BY_ID: i32 = 30;
const LINK_NEXT: i32 = 31;

const SOCKET_FILTER: u32 = 1;
const KPROBE: u32 = 2;
const TRACEPOINT: u32 = 5;

fn pin_of(map: &str) -> PathBuf {
    Path::new(PINS).join(format!("v{SCHEMA}/maps")).join(map)
}

fn home(name: &str) -> PathBuf {
    Path::new(HOME).join(name)
}

fn pid() -> io::Result<i32> {
    fs::read_to_string(PID)?
        .trim()
        .parse()
        .map_err(io::Error::other)
}

fn first_file(dir: &Path) -> io::Result<PathBuf> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            return Ok(entry.path());
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn cgroup_id(own: &Aim) -> io::Result<u64> {
    Ok(std::os::unix::fs::MetadataExt::ino(&fs::metadata(
        &own.cgroup,
    )?))
}

fn bpf(command: i32, attributes: &mut Vec<u8>) -> io::Result<i64> {
    // Maps and programs are locked memory before 5.11.
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    attributes.resize(128, 0);
    let size = attributes.len();
    call(
        libc::SYS_bpf,
        [
            command.into(),
            attributes.as_mut_slice().into(),
            size.into(),
        ],
    )
}

fn opened(command: i32, attributes: &mut Vec<u8>) -> io::Result<std::os::fd::OwnedFd> {
    sys::owned(bpf(command, attributes)?)
}

/// The first id after none.
fn next(command: i32) -> io::Result<u32> {
    let mut attributes = halves(&[0, 0]);
    bpf(command, &mut attributes)?;
    let id = attributes[4..8].try_into().map_err(io::Error::other)?;
    Ok(u32::from_ne_bytes(id))
}

/// The first that there is, of a kind; without the right to list them, by trying.
fn by_id(next_of: i32, command: i32) -> io::Result<std::os::fd::OwnedFd> {
    match next(next_of) {
        Ok(id) => opened(command, &mut halves(&[id])),
        Err(_) => (1..64)
            .map(|id| opened(command, &mut halves(&[id])))
            .find(Result::is_ok)
            .unwrap_or_else(|| opened(command, &mut halves(&[1]))),
    }
}

fn map_by_id() -> io::Result<std::os::fd::OwnedFd> {
    by_id(PROG_NEXT + 1, MAP_BY_ID)
}

fn map_delete(map: &std::os::fd::OwnedFd, key: &[u8]) -> io::Result<()> {
    let mut attributes = halves(&[std::os::fd::AsRawFd::as_raw_fd(map) as u32, 0]);
    attributes.extend(words(&[sys::address(key)]));
    bpf(MAP_DELETE, &mut attributes).map(drop)
}

fn map_create() -> io::Result<std::os::fd::OwnedFd> {
    const ARRAY: u32 = 2;
    opened(MAP_CREATE, &mut halves(&[ARRAY, 4, 8, 1]))
}

fn pinned(name: &str) -> io::Result<std::os::fd::OwnedFd> {
    let path = text(pin_of(name))?;
    opened(OBJ_GET, &mut words(&[path.as_ptr() as u64, 0]))
}

fn pin(map: &std::os::fd::OwnedFd, path: &Path) -> io::Result<()> {
    let path = text(path)?;
    let mut attributes = words(&[path.as_ptr() as u64]);
    attributes.extend(halves(&[std::os::fd::AsRawFd::as_raw_fd(map) as u32, 0]));
    bpf(OBJ_PIN, &mut attributes).map(drop)
}

/// A program that returns 0, of a kind.
fn load(kind: u32) -> io::Result<std::os::fd::OwnedFd> {
    // r0 = 0; exit
    let program = words(&[0x0000_0000_0000_00b7, 0x0000_0000_0000_0095]);
    let mut attributes = halves(&[kind, 2]);
    attributes.extend(words(&[sys::address(&program), c"GPL".as_ptr() as u64]));
    opened(PROG_LOAD, &mut attributes)
}

/// What container runtimes need.
fn socket_filter(_: &Aim, _: &Aim) -> io::Result<()> {
    load(SOCKET_FILTER).map(drop)
}

/// Everybody may mount a file system for pins of their own.
fn own_bpffs(_: &Aim, own: &Aim) -> io::Result<()> {
    super::mounts::private()?;
    let at = own.path("empty");
    Ok(mount(
        Some("bpf"),
        &at,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )?)
}
