//! What actors do with System V shared memory, message queues and semaphores.
#![allow(unsafe_code)]

use std::fmt;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::ptr;
use std::thread;
use std::time::Duration;

use nix::libc::{self, c_int, c_void};
use nix::sched::{CloneFlags, unshare};

/// Everybody may do everything, as far as modes go.
const MODE: c_int = 0o666;
const BYTES: usize = 4096;

/// The kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Shm,
    Msg,
    Sem,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Shm, Kind::Msg, Kind::Sem];

    /// As ipcs(1), `/proc/sysvipc` and the events call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Shm => "shm",
            Kind::Msg => "msg",
            Kind::Sem => "sem",
        }
    }

    fn named(name: &Path) -> Option<Kind> {
        Kind::ALL
            .into_iter()
            .find(|kind| Path::new(kind.name()) == name)
    }

    fn get(self, key: libc::key_t, flags: c_int) -> io::Result<c_int> {
        // SAFETY: system calls without pointers.
        checked(unsafe {
            match self {
                Kind::Shm => libc::shmget(key, BYTES, flags),
                Kind::Msg => libc::msgget(key, flags),
                Kind::Sem => libc::semget(key, 1, flags),
            }
        })
    }

    fn control(self, id: c_int, command: c_int, room: *mut Room) -> io::Result<()> {
        // SAFETY: there is room for whatever structure the command writes, and zeros where it reads one.
        checked(unsafe {
            match self {
                Kind::Shm => libc::shmctl(id, command, room.cast()),
                Kind::Msg => libc::msgctl(id, command, room.cast()),
                Kind::Sem => libc::semctl(id, 0, command, room),
            }
        })
        .map(drop)
    }

    /// The commands that ask for an object by index, and nobody for permission (`linux/shm.h` and the like).
    fn stat_any(self) -> c_int {
        match self {
            Kind::Shm => 15,
            Kind::Msg => 13,
            Kind::Sem => 20,
        }
    }

    /// The commands that ask for sums, and for no object.
    fn sums(self) -> c_int {
        match self {
            Kind::Shm => 14,
            Kind::Msg => 12,
            Kind::Sem => 19,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the control calls read and write; larger than every structure of theirs.
#[repr(C)]
union Room {
    bytes: [u8; 1024],
    queue: libc::msqid_ds,
}

/// The id of the object with that key, as everybody may read it.
pub fn id_of(kind: Kind, key: i32) -> io::Result<i32> {
    let table = fs::read_to_string(Path::new("/proc/sysvipc").join(kind.name()))?;
    let found = table.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        (columns.next()?.parse() == Ok(key)).then(|| columns.next()?.parse().ok())?
    });
    found.ok_or_else(|| io::Error::other(format!("no {kind} with key {key}")))
}

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    match (action, args) {
        ("sysv", [kind, operation, number]) => {
            let kind = Kind::named(kind)?;
            let number = number.to_str()?.parse().ok()?;
            Some(operate(kind, operation.to_str()?, number))
        }
        ("sysv-beforehand", [cgroup, go]) => Some(beforehand(cgroup, go)),
        _ => None,
    }
}

fn operate(kind: Kind, operation: &str, number: c_int) -> io::Result<()> {
    let mut room = Room { bytes: [0; 1024] };
    // What a queue may hold, for IPC_SET; nothing else looks there.
    room.queue.msg_qbytes = 16_384;
    let at = &raw mut room;
    match operation {
        "make" => kind
            .get(number, libc::IPC_CREAT | libc::IPC_EXCL | MODE)
            .map(drop),
        "get" => kind.get(number, 0).map(drop),
        "stat" => kind.control(number, libc::IPC_STAT, at),
        "stat-any" => kind.control(number, kind.stat_any(), at),
        "set" => kind.control(number, libc::IPC_SET, at),
        "remove" => kind.control(number, libc::IPC_RMID, at),
        "sums" => kind.control(0, kind.sums(), at),
        "lock" => kind.control(number, libc::SHM_LOCK, at),
        "unlock" => kind.control(number, libc::SHM_UNLOCK, at),
        "attach" => attach(number),
        "send" => send(number),
        "receive" => receive(number),
        "add" => add(number),
        "values" => kind.control(number, libc::GETALL, at),
        "set-values" => kind.control(number, libc::SETALL, at),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn attach(id: c_int) -> io::Result<()> {
    // SAFETY: the kernel chooses the address, at which nothing is used.
    unsafe {
        let at = libc::shmat(id, ptr::null(), 0);
        if at == usize::MAX as *mut c_void {
            return Err(io::Error::last_os_error());
        }
        checked(libc::shmdt(at)).map(drop)
    }
}

/// A message's type and its text.
#[repr(C)]
struct Message(libc::c_long, [u8; 8]);

fn send(id: c_int) -> io::Result<()> {
    let message = Message(1, *b"a secret");
    // SAFETY: the message is as long as said.
    checked(unsafe { libc::msgsnd(id, (&raw const message).cast(), 8, libc::IPC_NOWAIT) }).map(drop)
}

fn receive(id: c_int) -> io::Result<()> {
    let mut message = MaybeUninit::<Message>::uninit();
    // SAFETY: there is room for as much as said.
    let got = unsafe { libc::msgrcv(id, message.as_mut_ptr().cast(), 8, 0, libc::IPC_NOWAIT) };
    checked(got as c_int).map(drop)
}

fn add(id: c_int) -> io::Result<()> {
    semaphore(id, 1)
}

/// A semaphore without a key, which is 0.
pub fn semaphore_of_own() -> io::Result<c_int> {
    Kind::Sem.get(libc::IPC_PRIVATE, MODE)
}

/// Adds to it; of 0 the kernel waits until it is 0.
pub fn semaphore(id: c_int, by: i16) -> io::Result<()> {
    let mut operation = libc::sembuf {
        sem_num: 0,
        sem_op: by,
        sem_flg: libc::IPC_NOWAIT as _,
    };
    // SAFETY: it is one operation.
    checked(unsafe { libc::semop(id, &raw mut operation, 1) }).map(drop)
}

/// In an IPC namespace of its own, and in no zone: makes shared memory; once the file `go` is there, joins the
/// cgroup, and attaches it.
fn beforehand(cgroup: &Path, go: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWIPC)?;
    let id = Kind::Shm.get(libc::IPC_PRIVATE, MODE)?;
    fs::write(go.with_extension("made"), "")?;
    while !go.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    fs::write(cgroup.join("cgroup.procs"), "0")?;
    attach(id)
}

fn checked(answer: c_int) -> io::Result<c_int> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}
