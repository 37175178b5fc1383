//! The folder outside the checkout that keeps fetched kernels and built guest roots, and the lock on it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::VmError;

/// The cache: `<root>/kernels/<name>/<version>/`, `<root>/apt/<name>/`, `<root>/roots/<key>/`.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// Holds the cache against other processes until dropped.
#[derive(Debug)]
pub struct Locked(#[allow(dead_code, reason = "dropping it unlocks")] File);

impl Cache {
    /// `$SYVA_CACHE`, else `$XDG_CACHE_HOME/syva`, else `~/.cache/syva`.
    pub fn from_env() -> Result<Self, VmError> {
        let set = |name| {
            env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let root = set("SYVA_CACHE")
            .or_else(|| set("XDG_CACHE_HOME").map(|home| home.join("syva")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/syva")))
            .ok_or(VmError::NoCache)?;
        let root = std::path::absolute(&root).map_err(VmError::io("resolving", &root))?;
        Ok(Self { root })
    }

    /// Where a kernel's versions are kept.
    pub fn kernel(&self, name: &str) -> PathBuf {
        self.root.join("kernels").join(name)
    }

    /// Where apt keeps its lists and downloads for one kernel.
    pub fn apt(&self, name: &str) -> PathBuf {
        self.root.join("apt").join(name)
    }

    /// Where a guest's root, built by the recipe with that key, is kept.
    pub fn root(&self, key: &str) -> PathBuf {
        self.root.join("roots").join(key)
    }

    /// Waits for and takes the lock on the cache.
    pub fn lock(&self) -> Result<Locked, VmError> {
        make_dir(&self.root)?;
        let path = self.root.join("lock");
        let file = File::create(&path).map_err(VmError::io("creating", &path))?;
        file.lock().map_err(VmError::io("locking", &path))?;
        Ok(Locked(file))
    }
}

/// Makes a folder and those above it.
pub fn make_dir(path: &Path) -> Result<(), VmError> {
    fs::create_dir_all(path).map_err(VmError::io("making folder", path))
}

/// Removes a folder and all below it, if it exists.
pub fn remove_dir(path: &Path) -> Result<(), VmError> {
    if path.exists() {
        fs::remove_dir_all(path).map_err(VmError::io("removing folder", path))?;
    }
    Ok(())
}

/// Whether `path` was written less than `age` ago.
pub fn is_fresh(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    modified.is_ok_and(|at| {
        SystemTime::now()
            .duration_since(at)
            .is_ok_and(|past| past < age)
    })
}
