//! Suite `links`: files that the host links out of claims, with the daemon that journals them. Nobody else's zone
//! reaches them by the other name: at once, over a restart, and after the kernel has forgotten everything.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::actor::act;
use super::life::paths::sh;
use super::stage::{Stage, setup};
use super::{Checks, Failure};
use crate::daemon::{Daemon, eventually, put};

/// Where files have generations, and outlive a mount.
const DISK: &str = "/mnt/disk";
/// What a backup would read.
const FILES: [&str; 3] = ["one", "two", "three"];

struct Scene<'a> {
    stage: &'a Stage,
    daemon: &'a Daemon,
}

/// A backup by links of what a zone has claimed, while daemons come and go.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?;
    let daemon = setup.start()?;
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    sh("mkdir -p /mnt/disk && mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt/disk")?;
    fs::create_dir(format!("{DISK}/backup"))?;
    for name in FILES {
        put(Path::new(&inside(name)), "secret")?;
    }
    let scene = Scene {
        stage: &stage,
        daemon: &daemon,
    };
    scene.beforehand(checks)?;
    scene.a_backup(checks)?;
    scene.followed(checks)?;
    stage.kept_apart(checks, "with links about");
    daemon.terminate()?;
    kept(checks, &stage, "without a daemon");
    fs::hard_link(inside("three"), outside("made-meanwhile"))?;
    is_db_s(
        checks,
        &stage,
        "linked without a daemon",
        &outside("made-meanwhile"),
    );
    let daemon = setup.start()?;
    let scene = Scene {
        stage: &stage,
        daemon: &daemon,
    };
    kept(checks, &stage, "after a restart");
    scene.is_noted("made-meanwhile")?;
    daemon.terminate()?;

    let ended = setup.clone().args(&["--unload"]).end()?;
    checks.that("--unload succeeds", ended.status.success(), &ended.log);
    let opened = act(&stage.web, "open", &[outside("one").as_ref()]);
    checks.allowed("with everything unloaded web opens a link", &opened);
    let daemon = setup.start()?;
    let scene = Scene {
        stage: &stage,
        daemon: &daemon,
    };
    kept(checks, &stage, "with new maps");
    let rows = scene.entries()?.len();
    scene.released(checks, rows)?;
    daemon.terminate()?;
    Ok(())
}

fn inside(name: &str) -> String {
    format!("{DISK}/site/{name}")
}

fn outside(name: &str) -> String {
    format!("{DISK}/backup/{name}")
}

fn is_db_s(checks: &mut Checks, stage: &Stage, what: &str, path: &str) {
    let open = |cgroup: &PathBuf| act(cgroup, "open", &[path.as_ref()]);
    let denied = format!("{what}: {path} is denied to web");
    checks.denied(denied, &open(&stage.web));
    for (who, cgroup) in [("db", &stage.db), ("the host", &stage.free)] {
        let allowed = format!("{what}: {path} is open to {who}");
        checks.allowed(allowed, &open(cgroup));
    }
}

fn kept(checks: &mut Checks, stage: &Stage, what: &str) {
    for name in FILES {
        is_db_s(checks, stage, what, &outside(name));
    }
}

impl Scene<'_> {
    fn entries(&self) -> Result<Vec<Value>, Failure> {
        let words = ["journal", "inspect", "--kind", "link"];
        Ok(self.daemon.done(&words)?.lines)
    }

    /// Waits for the entry that names it.
    fn is_noted(&self, name: &str) -> Result<(), Failure> {
        eventually("the link is an entry", || {
            let entries = self.entries()?;
            Ok(entries.iter().any(|entry| entry.to_string().contains(name)))
        })?;
        Ok(())
    }

    /// Registering tells of the one file that has a name outside already, and takes it from nobody.
    fn beforehand(&self, checks: &mut Checks) -> Result<(), Failure> {
        let early = format!("{DISK}/backup/early");
        fs::hard_link(inside("one"), &early)?;
        let words = [
            "host-paths",
            "register",
            "db",
            "/mnt/disk/site",
            "--recursive",
        ];
        let answer = self.daemon.done(&words)?;
        let told = answer.json()["result"]["notes"].to_string();
        let named = told.contains("names outside it") && told.contains("/mnt/disk/site/one");
        checks.that("registering tells of a name outside", named, &told);
        let opened = act(&self.stage.web, "open", &[early.as_ref()]);
        checks.allowed("it is not taken from who had it", &opened);
        fs::remove_file(early)?;
        Ok(())
    }

    /// Denied before the daemon can know, and told of with the claim.
    fn a_backup(&self, checks: &mut Checks) -> Result<(), Failure> {
        for name in FILES {
            fs::hard_link(inside(name), outside(name))?;
            is_db_s(checks, self.stage, "just linked", &outside(name));
            is_db_s(checks, self.stage, "just linked", &inside(name));
        }
        for name in FILES {
            self.is_noted(name)?;
        }
        let events = self.daemon.done(&["events"])?.lines;
        let told = events.iter().any(|event| {
            let event = event.to_string();
            event.contains("one (linked out of /mnt/disk/site)")
        });
        checks.that("the denial names the claim", told, format!("{events:?}"));
        // The zone replaces one of its files, and unlinks another.
        put(Path::new(&inside("new")), "new secret")?;
        fs::rename(inside("new"), inside("one"))?;
        fs::remove_file(inside("two"))?;
        kept(checks, self.stage, "with names in the claim gone");
        Ok(())
    }

    /// The claim goes on to what is deployed at its path; what was linked stays the zone's.
    fn followed(&self, checks: &mut Checks) -> Result<(), Failure> {
        let site = format!("{DISK}/site");
        fs::rename(&site, format!("{DISK}/site.old"))?;
        for name in FILES {
            put(Path::new(&inside(name)), "secret")?;
        }
        eventually("the claim follows", || {
            let words = ["journal", "inspect", "--kind", "reresolve"];
            Ok(!self.daemon.done(&words)?.lines.is_empty())
        })?;
        kept(checks, self.stage, "after a deploy");
        Ok(())
    }

    /// A link that is gone is an entry; with the claim all of them are open, and forgotten.
    fn released(&self, checks: &mut Checks, entries: usize) -> Result<(), Failure> {
        fs::remove_file(outside("two"))?;
        eventually("the end of it is an entry", || {
            Ok(self.entries()?.len() > entries)
        })?;
        let last = self.entries()?.last().ok_or("no entry")?.to_string();
        checks.that(
            "a file that is gone is an entry",
            last.contains("is gone"),
            &last,
        );
        let words = ["host-paths", "remove", "db", "/mnt/disk/site"];
        self.daemon.done(&words)?;
        for name in ["one", "three"] {
            let opened = act(&self.stage.web, "open", &[outside(name).as_ref()]);
            checks.allowed(format!("the claim gone, web opens {name}"), &opened);
        }
        Ok(())
    }
}
