//! Builds the root of guests that run a real Debian with systemd, once, and keeps it in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use sha2::{Digest as _, Sha256};

use super::VmError;
use super::cache::{self, Cache};
use super::command::output;
use super::mirrors;

/// How it is built. Its text is part of the cache's key.
const RECIPE: &str = include_str!("root.sh");

/// The image, built if the cache has none by this recipe. Nobody may write to it: guests get a
/// snapshot, which ends with them.
///
/// # Errors
/// [`VmError::NoRoot`] says what failed.
pub fn obtain(cache: &Cache) -> Result<PathBuf, VmError> {
    let release = own_release()?;
    let home = cache.root(&format!("{release}-{}", key(&release)));
    let image = home.join("root.ext4");
    if image.exists() {
        return Ok(image);
    }
    let _locked = cache.lock()?;
    // Somebody else may have built it while this waited for the lock.
    if !image.exists() {
        eprintln!("vmtest: building a Debian {release} root for guests (about a minute, once)");
        let built = build(&release, &home, &image);
        built.map_err(|why| VmError::NoRoot {
            cache: home,
            why: Box::new(why),
        })?;
    }
    Ok(image)
}

/// Builds it under another name, so that no half of it is ever found.
fn build(release: &str, home: &Path, image: &Path) -> Result<(), VmError> {
    cache::make_dir(home)?;
    let beside = |what: &str| home.join(format!("{}.{what}", process::id()));
    let (recipe, sources, unfinished) = (beside("sh"), beside("sources"), beside("ext4"));
    let suites = [release, &format!("{release}-security")];
    let listed = mirrors::of_this_machine()?.sources_file(&suites);
    for (path, text) in [(&recipe, RECIPE), (&sources, &listed)] {
        fs::write(path, text).map_err(VmError::io("writing", path))?;
    }
    let mut command = Command::new("bash");
    command
        .arg(&recipe)
        .arg(release)
        .args([&sources, &unfinished]);
    let ran = output("build a Debian root", &mut command);
    let renamed =
        ran.and_then(|_| fs::rename(&unfinished, image).map_err(VmError::io("renaming", image)));
    for path in [recipe, sources, unfinished] {
        // The last is there only if something failed.
        let _ = fs::remove_file(path);
    }
    renamed
}

/// The first half of the recipe's hash: enough to tell recipes apart.
fn key(release: &str) -> String {
    let hash = Sha256::new()
        .chain_update(release)
        .chain_update(RECIPE)
        .finalize();
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This machine's own release: what was linked here may need its C library, and its mirror has it.
fn own_release() -> Result<String, VmError> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(VmError::io("reading", path))?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.unwrap_or("bookworm").trim_matches('"').to_owned())
}
