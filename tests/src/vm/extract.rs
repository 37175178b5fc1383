//! Takes a kernel and the modules worth keeping out of Debian packages.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::VmError;
use super::cache::{make_dir, remove_dir};
use super::command::output;
use super::kernels::Kernel;
use super::modules::{Dependencies, KEPT};

/// A file of the names that [`KEPT`] had.
const KEPT_HERE: &str = "kept";

/// Whether the kernel was unpacked, with all that is kept now.
pub fn is_whole(kernel: &Kernel) -> bool {
    let kept = fs::read_to_string(kernel.dir.join(KEPT_HERE));
    kernel.image().exists() && kept.is_ok_and(|kept| kept == KEPT.join(" "))
}

/// Unpacks `debs` into `kernel.dir`, which appears complete or not at all.
pub fn unpack(kernel: &Kernel, debs: &[PathBuf]) -> Result<(), VmError> {
    let beside = kernel.dir.with_extension("partial");
    let (tree, ready) = (beside.join("tree"), beside.join("ready"));
    remove_dir(&beside)?;
    make_dir(&tree)?;
    make_dir(&ready)?;
    for deb in debs {
        output(
            "unpack a kernel package",
            Command::new("dpkg").arg("-x").arg(deb).arg(&tree),
        )?;
    }
    let release_dir = modules_dir(kernel, &tree)?;
    let image = image(kernel, &tree, &release_dir)?;
    copy(&image, &ready.join("vmlinuz"))?;
    keep_modules(&tree, &release_dir, &ready.join("modules"))?;
    let kept = ready.join(KEPT_HERE);
    fs::write(&kept, KEPT.join(" ")).map_err(VmError::io("writing", &kept))?;
    remove_dir(&kernel.dir)?;
    fs::rename(&ready, &kernel.dir).map_err(VmError::io("moving into place", &kernel.dir))?;
    remove_dir(&beside)
}

/// `lib/modules/RELEASE`, which newer packages have under `usr`.
fn modules_dir(kernel: &Kernel, tree: &Path) -> Result<PathBuf, VmError> {
    for parent in [tree.join("usr/lib/modules"), tree.join("lib/modules")] {
        let entry = fs::read_dir(&parent)
            .ok()
            .and_then(|mut entries| entries.next()?.ok());
        if let Some(entry) = entry {
            return Ok(entry.path());
        }
    }
    Err(layout(kernel, "no folder lib/modules/RELEASE"))
}

/// `boot/vmlinuz-RELEASE`, or `vmlinuz` beside the modules in newer packages.
fn image(kernel: &Kernel, tree: &Path, release_dir: &Path) -> Result<PathBuf, VmError> {
    let release = release_dir
        .file_name()
        .and_then(OsStr::to_str)
        .unwrap_or_default();
    let places = [
        tree.join(format!("boot/vmlinuz-{release}")),
        release_dir.join("vmlinuz"),
    ];
    let found = places.into_iter().find(|place| place.exists());
    found.ok_or_else(|| layout(kernel, "no vmlinuz in boot/ nor beside the modules"))
}

fn layout(kernel: &Kernel, what: &str) -> VmError {
    VmError::Layout {
        kernel: kernel.name,
        version: kernel.version.clone(),
        what: what.to_owned(),
    }
}

/// Copies the kept modules and what they need, decompressed, since the guest's insmod may not be
/// able to; writes a `modules.dep` that names them as they are now.
fn keep_modules(tree: &Path, release_dir: &Path, to: &Path) -> Result<(), VmError> {
    make_dir(to)?;
    let base = if release_dir.starts_with(tree.join("usr")) {
        tree.join("usr")
    } else {
        tree.into()
    };
    let release = release_dir.file_name().unwrap_or_default();
    // The packages have no modules.dep: it is made at installation.
    output(
        "list module dependencies",
        Command::new("depmod").arg("-b").arg(base).arg(release),
    )?;
    let listed = release_dir.join("modules.dep");
    let text = fs::read_to_string(&listed).map_err(VmError::io("reading", &listed))?;
    let order = Dependencies::parse(&text).load_order(&KEPT);
    for file in &order {
        let place = to.join(flat_name(file));
        copy(
            &release_dir.join(file),
            &place.with_file_name(compressed_name(file)),
        )?;
        decompress(&place.with_file_name(compressed_name(file)))?;
    }
    let kept: String = text
        .lines()
        .filter(|line| {
            order
                .iter()
                .any(|file| line.starts_with(&format!("{file}:")))
        })
        .map(|line| {
            line.split_whitespace()
                .map(flat_listed)
                .collect::<Vec<_>>()
                .join(" ")
                + "\n"
        })
        .collect();
    let dep = to.join("modules.dep");
    fs::write(&dep, kept).map_err(VmError::io("writing", &dep))
}

/// A path of modules.dep as a plain `NAME.ko`, keeping the colon of a line's first word.
fn flat_listed(word: &str) -> String {
    match word.strip_suffix(':') {
        Some(path) => flat_name(path) + ":",
        None => flat_name(word),
    }
}

fn flat_name(path: &str) -> String {
    let file = compressed_name(path);
    file.trim_end_matches(".xz")
        .trim_end_matches(".zst")
        .trim_end_matches(".gz")
        .to_owned()
}

fn compressed_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn decompress(file: &Path) -> Result<(), VmError> {
    let program = match file.extension().and_then(OsStr::to_str) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return Ok(()),
    };
    output(
        "decompress a kernel module",
        Command::new(program).args(["-q", "-d"]).arg(file),
    )?;
    // zstd keeps its input.
    let _ = fs::remove_file(file);
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), VmError> {
    fs::copy(from, to)
        .map(drop)
        .map_err(VmError::io("copying", from))
}
