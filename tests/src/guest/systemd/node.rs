//! The node with the project's own installation on it: what `make install` runs, and its unit.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::unit;
use crate::daemon::{Setup, put};
use crate::guest::{Failure, binary};

/// The unit.
pub const CORE: &str = "syva-core.service";

/// What the scripts need of the source tree, as it is when this is built.
const SOURCES: [(&str, &str); 4] = [
    (
        "scripts/install.sh",
        include_str!("../../../../scripts/install.sh"),
    ),
    (
        "scripts/install-paths.sh",
        include_str!("../../../../scripts/install-paths.sh"),
    ),
    (
        "scripts/uninstall.sh",
        include_str!("../../../../scripts/uninstall.sh"),
    ),
    (
        "deploy/systemd/syva-core.service",
        include_str!("../../../../deploy/systemd/syva-core.service"),
    ),
];

/// Where they are put.
const TREE: &str = "/opt/syva-test/tree";

/// Puts the source tree there.
pub fn unpack() -> Result<(), Failure> {
    for (name, text) in SOURCES {
        let path = Path::new(TREE).join(name);
        put(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What `make install` and `make uninstall` run.
pub fn script(name: &str, variables: &[(&str, &str)]) -> Result<Output, Failure> {
    let built = binary("syva-core")?;
    let mut command = Command::new(Path::new(TREE).join("scripts").join(name));
    command.arg(built.parent().ok_or("the programs lie nowhere")?);
    command.envs(variables.iter().copied());
    Ok(command.output()?)
}

/// The installed programs and the unit's socket.
pub fn installed() -> Setup {
    let socket = PathBuf::from("/run/syva/syva-core.sock");
    let state = PathBuf::from("/var/lib/syva");
    let setup = Setup::new(Path::new("/usr/local/bin"), Path::new("/run/syva"));
    setup.at_socket(socket).with_state(state)
}

/// All denials so far.
///
/// # Errors
/// The answer, if it has none.
pub fn denials(core: &Setup) -> Result<u64, Failure> {
    let status = core.done(&["status"])?;
    let hooks = status.json()["hooks"]
        .as_array()
        .cloned()
        .ok_or("no hooks")?;
    Ok(hooks.iter().filter_map(|hook| hook["deny"].as_u64()).sum())
}

/// Waits until the unit is active.
pub fn active() -> Result<(), Failure> {
    let waited = unit::eventually("the unit is active", || unit::is_active(CORE));
    waited.map_err(|error| {
        let status = unit::property(CORE, "StatusText").unwrap_or_default();
        let log = unit::log(CORE).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(12).collect();
        format!("{error}; its status is {status:?}; its log ends, last line first: {lines:?}")
            .into()
    })
}

/// Every file and folder of the node that is meant to last.
pub fn files() -> Result<BTreeSet<PathBuf>, Failure> {
    // What the kernel makes, what is gone at the next boot, what systemd and podman keep of what ran.
    let passing = [
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/tmp",
        "/var/tmp",
        "/var/log",
        "/var/cache",
        "/var/lib/systemd",
        "/var/lib/containers",
        "/opt/syva-test",
        "/lost+found",
    ];
    let mut found = BTreeSet::new();
    let mut waiting = vec![PathBuf::from("/")];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let path = entry.path();
            if passing.iter().any(|passing| path == Path::new(passing)) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                waiting.push(path.clone());
            }
            found.insert(path);
        }
    }
    Ok(found)
}
