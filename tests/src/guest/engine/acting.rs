//! What actors of the suite do.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::libc;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::{CloneFlags, unshare};

use super::{naming, raw_bpf, raw_doors};

/// Does it; `None` for what is no action of these.
pub fn perform(action: &str, args: &[PathBuf]) -> Option<io::Result<()>> {
    let result = match (action, args) {
        ("put", [path, text]) => put(path, text.as_os_str()),
        ("put-open", [text]) => (&stdin()).write_all(text.as_os_str().as_bytes()),
        ("splice-open", [text]) => splice(text.as_os_str().as_bytes()),
        ("send-file-open", [text]) => send_file(text.as_os_str().as_bytes()),
        ("put-from-thread", [path, text]) => put_from_thread(path, text),
        ("burrow", [from]) => naming::burrow(from),
        ("start-into", [cgroup, marker]) => start_into(cgroup, marker),
        ("unmount", [path]) => umount(path, MntFlags::empty()),
        ("unmount-lazily", [path]) => umount(path, MntFlags::MNT_DETACH),
        ("unmount-in-copy", [path]) => unmount_in_copy(path),
        ("mount-and-unmount", [path]) => mount_and_unmount(path),
        ("mount-bpf", [path]) => mount("bpf", path),
        ("mount-tmpfs", [path]) => mount("tmpfs", path),
        ("mount-cgroup", [path]) => mount_cgroup(path),
        ("read-open", []) => io::Read::read(&mut stdin(), &mut [0; 64]).map(drop),
        ("filter-system-calls", []) => filter_system_calls(),
        ("mount-disk", [disk, path]) => mount_disk(disk, path),
        ("configure-disk", [disk, _]) => configure_disk(disk),
        ("door", [name]) => raw_doors::perform(name),
        ("door-as-child", [name, cgroup]) => raw_doors::perform_as_child(name, cgroup),
        ("hold-terminal", []) => raw_doors::hold_terminal(),
        ("bpf", [command]) => raw_bpf::perform(command, None),
        ("bpf", [command, on]) => raw_bpf::perform(command, Some(on)),
        _ => return None,
    };
    Some(result)
}

/// The descriptor that an actor is given, to be written past every buffer.
fn stdin() -> File {
    // SAFETY: descriptor 0 is open in every actor, and is closed with the process.
    unsafe { File::from_raw_fd(libc::dup(0)) }
}

/// Opens to write, and writes once.
fn put(path: &Path, text: &OsStr) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// The same, by another thread than the process began with.
fn put_from_thread(path: &Path, text: &Path) -> io::Result<()> {
    let (path, text) = (path.to_owned(), text.as_os_str().to_owned());
    let written = thread::spawn(move || put(&path, &text)).join();
    written.map_err(|_| io::Error::other("the thread panicked"))?
}

/// By splice(2) from a pipe to the open file.
fn splice(text: &[u8]) -> io::Result<()> {
    let (from, to) = nix::unistd::pipe()?;
    nix::unistd::write(&to, text)?;
    let flags = nix::fcntl::SpliceFFlags::empty();
    nix::fcntl::splice(from, None, stdin(), None, text.len(), flags)?;
    Ok(())
}

/// By sendfile(2) from a file to the open one.
fn send_file(text: &[u8]) -> io::Result<()> {
    let path = "/tmp/engine-sent";
    fs::write(path, text)?;
    let from = File::open(path)?;
    // SAFETY: both descriptors are open; a null offset means the file's own.
    let sent = unsafe {
        libc::sendfile(
            stdin().as_raw_fd(),
            from.as_raw_fd(),
            std::ptr::null_mut(),
            text.len(),
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, as far as the cgroup.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Starts a child in that cgroup with clone3(2), over a descriptor that opens nothing. The child tells
/// that it runs by making the file `marker`.
fn start_into(cgroup: &Path, marker: &Path) -> io::Result<()> {
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(cgroup)?;
    let marker = std::ffi::CString::new(marker.as_os_str().as_bytes())?;
    let args = CloneArgs {
        flags: CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: directory.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: as fork(2) of a process with one thread; the child makes system calls only.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // SAFETY: a string with its end, and plain system calls.
        unsafe {
            libc::open(marker.as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600);
            libc::_exit(0);
        }
    }
    // SAFETY: the child is this process' own.
    if unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn umount(path: &Path, flags: MntFlags) -> io::Result<()> {
    Ok(nix::mount::umount2(path, flags)?)
}

fn mount(kind: &str, path: &Path) -> io::Result<()> {
    Ok(nix::mount::mount(
        Some(kind),
        path,
        Some(kind),
        MsFlags::empty(),
        None::<&str>,
    )?)
}

/// A hierarchy of version 1 without a controller.
fn mount_cgroup(path: &Path) -> io::Result<()> {
    private()?;
    let options = Some("none,name=zoned");
    let flags = MsFlags::empty();
    Ok(nix::mount::mount(
        Some("none"),
        path,
        Some("cgroup"),
        flags,
        options,
    )?)
}

fn mount_disk(disk: &Path, path: &Path) -> io::Result<()> {
    private()?;
    let flags = MsFlags::MS_RDONLY;
    Ok(nix::mount::mount(
        Some(disk),
        path,
        Some("ext4"),
        flags,
        None::<&str>,
    )?)
}

/// The same with fsopen(2) and fsconfig(2), which make the file system without a mount.
fn configure_disk(disk: &Path) -> io::Result<()> {
    let context = rustix::mount::fsopen("ext4", rustix::mount::FsOpenFlags::empty())?;
    rustix::mount::fsconfig_set_flag(&context, "ro")?;
    rustix::mount::fsconfig_set_string(&context, "source", disk)?;
    Ok(rustix::mount::fsconfig_create(&context)?)
}

/// In a copy of the mount namespace, whose mounts are shared as they were.
fn unmount_in_copy(path: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    umount(path, MntFlags::MNT_DETACH)
}

/// A mount namespace of its own, as a container has: what is mounted there goes with the process.
pub fn private() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    Ok(nix::mount::mount(
        None::<&str>,
        "/",
        None::<&str>,
        private,
        None::<&str>,
    )?)
}

/// In one of its own.
fn mount_and_unmount(path: &Path) -> io::Result<()> {
    private()?;
    mount("tmpfs", path)?;
    umount(path, MntFlags::empty())
}

/// Installs a classic filter that lets everything pass, as every container's runtime installs one.
fn filter_system_calls() -> io::Result<()> {
    let mut allow = libc::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &raw mut allow,
    };
    // SAFETY: the program is one instruction, which is there.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
