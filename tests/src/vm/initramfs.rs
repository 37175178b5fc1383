//! Builds the guest's file system: busybox, the binaries under test with their libraries, modules,
//! and an init that runs one suite.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::VmError;
use super::command::output;
use super::cpio::Archive;
use super::kernels::Kernel;
use super::modules::{Dependencies, module_name};
use super::qemu::Root;

/// The guest's first program, which runs the suite.
const INIT: &str = include_str!("init.sh");

/// The same for a guest that only passes through here, to a Debian on a disk.
const INIT_DEBIAN: &str = include_str!("init-debian.sh");

/// What goes into one guest besides busybox and init.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The kernel whose modules are packed.
    pub kernel: &'a Kernel,
    /// Which file system the guest runs on.
    pub root: Root,
    /// Names of modules loaded before the suite starts.
    pub modules: &'a [&'a str],
    /// Binaries that become `/bin/NAME`.
    pub binaries: &'a [PathBuf],
    /// Where stripped copies of the binaries are kept between runs.
    pub work: &'a Path,
}

/// Writes the archive to `to`. It is not compressed: QEMU loads it at the host's speed, while the
/// emulated guest would have to decompress it.
pub fn write(contents: &Contents<'_>, to: &Path) -> Result<(), VmError> {
    let mut archive = Archive::new();
    for dir in [
        "dev", "proc", "sys", "tmp", "run", "etc", "root", "var", "mnt", "bin",
    ] {
        archive.dir(dir);
    }
    archive.char_device("dev/console", 5, 1);
    let init = match contents.root {
        Root::Initramfs => INIT,
        Root::Debian => INIT_DEBIAN,
    };
    archive.file("init", 0o755, init.as_bytes());
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    archive.file("etc/group", 0o644, b"root:x:0:\n");
    add_busybox(&mut archive)?;
    let mut libraries = BTreeSet::new();
    for binary in contents.binaries {
        add_binary(&mut archive, binary, contents.work, &mut libraries)?;
    }
    for library in &libraries {
        add_file(
            &mut archive,
            library.trim_start_matches('/'),
            Path::new(library),
        )?;
    }
    add_modules(&mut archive, contents)?;
    fs::write(to, archive.finish()).map_err(VmError::io("writing", to))
}

fn add_busybox(archive: &mut Archive) -> Result<(), VmError> {
    let mut list = Command::new("busybox");
    let applets = output("list busybox's applets", list.arg("--list"))?;
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let place = places
        .iter()
        .find(|place| place.exists())
        .unwrap_or(&places[0]);
    add_file(archive, "bin/busybox", place)?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        archive.symlink(&format!("bin/{applet}"), "busybox");
    }
    Ok(())
}

fn add_binary(
    archive: &mut Archive,
    binary: &Path,
    work: &Path,
    libraries: &mut BTreeSet<String>,
) -> Result<(), VmError> {
    if !binary.exists() {
        return Err(VmError::NoBinary {
            path: binary.to_owned(),
        });
    }
    let name = binary
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let linked = output("list a binary's libraries", Command::new("ldd").arg(binary));
    match linked {
        Ok(text) => libraries.extend(parse_ldd(&text)),
        Err(VmError::Command { ref said, .. }) if said.contains("not a dynamic") => {}
        Err(error) => return Err(error),
    }
    // Debug information is most of a debug build, and the guest's memory is small.
    let stripped = work.join(format!("{name}.stripped"));
    let mut strip = Command::new("strip");
    output(
        "strip a binary",
        strip
            .arg("--strip-debug")
            .arg("-o")
            .arg(&stripped)
            .arg(binary),
    )?;
    add_file(archive, &format!("bin/{name}"), &stripped)
}

/// The absolute paths in what ldd(1) printed.
pub fn parse_ldd(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}

fn add_file(archive: &mut Archive, guest: &str, host: &Path) -> Result<(), VmError> {
    let contents = fs::read(host).map_err(VmError::io("reading", host))?;
    let mode = fs::metadata(host)
        .map_err(VmError::io("reading", host))?
        .permissions()
        .mode();
    archive.file(guest, mode & 0o777, &contents);
    Ok(())
}

/// Packs modules under numbered names, so that init loads them in the shell's own order.
fn add_modules(archive: &mut Archive, contents: &Contents<'_>) -> Result<(), VmError> {
    if contents.modules.is_empty() {
        return Ok(());
    }
    let from = contents.kernel.modules();
    let listed = from.join("modules.dep");
    let text = fs::read_to_string(&listed).map_err(VmError::io("reading", &listed))?;
    let order = Dependencies::parse(&text).load_order(contents.modules);
    for (number, file) in order.iter().enumerate() {
        let guest = format!("lib/modules/{number:02}-{}.ko", module_name(file));
        add_file(archive, &guest, &from.join(file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_found_and_the_vdso_is_not() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            parse_ldd(text),
            [
                "/lib/x86_64-linux-gnu/libelf.so.1",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }
}
