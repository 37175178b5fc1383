//! Attempts that take a few steps, and how their refusal is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use syva_model::hook::Hook;

use crate::guest::actor::{Outcome, act, begin};
use crate::guest::keys::serial_of;
use crate::guest::mutating;
use crate::guest::sysv::{Kind, id_of};

/// A key that nobody else has.
const KEY: i32 = 0x6465_6d6f;

/// What system calls make of the hook's EPERM.
pub fn errno(hook: Hook) -> Errno {
    match hook {
        // ipcperms() in ipc/util.c only says that it may not be, and so does a search for a key.
        Hook::IpcPermission | Hook::KeyPermission => Errno::ACCESS,
        _ => Errno::PERM,
    }
}

/// As manual pages call it.
pub fn name(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS => "EACCES",
        _ => "EPERM",
    }
}

/// Has a file kill a process of the other cgroup. No system call says whether the signal was sent: whether
/// the process dies does.
pub fn file_signal(from: &Path, to: &Path) -> Outcome {
    let target = match begin(to, "wait", &[]) {
        Ok(target) => target,
        Err(error) => return Outcome::Broken(error.to_string()),
    };
    let pid = PathBuf::from(target.pid().to_string());
    let how = [Path::new("F_SETOWN"), &pid, Path::new("9")];
    match act(from, "file-signals", &how) {
        Outcome::Done if dies(&pid) => Outcome::Done,
        Outcome::Done => Outcome::Refused(Errno::PERM.raw_os_error()),
        other => other,
    }
}

/// Whether the process, for which its parent has not waited, is dead, or is so soon.
pub fn dies(pid: &Path) -> bool {
    let stat = Path::new("/proc").join(pid).join("stat");
    for _ in 0..100 {
        if fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")) {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Does what the hook is about to a System V object that the other cgroup makes for it.
pub fn sysv(from: &Path, to: &Path, hook: Hook) -> Outcome {
    let (kind, operation) = match hook {
        Hook::MsgQueueMsgctl => (Kind::Msg, "stat-any"),
        Hook::SemSemctl => (Kind::Sem, "stat-any"),
        Hook::ShmShmctl => (Kind::Shm, "lock"),
        _ => (Kind::Sem, "add"),
    };
    let does = |cgroup: &Path, operation: &str, number: i32| {
        let number = number.to_string();
        act(
            cgroup,
            "sysv",
            &[kind.name(), operation, &number].map(Path::new),
        )
    };
    let made = does(to, "make", KEY);
    if made != Outcome::Done {
        return Outcome::Broken(format!("making {kind}: {made:?}"));
    }
    match id_of(kind, KEY) {
        Ok(id) => {
            let outcome = does(from, operation, id);
            does(to, "remove", id);
            outcome
        }
        Err(error) => Outcome::Broken(error.to_string()),
    }
}

/// Looks for a key that the other cgroup makes for it, in the keyring that they share.
pub fn key(from: &Path, to: &Path) -> Outcome {
    let name = "syva-demo";
    let made = act(to, "make-key", &[Path::new(name)]);
    if made != Outcome::Done {
        return Outcome::Broken(format!("making a key: {made:?}"));
    }
    match serial_of(name) {
        Ok(serial) => {
            let serial = serial.to_string();
            let outcome = act(from, "find-key", &[Path::new(name)]);
            act(to, "revoke-key", &[serial.as_ref()]);
            outcome
        }
        Err(error) => Outcome::Broken(error.to_string()),
    }
}

/// What a mutation hook is about, in a directory that is made for it.
pub fn change(from: &Path, hook: Hook, dir: &Path) -> Outcome {
    let (file, folder, new) = (dir.join("file"), dir.join("folder"), dir.join("new"));
    let prepare = || {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(&folder)?;
        fs::write(&file, "content")?;
        mutating::perform("set-attribute", std::slice::from_ref(&file)).unwrap_or(Ok(()))
    };
    if let Err(error) = prepare() {
        return Outcome::Broken(format!("preparing {}: {error}", dir.display()));
    }
    let (action, args): (&str, &[&Path]) = match hook {
        Hook::InodeMkdir => ("mkdir", &[&new]),
        Hook::InodeMknod => ("fifo", &[&new]),
        Hook::InodeSymlink => ("symlink", &[&new]),
        Hook::InodeLink => ("link", &[&file, &new]),
        Hook::InodeRename => ("rename", &[&file, &new]),
        Hook::InodeUnlink => ("unlink", &[&file]),
        Hook::InodeRmdir => ("rmdir", &[&folder]),
        Hook::InodeSetattr => ("chmod", &[&file]),
        Hook::InodeSetxattr => ("set-attribute", &[&file]),
        Hook::InodeRemovexattr => ("remove-attribute", &[&file]),
        _ => ("create", &[&new]),
    };
    act(from, action, args)
}
