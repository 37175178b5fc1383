//! Running what is another's, and mapping it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nix::libc;

use super::sys;
use super::technique::{Technique, zone};
use crate::guest::raw;

pub const ALL: &[Technique] = &[
    zone("execve(2)", |it, _| {
        runs(Command::new(it.path("program")).arg("true"))
    }),
    zone("execve(2) of a script", |it, _| {
        runs(&mut Command::new(it.path("script")))
    }),
    zone("execveat(2) of O_PATH", |it, _| {
        let program = sys::open(&it.path("program"), libc::O_PATH)?;
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
            format!("#!{} true\n", it.path("program").display()).as_bytes(),
        )?;
        runs(&mut Command::new(script))
    }),
    zone("as the interpreter of one's own program", |it, own| {
        let program = own.path("new");
        executable(&program, &interpreted(&it.path("program"))?)?;
        runs(&mut Command::new(program))
    }),
    zone("read by a shell of one's own", |it, _| {
        runs(Command::new("/bin/sh").arg(it.path("script")))
    }),
    zone("by a worker of vfork(2)", |it, _| {
        sys::in_child(|| runs(Command::new(it.path("program")).arg("true")))
    }),
    zone("mmap(2) to execute", |it, _| {
        raw::map(File::open(it.path("program"))?, true)
    }),
    zone("mmap(2) to read, then mprotect(2) to execute", |it, _| {
        raw::map_then_execute(File::open(it.path("program"))?)
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

/// A program that has nothing but another for an interpreter: an ELF header, PT_INTERP and PT_LOAD.
fn interpreted(interpreter: &Path) -> io::Result<Vec<u8>> {
    const HEADER: u64 = 64;
    const SEGMENT: u64 = 56;
    const BASE: u64 = 0x40_0000;
    let name = sys::text(interpreter)?.into_bytes_with_nul();
    let (at, length) = (HEADER + 2 * SEGMENT, name.len() as u64);
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // ET_EXEC, x86-64, version.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend(sys::words(&[BASE + at, HEADER, 0]));
    // Flags; then the sizes of this header and of a segment's, two segments, no sections.
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 64, 0, 0, 0, 0, 0]);
    for (kind, offset, size, align) in [(3_u32, at, length, 1), (1, 0, at + length, 0x1000)] {
        // Readable and executable.
        elf.extend(sys::halves(&[kind, 5]));
        elf.extend(sys::words(&[
            offset,
            BASE + offset,
            BASE + offset,
            size,
            size,
            align,
        ]));
    }
    elf.extend(name);
    Ok(elf)
}
