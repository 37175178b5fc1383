//! System V and POSIX IPC, and keys: nothing of it has a path that a claim could be on.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nix::libc;

use super::aim::{Aim, SECRET};
use super::files::reads;
use super::sys::{self, call, text};
use super::technique::{Technique, zone, zone_and_host};
use crate::guest::uring;

/// The techniques.
pub const ALL: &[Technique] = &[
    zone_and_host("shmat(2)", |it, _| {
        call(libc::SYS_shmat, [it.memory.into(), 0.into(), 0.into()]).map(drop)
    }),
    zone_and_host("shmat(2), to read", |it, _| {
        let flags = libc::SHM_RDONLY.into();
        call(libc::SYS_shmat, [it.memory.into(), 0.into(), flags]).map(drop)
    }),
    zone_and_host("shmget(2) by its key", |it, _| {
        let key = key_of(&it.name);
        let id = call(libc::SYS_shmget, [key.into(), 0.into(), 0.into()])?;
        call(libc::SYS_shmat, [id.into(), 0.into(), 0.into()]).map(drop)
    }),
    zone_and_host("shmctl(2), IPC_STAT", |it, _| {
        control(libc::SYS_shmctl, it.memory, libc::IPC_STAT)
    }),
    zone_and_host("shmctl(2), SHM_STAT", |it, _| {
        control(libc::SYS_shmctl, index(it.memory), SHM_STAT)
    }),
    zone_and_host("shmctl(2), SHM_STAT_ANY", |it, _| {
        control(libc::SYS_shmctl, index(it.memory), SHM_STAT_ANY)
    }),
    zone_and_host("shmctl(2), SHM_LOCK", |it, _| {
        control(libc::SYS_shmctl, it.memory, SHM_LOCK)
    }),
    zone_and_host("shmctl(2), IPC_RMID", |it, _| {
        control(libc::SYS_shmctl, it.memory, libc::IPC_RMID)
    }),
    zone_and_host("msgrcv(2)", |it, _| {
        let mut room = [0; 64];
        call(
            libc::SYS_msgrcv,
            [
                it.queue.into(),
                room.as_mut_slice().into(),
                56.into(),
                0.into(),
                libc::IPC_NOWAIT.into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("msgsnd(2)", |it, _| sends(it.queue)),
    zone_and_host("msgctl(2), IPC_STAT", |it, _| {
        control(libc::SYS_msgctl, it.queue, libc::IPC_STAT)
    }),
    zone_and_host("msgctl(2), MSG_STAT_ANY", |it, _| {
        control(libc::SYS_msgctl, index(it.queue), MSG_STAT_ANY)
    }),
    zone_and_host("msgctl(2), IPC_RMID", |it, _| {
        control(libc::SYS_msgctl, it.queue, libc::IPC_RMID)
    }),
    zone_and_host("semop(2)", |it, _| {
        // The first semaphore, one more, do not wait.
        let operation = [0, 0, 1, 0, 0, 8];
        call(
            libc::SYS_semop,
            [it.semaphore.into(), operation.as_slice().into(), 1.into()],
        )
        .map(drop)
    }),
    zone_and_host("semctl(2), SETVAL", |it, _| {
        call(
            libc::SYS_semctl,
            [it.semaphore.into(), 0.into(), libc::SETVAL.into(), 1.into()],
        )
        .map(drop)
    }),
    zone_and_host("semctl(2), GETVAL", |it, _| {
        call(
            libc::SYS_semctl,
            [it.semaphore.into(), 0.into(), libc::GETVAL.into(), 0.into()],
        )
        .map(drop)
    }),
    zone_and_host("semctl(2), SEM_STAT_ANY", |it, _| {
        let mut room = [0; 256];
        call(
            libc::SYS_semctl,
            [
                index(it.semaphore).into(),
                0.into(),
                SEM_STAT_ANY.into(),
                room.as_mut_slice().into(),
            ],
        )
        .map(drop)
    }),
    zone_and_host("semctl(2), IPC_RMID", |it, _| {
        call(
            libc::SYS_semctl,
            [
                it.semaphore.into(),
                0.into(),
                libc::IPC_RMID.into(),
                0.into(),
            ],
        )
        .map(drop)
    }),
    zone("mq_open(3) of its queue", |it, _| {
        queue(&it.name, libc::O_RDWR | libc::O_NONBLOCK).map(drop)
    }),
    zone("mq_unlink(3) of its queue", |it, _| {
        let name = text(&it.name)?;
        call(libc::SYS_mq_unlink, [(&name).into()]).map(drop)
    }),
    zone("its queue through a mount of one's own", |it, own| {
        let at = own.path("empty");
        let flags = nix::mount::MsFlags::empty();
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
        nix::mount::mount(Some("mqueue"), &at, Some("mqueue"), flags, None::<&str>)?;
        fs::read(at.join(&it.name)).map(drop)
    }),
    zone("shm_open(3) of its memory", |it, _| {
        reads(File::open(shared(&it.name))?)
    }),
    zone("writing its memory", |it, _| {
        fs::write(shared(&it.name), SECRET)
    }),
    zone("shm_unlink(3) of its memory", |it, _| {
        fs::remove_file(shared(&it.name))
    }),
    zone("renaming its memory", |it, _| {
        let beside = shared("renamed");
        fs::rename(shared(&it.name), &beside)?;
        reads(File::open(beside)?)
    }),
    zone("a link to its memory", |it, _| {
        let beside = shared("linked");
        fs::hard_link(shared(&it.name), &beside)?;
        let read = File::open(&beside).and_then(reads);
        fs::remove_file(beside)?;
        read
    }),
    zone("keyctl(2), KEYCTL_READ", |it, _| {
        let mut room = SECRET.to_vec();
        room.fill(0);
        let length = room.len();
        call(
            libc::SYS_keyctl,
            [
                KEYCTL_READ.into(),
                it.key.into(),
                room.as_mut_slice().into(),
                length.into(),
            ],
        )?;
        if room == SECRET {
            return Ok(());
        }
        Err(sys::without_effect())
    })
    .lacking(&[libc::ENOSYS, libc::EOPNOTSUPP])
    // What is not to be read is not to be found, either.
    .refused_with(&[libc::EPERM, libc::EACCES, libc::ENOKEY]),
    zone("keyctl(2), KEYCTL_UPDATE", |it, _| {
        let length = SECRET.len();
        call(
            libc::SYS_keyctl,
            [
                KEYCTL_UPDATE.into(),
                it.key.into(),
                SECRET.into(),
                length.into(),
            ],
        )
        .map(drop)
    })
    .lacking(&[libc::ENOSYS, libc::EOPNOTSUPP]),
    zone("keyctl(2), KEYCTL_REVOKE", |it, _| {
        call(libc::SYS_keyctl, [KEYCTL_REVOKE.into(), it.key.into()]).map(drop)
    })
    .lacking(&[libc::ENOSYS, libc::EOPNOTSUPP]),
    zone("reading /proc/keys", |it, _| {
        lists(&fs::read("/proc/keys")?, it.key)
    })
    .lacking(&[libc::ENOENT]),
    // As the kernel does for itself, with other credentials than the task's own.
    zone(
        "the same by io_uring, with credentials of before",
        |it, _| {
            let (file, mut room) = (File::open("/proc/keys")?, vec![0; 1 << 16]);
            let read = uring::read_as_before(file.as_fd(), &mut room, || {
                nix::sys::prctl::set_keepcaps(true).map_err(io::Error::from)
            })?;
            lists(room.get(..read).unwrap_or_default(), it.key)
        },
    )
    .lacking(&[libc::ENOENT, libc::ENOSYS]),
];

const SHM_LOCK: i32 = 11;
const SHM_STAT: i32 = 13;
const SHM_STAT_ANY: i32 = 15;
const MSG_STAT_ANY: i32 = 13;
const SEM_STAT_ANY: i32 = 20;
const KEYCTL_UPDATE: i32 = 2;
const KEYCTL_REVOKE: i32 = 3;
const KEYCTL_SETPERM: i32 = 5;
const KEYCTL_READ: i32 = 11;
const USER_KEYRING: i32 = -4;
/// Everything, for whoever has it and for its user.
const EVERYTHING: u32 = 0x3f3f_0000;

/// What attacks on shared memory may have made beside it, for the suite to take away.
pub fn as_it_was() {
    for name in ["renamed", "linked"] {
        // Neither need be there.
        let _ = fs::remove_file(shared(name));
    }
}

/// Makes one of each in the name of this process.
pub fn have(aim: &mut Aim) -> io::Result<()> {
    let flags = libc::IPC_CREAT | 0o600;
    let key = key_of(&aim.name);
    // What the one before it left.
    for (get, control) in [
        (libc::SYS_shmget, libc::SYS_shmctl),
        (libc::SYS_msgget, libc::SYS_msgctl),
        (libc::SYS_semget, libc::SYS_semctl),
    ] {
        if let Ok(id) = call(get, [key.into(), 0.into(), 0.into()]) {
            let (second, third) = if get == libc::SYS_semget {
                (0, libc::IPC_RMID)
            } else {
                (libc::IPC_RMID, 0)
            };
            call(control, [id.into(), second.into(), third.into()])?;
        }
    }
    let made = |id: i64| i32::try_from(id).map_err(io::Error::other);
    aim.memory = made(call(
        libc::SYS_shmget,
        [key.into(), 4096.into(), flags.into()],
    )?)?;
    aim.queue = made(call(libc::SYS_msgget, [key.into(), flags.into()])?)?;
    sends(aim.queue)?;
    aim.semaphore = made(call(
        libc::SYS_semget,
        [key.into(), 1.into(), flags.into()],
    )?)?;
    let name = text(&aim.name)?;
    // It may not be there.
    let _ = call(libc::SYS_mq_unlink, [(&name).into()]);
    let mode = libc::O_CREAT | libc::O_RDWR;
    queue(&aim.name, mode)?;
    let _ = fs::remove_file(shared(&aim.name));
    fs::write(shared(&aim.name), SECRET)?;
    aim.key = made_key(&aim.name).unwrap_or(0);
    Ok(())
}

/// Whether a listing of keys has this one, whose serial number it begins with.
fn lists(listing: &[u8], key: i32) -> io::Result<()> {
    let serial = format!("{key:08x} ");
    let mut lines = listing.split(|byte| *byte == b'\n');
    match key != 0 && lines.any(|line| line.starts_with(serial.as_bytes())) {
        true => Ok(()),
        false => Err(sys::without_effect()),
    }
}

fn made_key(name: &str) -> io::Result<i32> {
    let name = text(name)?;
    let length = SECRET.len();
    let key = call(
        libc::SYS_add_key,
        [
            c"user".into(),
            (&name).into(),
            SECRET.into(),
            length.into(),
            USER_KEYRING.into(),
        ],
    )?;
    call(
        libc::SYS_keyctl,
        [KEYCTL_SETPERM.into(), key.into(), EVERYTHING.into()],
    )?;
    i32::try_from(key).map_err(io::Error::other)
}

/// A key of System V that nobody else has.
fn key_of(name: &str) -> i32 {
    name.bytes()
        .fold(0x5359_0000, |key, byte| key ^ i32::from(byte) << (byte % 8))
}

/// Of an id, where the kernel keeps it: ids hold how often the place was used above that.
fn index(id: i32) -> i32 {
    id & 0x7fff
}

fn shared(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(name)
}

fn queue(name: &str, flags: i32) -> io::Result<std::os::fd::OwnedFd> {
    let name = text(name)?;
    sys::descriptor(
        libc::SYS_mq_open,
        [(&name).into(), flags.into(), 0o600.into(), 0.into()],
    )
}

fn sends(queue: i32) -> io::Result<()> {
    let mut message = sys::words(&[1]);
    message.extend(b"a message");
    call(
        libc::SYS_msgsnd,
        [
            queue.into(),
            message.as_slice().into(),
            9.into(),
            libc::IPC_NOWAIT.into(),
        ],
    )
    .map(drop)
}

fn control(number: libc::c_long, id: i32, command: i32) -> io::Result<()> {
    let mut room = [0; 256];
    call(
        number,
        [id.into(), command.into(), room.as_mut_slice().into()],
    )
    .map(drop)
}
