//! Where a test's daemon lives, and the programs it runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use syva_e2e::daemon::{Daemon, Setup, put};
use tempfile::TempDir;

/// A directory with everything one daemon needs; removed when dropped.
pub struct Home(TempDir);

impl Home {
    /// On a tmpfs if there is one: claims are refused on the overlays that containers have.
    pub fn new() -> Home {
        let shm = Path::new("/dev/shm");
        let dir = if shm.is_dir() {
            tempfile::tempdir_in(shm)
        } else {
            tempfile::tempdir()
        };
        let home = Home(dir.expect("a directory"));
        fs::create_dir(home.path("cgroup")).expect("made");
        home
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("there").join(name)
    }

    /// A file in it, made now, by its path as text.
    pub fn file(&self, name: &str) -> String {
        put(&self.path(name), name).expect("written");
        self.path(name)
            .into_os_string()
            .into_string()
            .expect("UTF-8")
    }

    /// A cgroup's id; made if need be.
    pub fn cgroup(&self, path: &str) -> String {
        let dir = self.path("cgroup").join(path.trim_start_matches('/'));
        fs::create_dir_all(&dir).expect("made");
        fs::metadata(dir).expect("there").ino().to_string()
    }

    /// A daemon over the in-memory backend.
    pub fn setup(&self) -> Setup {
        let cgroups = self.path("cgroup");
        Setup::new(&built("syva-core"), &self.path(""))
            .args(&["--backend", "memory", "--cgroup-root"])
            .args(&[cgroups])
    }

    /// Starts it.
    pub fn start(&self) -> Daemon {
        self.setup().start().expect("started")
    }
}

/// The directory that `program` was built into, if what was built is what the sources say: the tests
/// of another package do not make cargo build it.
pub fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let dir = test.ancestors().nth(2).expect("target/debug/deps/host");
    let file = dir.join(program);
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let Ok(made) = time(&file) else {
        panic!("{} is not built: make vm-build", file.display());
    };
    // Cargo lists the sources, separated by unescaped spaces.
    let listed = fs::read_to_string(file.with_extension("d")).expect("cargo's list of sources");
    let newer = |path: &&str| time(Path::new(path)).is_ok_and(|source: SystemTime| source > made);
    if let Some(source) = listed.split_whitespace().skip(1).find(newer) {
        panic!("{} is older than {source}: make vm-build", file.display());
    }
    dir.to_owned()
}
