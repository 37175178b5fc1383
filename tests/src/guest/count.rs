//! Suite `count`: what the hooks cost, in guest instructions, counted and not timed.
//!
//! Under [`Boot::COUNT`](crate::vm::qemu::Boot::COUNT) the monotonic clock advances a nanosecond an
//! instruction. Opening and closing a file six folders deep never blocks, so two runs agree to the
//! instruction. The floor is measured with an empty program on the hook. So is mapping to
//! execute, which every executed program does a few times; bprm_check_security is as file_open. Making and
//! unlinking a file stands for the mutation hooks, reading and writing a byte for file_permission. Making a socket
//! has a name get an inode, which is asked about for makers of queues and shared memory; a semaphore's operation
//! stands for System V IPC.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use syva_bpf::LibbpfKernel;
use syva_model::image::{
    CgroupId, ClaimRow, Control, MapWrite, MemberRow, Origin, Scope, Table, ZoneId, ZoneRow,
};
use syva_model::kernel::{Capacity, Kernel as _};

use super::actor::make_cgroup;
use super::empty_open::EmptyOpenSkelBuilder;
use super::{Checks, Failure, raw, sysv};

const FILE: &str = "/tmp/a/b/c/d/e/f";
const ROUNDS: usize = 5;
const TIMES: usize = 5_000;

/// What an unzoned caller may pay over an empty program (I8; the lab's prototype paid 37).
const UNZONED: i64 = 80;
/// What an unzoned caller may pay for a hook, the trampoline included (some 190).
const UNZONED_HOOK: i64 = UNZONED + 200;
/// What an unzoned caller may pay for a datagram, which the standard library writes and reads: three hooks
/// (450 in all).
const UNZONED_SEND: i64 = 500;
/// What an unzoned caller may pay for making and closing a socket: the hooks of sockets and keys, and twice the
/// question for a capability (669 in all).
const UNZONED_SOCKET: i64 = 800;
/// What anyone may pay for reading or writing, the trampoline included (206 and 221).
const TRANSFER: i64 = 240;
/// What a zoned caller may pay over it for a file whose label is cached.
const CACHED: i64 = 340;

/// Measures nothing, something that does nothing, and Syvä, for callers outside and inside a zone.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    fs::create_dir_all("/tmp/a/b/c/d/e")?;
    fs::write(FILE, "")?;
    let (zoned, free) = (make_cgroup("zoned")?, make_cgroup("free")?);
    let (first, first_map) = (floor(&free, "opens")?, floor(&free, "maps")?);
    let send_floor = measure(&free, "sends")?.min(measure(&free, "sends")?);
    let make_floor = measure(&free, "makes")?.min(measure(&free, "makes")?);
    let read_floor = measure(&free, "reads")?.min(measure(&free, "reads")?);
    let write_floor = measure(&free, "writes")?.min(measure(&free, "writes")?);
    let socket_floor = measure(&free, "makes-sockets")?.min(measure(&free, "makes-sockets")?);
    let semaphore_floor = measure(&free, "semaphores")?.min(measure(&free, "semaphores")?);

    let mut kernel = LibbpfKernel::new(PathBuf::from("/sys/fs/cgroup"));
    kernel.load(&Capacity::default())?;
    let zone = ZoneId(1);
    let root = CgroupId(fs::metadata(&zoned)?.ino());
    let row = MemberRow {
        zone,
        root,
        origin: Origin::Journal,
    };
    kernel
        .table(Table::Members)?
        .write(&MapWrite::PutMember(root, row))?;
    kernel
        .table(Table::Zones)?
        .write(&MapWrite::PutZone(zone, ZoneRow::default()))?;
    let unzoned = measure(&free, "opens")?;
    let unclaimed = measure(&zoned, "opens")?;
    let unzoned_map = measure(&free, "maps")?;
    let [unzoned_send, zoned_send] =
        [measure(&free, "sends")?, measure(&zoned, "sends")?].map(|all| all - send_floor);
    let unzoned_make = measure(&free, "makes")? - make_floor;
    let [unzoned_read, zoned_read] =
        [measure(&free, "reads")?, measure(&zoned, "reads")?].map(|all| all - read_floor);
    let [unzoned_write, zoned_write] =
        [measure(&free, "writes")?, measure(&zoned, "writes")?].map(|all| all - write_floor);
    let [unzoned_socket, zoned_socket] = [
        measure(&free, "makes-sockets")?,
        measure(&zoned, "makes-sockets")?,
    ]
    .map(|all| all - socket_floor);
    let [unzoned_semaphore, zoned_semaphore] = [
        measure(&free, "semaphores")?,
        measure(&zoned, "semaphores")?,
    ]
    .map(|all| all - semaphore_floor);
    let file = File::open("/tmp/a")?;
    let facts = kernel.prober()?.probe(file.as_fd())?;
    let claim = ClaimRow {
        zone,
        scope: Scope::Subtree,
        generation: facts.generation,
        depth: 1,
    };
    kernel
        .table(Table::Claims)?
        .write(&MapWrite::PutClaim(facts.key, claim))?;
    kernel.control()?.write(&Control {
        epoch: 1,
        ..Control::default()
    })?;
    let cached = measure(&zoned, "opens")?;
    let cached_map = measure(&zoned, "maps")?;
    let zoned_make = measure(&zoned, "makes")? - make_floor;
    fs::hard_link(FILE, "/tmp/linked")?;
    let walked = measure(&zoned, "opens")?;
    kernel.unload()?;
    // 7.x takes twice as long for everything in its first seconds.
    let map_floor = first_map.min(floor(&free, "maps")?);
    let floor = first.min(floor(&free, "opens")?);
    let [unzoned, unclaimed, cached, walked] =
        [unzoned, unclaimed, cached, walked].map(|all| all - floor);
    checks.note(format!("open and close with an empty program: {floor}"));
    checks.note(format!(
        "over the empty program: unzoned +{unzoned}; zoned, unclaimed +{unclaimed}; own zone, cached +{cached}; \
         own zone, walked five levels +{walked}"
    ));
    let [unzoned_map, cached_map] = [unzoned_map, cached_map].map(|all| all - map_floor);
    checks.note(format!(
        "try to map with an empty program: {map_floor}; over it: unzoned +{unzoned_map}; own zone, \
         cached +{cached_map}"
    ));
    checks.note(format!(
        "send and receive a datagram with nothing attached: {send_floor}; over it: unzoned +{unzoned_send}; \
         within the zone +{zoned_send}"
    ));
    checks.note(format!(
        "make and unlink a file with nothing attached: {make_floor}; over it: unzoned +{unzoned_make}; in a folder of \
         the own zone +{zoned_make}"
    ));
    checks.note(format!(
        "read a byte with nothing attached: {read_floor}; over it: unzoned +{unzoned_read}; zoned +{zoned_read}"
    ));
    checks.note(format!(
        "write a byte with nothing attached: {write_floor}; over it: unzoned +{unzoned_write}; zoned +{zoned_write}"
    ));
    for (what, over) in [
        ("a reader pays the trampoline", unzoned_read),
        ("a zoned reader pays the same", zoned_read),
        ("a writer pays the trampoline", unzoned_write),
        ("a zoned writer pays the same", zoned_write),
    ] {
        checks.that(what, over < TRANSFER, format!("+{over}"));
    }
    checks.note(format!(
        "make and close a socket with nothing attached: {socket_floor}; over it: unzoned +{unzoned_socket}; zoned \
         +{zoned_socket}"
    ));
    checks.note(format!(
        "operate an own semaphore with nothing attached: {semaphore_floor}; over it: unzoned +{unzoned_semaphore}; \
         zoned +{zoned_semaphore}"
    ));
    for (what, paid, bound) in [
        ("makes a socket", unzoned_socket, UNZONED_SOCKET),
        ("operates a semaphore", unzoned_semaphore, UNZONED_HOOK),
    ] {
        checks.that(
            format!("an unzoned caller that {what} pays little more than the trampolines"),
            paid < bound,
            format!("+{paid}"),
        );
    }
    checks.that(
        "an unzoned caller that makes and unlinks a file pays little more than four trampolines",
        unzoned_make < 4 * UNZONED_HOOK,
        format!("+{unzoned_make}"),
    );
    checks.that(
        "an unzoned caller that sends pays little more than three trampolines",
        unzoned_send < UNZONED_SEND,
        format!("+{unzoned_send}"),
    );
    checks.that(
        "an unzoned caller that maps to execute pays almost nothing",
        unzoned_map < UNZONED,
        format!("+{unzoned_map}"),
    );
    checks.that(
        "an unzoned caller pays almost nothing",
        unzoned < UNZONED,
        format!("+{unzoned}"),
    );
    checks.that(
        "a cached label is cheap",
        cached < CACHED,
        format!("+{cached}"),
    );
    Ok(())
}

/// What it takes with an empty program on the hook.
fn floor(cgroup: &Path, action: &str) -> Result<i64, Failure> {
    let mut storage = MaybeUninit::uninit();
    let mut skel = EmptyOpenSkelBuilder::default().open(&mut storage)?.load()?;
    skel.attach()?;
    // The first rounds fill the kernel's caches.
    measure(cgroup, action)?;
    Ok(measure(cgroup, action)?.min(measure(cgroup, action)?))
}

/// Does it (`opens`, `maps`) to the file in that cgroup, and returns the least a round took for one.
fn measure(cgroup: &Path, action: &str) -> Result<i64, Failure> {
    let output = Command::new("/proc/self/exe")
        .arg("act")
        .arg(cgroup)
        .args([action, FILE])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text.trim().parse();
    number.map_err(|_| format!("measuring in {}: {text:?}", cgroup.display()).into())
}

/// What the actor does for [`measure`]: opens and closes.
pub fn opens(path: &Path) -> io::Result<()> {
    best(|| File::open(path).map(drop))
}

/// What the actor does for [`measure`]: maps to execute, where nothing can be mapped. A mapping that
/// comes to be leaves work for later, which falls into other rounds.
pub fn maps(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    best(|| raw::map_nowhere(&file))
}

/// What the actor does for [`measure`]: makes a file beside it, and unlinks it. Four programs are
/// asked: of the opening, the making, the name that gets an inode, and the unlinking.
pub fn makes(path: &Path) -> io::Result<()> {
    let path = path.with_file_name("made");
    best(|| {
        File::create_new(&path)?;
        fs::remove_file(&path)
    })
}

/// What the actor does for [`measure`]: reads a byte of a file in memory.
pub fn reads(path: &Path) -> io::Result<()> {
    let path = path.with_file_name("read");
    fs::write(&path, "byte")?;
    let file = File::open(path)?;
    let mut byte = [0];
    best(|| file.read_at(&mut byte, 0).map(drop))
}

/// What the actor does for [`measure`]: writes a byte of a file in memory.
pub fn writes(path: &Path) -> io::Result<()> {
    let file = File::create(path.with_file_name("written"))?;
    best(|| file.write_at(b"b", 0).map(drop))
}

/// What the actor does for [`measure`]: sends a datagram between the ends of a pair, and takes it.
pub fn sends() -> io::Result<()> {
    let (one, other) = UnixDatagram::pair()?;
    let mut taken = [0; 8];
    best(|| {
        one.send(b"datagram")?;
        other.recv(&mut taken).map(drop)
    })
}

/// What the actor does for [`measure`]: makes a socket, and closes it.
pub fn makes_sockets() -> io::Result<()> {
    best(|| UnixDatagram::unbound().map(drop))
}

/// What the actor does for [`measure`]: operates a semaphore that it has made.
pub fn semaphores() -> io::Result<()> {
    let id = sysv::semaphore_of_own()?;
    best(|| sysv::semaphore(id, 0))
}

fn best(mut once: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut best = u128::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..TIMES {
            once()?;
        }
        best = best.min(start.elapsed().as_nanos() / TIMES as u128);
    }
    println!("{best}");
    Ok(())
}
