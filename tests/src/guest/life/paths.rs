//! Only paths on file systems whose objects can be identified are claimed, and those are enforced.

use std::path::Path;
use std::process::Command;

use crate::daemon::{Daemon, put};
use crate::guest::actor::act;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Mounts some, and claims a file on each.
pub fn file_systems(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    sh("mkdir -p /mnt/ram /mnt/tmp /mnt/disk /mnt/over /tmp/lower /tmp/upper /tmp/work
        mount -t ramfs ramfs /mnt/ram && mount -t tmpfs tmpfs /mnt/tmp
        mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt/disk
        mount -t overlay overlay -o lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work /mnt/over")?;
    let claim = |path: &str| daemon.cli(&["host-paths", "register", "db", path]);
    for (path, name) in [
        ("/proc/cpuinfo", "proc"),
        ("/sys/kernel/mm", "sysfs"),
        ("/sys/fs/cgroup/pods/free/cgroup.procs", "cgroup2"),
        ("/mnt/over/file", "overlayfs"),
    ] {
        if !Path::new(path).exists() {
            put(Path::new(path), "")?;
        }
        let before = daemon.digest()?;
        let answer = claim(path)?;
        let says = format!("it lies on {name}");
        checks.that(
            format!("a path on {name} is refused"),
            answer.exit == 1 && answer.reason().contains(&says),
            format!("{answer:?}"),
        );
        checks.equal(
            format!("which changes nothing ({name})"),
            &daemon.digest()?,
            &before,
        );
    }
    for name in ["ram", "tmp", "disk"] {
        let file = format!("/mnt/{name}/file");
        put(Path::new(&file), "")?;
        checks.allowed(
            format!("{file} is free before"),
            &act(&stage.web, "open", &[file.as_ref()]),
        );
        checks.equal(format!("{file} is claimed"), &claim(&file)?.exit, &0);
        checks.denied(
            format!("{file} is denied to web"),
            &act(&stage.web, "open", &[file.as_ref()]),
        );
        checks.allowed(
            format!("{file} is open to db"),
            &act(&stage.db, "open", &[file.as_ref()]),
        );
    }
    Ok(())
}

/// A claim is taken back: what was denied is open at once, cached labels included, and the file beside
/// it stays denied.
pub fn taken_back(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let tries = |path: &str| act(&stage.web, "open", &[path.as_ref()]);
    for path in ["/mnt/tmp/back/one", "/mnt/tmp/back/two"] {
        put(Path::new(path), "")?;
        daemon.done(&["host-paths", "register", "db", path])?;
        // Twice: the second is answered by the label that the first has cached.
        for _ in 0..2 {
            checks.denied(format!("{path} is denied to web"), &tries(path));
        }
    }
    daemon.done(&["host-paths", "remove", "db", "/mnt/tmp/back/one"])?;
    checks.allowed("what is taken back is open", &tries("/mnt/tmp/back/one"));
    checks.denied("the one beside it is not", &tries("/mnt/tmp/back/two"));
    let again = daemon.cli(&["host-paths", "remove", "db", "/mnt/tmp/back/one"])?;
    checks.equal("taking it back again is refused", &again.exit, &1);
    // A claim inside another zone's: without it the file is that zone's.
    let inner = "/tmp/web/inner";
    put(Path::new(inner), "")?;
    daemon.done(&["host-paths", "register", "db", inner])?;
    checks.denied("a claim inside web's own is denied to web", &tries(inner));
    daemon.done(&["host-paths", "remove", "db", inner])?;
    checks.allowed("taken back, it is web's again", &tries(inner));
    let db = act(&stage.db, "open", &[inner.as_ref()]);
    checks.denied("and denied to db", &db);
    // Nothing is there any more, and it can be taken back all the same.
    std::fs::remove_file("/mnt/tmp/back/two")?;
    daemon.done(&["host-paths", "remove", "db", "/mnt/tmp/back/two"])?;
    let listed = daemon.done(&["host-paths", "list"])?;
    let left = listed.json()["paths"].to_string();
    checks.that("neither is listed", !left.contains("/mnt/tmp/back"), &left);
    Ok(())
}

/// Runs a script.
pub fn sh(script: &str) -> Result<(), Failure> {
    let status = Command::new("sh").args(["-e", "-c", script]).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{status}: {script}").into()),
    }
}
