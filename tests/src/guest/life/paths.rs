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

/// Runs a script.
pub fn sh(script: &str) -> Result<(), Failure> {
    let status = Command::new("sh").args(["-e", "-c", script]).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{status}: {script}").into()),
    }
}
