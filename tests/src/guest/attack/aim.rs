//! What an attack is aimed at: a directory, a process and all that the process has; and the process
//! that has it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use serde::{Deserialize, Serialize};

use super::elf;
use super::sys::{self, call, text};
use super::{terminals, unix};
use crate::guest::{Failure, actor};

/// How long the daemon may take, under emulation, until a cgroup is its zone's again.
const RESTORED: Duration = Duration::from_secs(20);

/// What is in every secret, and in the memory of every victim.
pub const SECRET: &[u8] = b"this is the secret of its owner!";

/// The program in every directory: it looks at its name for what it is to do.
pub const PROGRAM: &str = "busybox";
/// A program that can be an interpreter.
pub const LOADER: &str = "loader";
const ORIGINAL: &str = "/bin/busybox";

/// Whether it is the program, whole and without what an attack may have given it.
fn is_program(path: &Path) -> bool {
    let (Ok(there), Ok(original)) = (fs::symlink_metadata(path), fs::metadata(ORIGINAL)) else {
        return false;
    };
    let attributes = rustix::fs::listxattr(path, &mut [0_u8; 0][..]).unwrap_or(0);
    path.ends_with(PROGRAM)
        && there.is_file()
        && there.len() == original.len()
        && there.mode() == original.mode()
        && there.nlink() == 1
        && attributes == 0
}

/// Everything of one side that can be attacked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Aim {
    /// Its directory: `secret`, `busybox`, `script`, `link`, `folder/inner`, `published`; claimed, if it is a
    /// zone's.
    pub dir: PathBuf,
    /// Its cgroup.
    pub cgroup: PathBuf,
    /// What its abstract sockets, queues and shared memory are called.
    pub name: String,
    /// Its process, which leads a group of its own.
    pub pid: i32,
    /// Where that process keeps [`SECRET`].
    pub address: usize,
    /// The number under which it has the secret open.
    pub secret: i32,
    /// System V shared memory; it has a queue with a message, and a semaphore too.
    pub memory: i32,
    /// The queue.
    pub queue: i32,
    /// The semaphore.
    pub semaphore: i32,
    /// A key with the secret, which its user may do everything with.
    pub key: i32,
    /// The terminal of its process' session.
    pub terminal: PathBuf,
}

impl Aim {
    /// A path in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The name beside its directory that the host has given a file in it.
    pub fn published(&self) -> PathBuf {
        self.dir.with_extension("published")
    }

    /// The same as the kernel takes it.
    pub fn text(&self, name: &str) -> io::Result<std::ffi::CString> {
        text(self.path(name))
    }

    /// A file of its process, below /proc.
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// A name of an abstract socket.
    pub fn socket(&self, kind: &str) -> PathBuf {
        PathBuf::from(format!("@{}-{kind}", self.name))
    }

    /// Whether its process is gone, or waits for its parent to see that.
    pub fn is_dead(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        stat.map_or(true, |stat| {
            stat.rsplit(')')
                .next()
                .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        })
    }
}

/// A side of the fight, as whoever runs it sees it: the process is started anew for every attack.
pub struct Side {
    /// What attacks are told.
    pub aim: Aim,
    victim: Option<Child>,
}

impl Side {
    /// Makes the directory; `prepare` and `revive` fill it.
    pub fn new(name: &str, dir: PathBuf, cgroup: PathBuf) -> Result<Side, Failure> {
        fs::create_dir_all(&dir)?;
        Ok(Side {
            aim: Aim {
                dir,
                cgroup,
                name: name.to_owned(),
                pid: 0,
                address: 0,
                secret: 0,
                memory: 0,
                queue: 0,
                semaphore: 0,
                key: 0,
                terminal: PathBuf::new(),
            },
            victim: None,
        })
    }

    /// Puts everything into the directory as it was, whatever an attack has made of it.
    pub fn prepare(&self) -> Result<(), Failure> {
        let dir = &self.aim.dir;
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            // What the victim is bound to stays with it; so does what is long and as it was.
            if path.extension().is_some_and(|ending| ending == "sock") || is_program(&path) {
                continue;
            }
            if fs::symlink_metadata(&path)?.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
        fs::create_dir(dir.join("folder"))?;
        fs::create_dir(dir.join("empty"))?;
        for name in ["secret", "other", "folder/inner"] {
            fs::write(dir.join(name), SECRET)?;
        }
        let (inside, outside) = (dir.join("published"), self.aim.published());
        fs::write(&inside, SECRET)?;
        if outside.exists() {
            fs::remove_file(&outside)?;
        }
        fs::hard_link(inside, outside)?;
        fs::write(dir.join("script"), "#!/bin/sh\nexit 0\n")?;
        fs::write(dir.join(LOADER), elf::ending_well())?;
        for name in ["script", LOADER] {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755))?;
        }
        let program = dir.join(PROGRAM);
        if !is_program(&program) {
            fs::copy(ORIGINAL, &program)?;
        }
        std::os::unix::fs::symlink("secret", dir.join("link"))?;
        Ok(())
    }

    /// Starts the process again, with all that it has.
    ///
    /// A cgroup that a foreign process was pulled into is nobody's until the daemon has put that right, and
    /// what starts there meanwhile is refused even its own files: that is waited for.
    pub fn revive(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            match self.start()? {
                Ok(()) => return Ok(()),
                Err(status) if status.code() == Some(libc::EPERM) && begun.elapsed() < RESTORED => {
                    thread::sleep(Duration::from_millis(200));
                }
                // Its status is the error it met.
                Err(status) => return Err(format!("{} ends: {status}", self.aim.name).into()),
            }
        }
    }

    fn start(&mut self) -> Result<Result<(), ExitStatus>, Failure> {
        self.bury();
        for entry in fs::read_dir(&self.aim.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "sock") {
                fs::remove_file(path)?;
            }
        }
        let mut child = actor::actor(
            &self.aim.cgroup,
            "victim",
            &[&self.aim.dir, Path::new(&self.aim.name)],
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let Ok(had) = serde_json::from_str::<Aim>(&line) else {
            return Ok(Err(child.wait()?));
        };
        let cgroup = self.aim.cgroup.clone();
        self.aim = Aim { cgroup, ..had };
        self.victim = Some(child);
        Ok(Ok(()))
    }

    fn bury(&mut self) {
        if let Some(mut child) = self.victim.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.bury();
    }
}

/// What a victim's process does: has everything, says what, and waits.
pub fn be_victim(dir: &Path, name: &Path) -> io::Result<()> {
    // Of no use to itself if it fails: it leads a group already.
    let _ = nix::unistd::setsid();
    let name = name.to_string_lossy().into_owned();
    let mut aim = Aim {
        dir: dir.to_owned(),
        cgroup: PathBuf::new(),
        pid: std::process::id() as i32,
        address: 0,
        secret: 0,
        memory: 0,
        queue: 0,
        semaphore: 0,
        key: 0,
        terminal: PathBuf::new(),
        name,
    };
    let terminal = nix::pty::openpty(None, None)?;
    terminals::take(&terminal.slave, false)?;
    aim.terminal = nix::unistd::ttyname(&terminal.slave)?;
    // Closed any earlier than with the process, it would hang this session up, and kill what leads it.
    std::mem::forget(terminal);
    let memory = SECRET.to_vec().leak();
    aim.address = memory.as_ptr() as usize;
    let secret = fs::File::options()
        .read(true)
        .write(true)
        .open(aim.path("secret"))?;
    aim.secret = std::os::fd::IntoRawFd::into_raw_fd(secret);
    listen(&aim)?;
    super::ipc::have(&mut aim)?;
    let said = serde_json::to_string(&aim).map_err(io::Error::other)?;
    println!("{said}");
    io::stdout().flush()?;
    loop {
        thread::park();
    }
}

/// Sockets of every kind, by path and by abstract name, all of which are answered.
fn listen(aim: &Aim) -> io::Result<()> {
    for (kind, path) in [
        (libc::SOCK_STREAM, "stream"),
        (libc::SOCK_SEQPACKET, "seqpacket"),
        (libc::SOCK_DGRAM, "datagram"),
    ] {
        for path in [aim.path(&format!("{path}.sock")), aim.socket(path)] {
            let socket = unix::bound(kind, &path)?;
            thread::spawn(move || answer(kind, &socket));
        }
    }
    Ok(())
}

fn answer(kind: i32, socket: &impl std::os::fd::AsRawFd) {
    let mut room = [0_u8; 64];
    loop {
        let taken = if kind == libc::SOCK_DGRAM {
            let length = room.len();
            call(
                libc::SYS_recvfrom,
                [
                    sys::fd(socket),
                    (&mut room[..]).into(),
                    length.into(),
                    0.into(),
                    0.into(),
                    0.into(),
                ],
            )
            .map(drop)
        } else {
            sys::descriptor(
                libc::SYS_accept4,
                [sys::fd(socket), 0.into(), 0.into(), 0.into()],
            )
            .map(drop)
        };
        if taken.is_err() {
            return;
        }
    }
}
