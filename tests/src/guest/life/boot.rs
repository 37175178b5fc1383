//! Another boot: cgroup ids mean nothing any more, paths are looked up again.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::paths::sh;
use crate::daemon::{Daemon, Setup};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

fn listed(daemon: &Daemon, words: &[&str], field: &str) -> Result<Vec<Value>, Failure> {
    let answer = daemon.done(words)?.json()[field].clone();
    Ok(answer.as_array().ok_or("no list")?.clone())
}

/// Gives the kernel another boot id between two starts, with one claimed path gone and one replaced by
/// a symbolic link.
pub fn new_boot(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<(), Failure> {
    fs::write("/tmp/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n")?;
    sh("mount -o bind /tmp/boot_id /proc/sys/kernel/random/boot_id")?;
    fs::remove_file("/mnt/tmp/file")?;
    fs::remove_file("/mnt/ram/file")?;
    std::os::unix::fs::symlink(&stage.own, "/mnt/ram/file")?;

    let daemon = setup.start()?;
    let containers = listed(&daemon, &["containers", "list"], "containers")?;
    checks.equal("a new boot voids memberships", &containers, &Vec::new());
    let boots = daemon.done(&["journal", "inspect", "--kind", "boot"])?;
    checks.equal("it is an entry of the journal", &boots.lines.len(), &2);
    checks.allowed(
        "what was web's is in no zone any more",
        &stage.tries(&stage.web),
    );
    let paths = listed(&daemon, &["host-paths", "list"], "paths")?;
    let lost = |path: &str| {
        let of = |row: &&Value| row["path"] == path;
        paths.iter().find(of).map(|row| row["state"] == "lost")
    };
    for (path, is_lost, what) in [
        ("/tmp/db", false, "a path that is there stays claimed"),
        ("/mnt/disk/file", false, "on a disk as well"),
        ("/mnt/tmp/file", true, "one that is gone is lost"),
        ("/mnt/ram/file", true, "one that became a link is lost"),
    ] {
        checks.equal(format!("{what}: {path}"), &lost(path), &Some(is_lost));
    }
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "attached in the new boot");
    let before = daemon.digest()?;
    daemon.terminate()?;
    let daemon = setup.start()?;
    checks.equal(
        "started again in the same boot, nothing is added",
        &daemon.digest()?,
        &before,
    );
    stage.kept_apart(checks, "started again in the same boot");
    drop(daemon);
    let unlinked = fs::symlink_metadata(Path::new("/mnt/ram/file"))?.is_symlink();
    checks.that("the link was left alone", unlinked, "it is none");
    Ok(())
}
