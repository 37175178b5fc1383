//! Running what is another's, and mapping it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::libc;

use super::aim::{LOADER, PROGRAM};
use super::elf;
use super::sys;
use super::technique::{Technique, zone};
use crate::guest::raw;

pub const ALL: &[Technique] = &[
    zone("execve(2)", |it, _| {
        runs(Command::new(it.path(PROGRAM)).arg("true"))
    }),
    zone("execve(2) of a script", |it, _| {
        runs(&mut Command::new(it.path("script")))
    }),
    zone("execveat(2) of O_PATH", |it, _| {
        let program = sys::open(&it.path(PROGRAM), libc::O_PATH)?;
        sys::in_child(|| {
            let arguments = [c"true".as_ptr() as u64, 0];
            sys::call(
                libc::SYS_execveat,
                [
                    sys::fd(&program),
                    c"".into(),
                    sys::words(&arguments).as_slice().into(),
                    0.into(),
                    libc::AT_EMPTY_PATH.into(),
                ],
            )
            .map(drop)
        })
    }),
    zone("as the interpreter of one's own script", |it, own| {
        let script = own.path("new");
        executable(
            &script,
            format!("#!{} true\n", it.path(PROGRAM).display()).as_bytes(),
        )?;
        runs(&mut Command::new(script))
    }),
    zone("as the interpreter of one's own program", |it, own| {
        let program = own.path("new");
        executable(&program, &elf::interpreted(&it.path(LOADER))?)?;
        runs(&mut Command::new(program))
    }),
    zone("read by a shell of one's own", |it, _| {
        runs(Command::new("/bin/sh").arg(it.path("script")))
    }),
    zone("execve(2) after fork(2)", |it, _| {
        sys::in_child(|| runs(Command::new(it.path(PROGRAM)).arg("true")))
    }),
    zone("mmap(2) to execute", |it, _| {
        raw::map(File::open(it.path(PROGRAM))?, true)
    }),
    zone("mmap(2) to read, then mprotect(2) to execute", |it, _| {
        raw::map_then_execute(File::open(it.path(PROGRAM))?)
    }),
    zone(
        "mapping the pages of its process, through /proc/PID/map_files",
        |it, _| {
            let maps = fs::read_to_string(it.proc("maps"))?;
            let file = maps
                .lines()
                .find(|line| line.contains('/'))
                .and_then(|line| line.split(' ').next())
                .ok_or(io::ErrorKind::NotFound)?;
            File::open(it.proc("map_files").join(file)).map(drop)
        },
    ),
    zone(
        "the program of its process, through /proc/PID/exe",
        |it, _| File::open(it.proc("exe")).map(drop),
    ),
];

fn runs(command: &mut Command) -> io::Result<()> {
    // A program whose interpreter or library is refused is killed rather than told.
    if command.status()?.success() {
        return Ok(());
    }
    Err(sys::without_effect())
}

fn executable(path: &Path, text: &[u8]) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
