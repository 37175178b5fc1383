//! The system calls through which root in a container becomes root on the host. Each is tried so that it
//! does no harm where it opens: by asking for what cannot be, or for what is so already.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::libc;

use super::host::uses_files;
use super::sys::{self, call};
use super::tasks::perf;
use super::technique::{Technique, node};

pub const ALL: &[Technique] = &[
    node(
        "init_module(2)",
        |_, _| {
            // Not a module, which is seen after the hooks were asked.
            let image = [0_u8; 64];
            let done = call(
                libc::SYS_init_module,
                [image.as_slice().into(), 64.into(), c"".into()],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    ),
    node(
        "finit_module(2)",
        |_, own| {
            let file = File::open(own.path("other"))?;
            let done = call(
                libc::SYS_finit_module,
                [sys::fd(&file), c"".into(), 0.into()],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    ),
    node(
        "delete_module(2)",
        |_, _| {
            let none = c"syva_no_such_module".into();
            let done = call(libc::SYS_delete_module, [none, 0.into()]);
            after_the_hooks(done.map(drop), libc::ENOENT)
        },
        uses_files,
    ),
    node(
        "kexec_load(2)",
        |_, _| {
            call(
                libc::SYS_kexec_load,
                [0.into(), 0.into(), 0.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "kexec_file_load(2)",
        |_, own| {
            let file = File::open(own.path("other"))?;
            let no_initrd = 4;
            let done = call(
                libc::SYS_kexec_file_load,
                [
                    sys::fd(&file),
                    (-1).into(),
                    1.into(),
                    c"".into(),
                    no_initrd.into(),
                ],
            );
            after_the_hooks(done.map(drop), libc::ENOEXEC)
        },
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "perf_event_open(2) of a processor",
        |_, _| perf(-1, 0),
        |_, _| perf(0, -1),
    ),
    node(
        "TIOCSTI on the host's terminal",
        |_, _| {
            let terminal = sys::open(Path::new(TERMINAL), libc::O_RDWR | libc::O_NOCTTY)?;
            call(
                libc::SYS_ioctl,
                [
                    sys::fd(&terminal),
                    sys::Arg::Number(libc::TIOCSTI as i64),
                    c"x".into(),
                ],
            )
            .map(drop)
        },
        uses_files,
    )
    .lacking(&[libc::EIO]),
    node(
        "iopl(2)",
        |_, _| call(libc::SYS_iopl, [3.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "ioperm(2)",
        |_, _| call(libc::SYS_ioperm, [0x80.into(), 1.into(), 1.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
    node(
        "reboot(2) from a process whose children are to have another pid namespace",
        |_, _| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID)?;
            let (one, two, off) = (0xfee1_dead_u32, 672_274_793, 0);
            call(
                libc::SYS_reboot,
                [one.into(), two.into(), off.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    ),
    node(
        "reboot(2)",
        |_, _| {
            // Only what Ctrl-Alt-Del does.
            let (one, two, off) = (0xfee1_dead_u32, 672_274_793, 0);
            call(
                libc::SYS_reboot,
                [one.into(), two.into(), off.into(), 0.into()],
            )
            .map(drop)
        },
        uses_files,
    ),
    node(
        "clock_settime(2)",
        |_, _| {
            let mut now = [0; 16];
            call(
                libc::SYS_clock_gettime,
                [0.into(), now.as_mut_slice().into()],
            )?;
            call(libc::SYS_clock_settime, [0.into(), now.as_slice().into()]).map(drop)
        },
        |_, _| {
            let mut now = [0; 16];
            call(
                libc::SYS_clock_gettime,
                [0.into(), now.as_mut_slice().into()],
            )
            .map(drop)
        },
    ),
    node(
        "syslog(2), clearing",
        |_, _| {
            const CLEAR: i32 = 5;
            call(libc::SYS_syslog, [CLEAR.into(), 0.into(), 0.into()]).map(drop)
        },
        uses_files,
    ),
    node(
        "acct(2)",
        |_, _| call(libc::SYS_acct, [0.into()]).map(drop),
        uses_files,
    )
    .lacking(&[libc::ENOSYS]),
];

/// A terminal of the host's.
pub const TERMINAL: &str = "/run/attack/terminal";

/// An error that comes after the question whether it may be done: it might have been.
pub fn after_the_hooks(done: io::Result<()>, then: i32) -> io::Result<()> {
    match done {
        Err(error) if error.raw_os_error() == Some(then) => Ok(()),
        done => done,
    }
}
