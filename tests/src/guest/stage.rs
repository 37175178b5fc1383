//! The real daemon in a guest, and two zones for it to keep apart: `db` has a secret, `web` tries.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::actor::{Outcome, act, make_cgroup};
use super::{Checks, Failure};
use crate::daemon::{Answer, Setup, put};

/// Where the daemon's socket and state lie.
const HOME: &str = "/run/syva";

/// The daemon of this guest, with arguments.
pub fn setup(args: &[&str]) -> Result<Setup, Failure> {
    fs::create_dir_all(HOME)?;
    let this = env::current_exe()?;
    let binaries = this.parent().ok_or("this program lies nowhere")?;
    Ok(Setup::new(binaries, Path::new(HOME)).args(args))
}

/// A cgroup's id.
pub fn id(cgroup: &Path) -> Result<String, Failure> {
    Ok(fs::metadata(cgroup)?.ino().to_string())
}

/// Attaches a cgroup as a container.
pub fn attach(
    daemon: &Setup,
    container: &str,
    zone: &str,
    cgroup: &Path,
) -> Result<Answer, Failure> {
    let id = id(cgroup)?;
    daemon.cli(&["containers", "attach", container, zone, "--cgroup-id", &id])
}

/// Two zones' cgroups and files.
pub struct Stage {
    /// The cgroup of the zone that tries.
    pub web: PathBuf,
    /// The cgroup of the zone that has the secret.
    pub db: PathBuf,
    /// A cgroup of no zone.
    pub free: PathBuf,
    /// What `db` has claimed.
    pub secret: PathBuf,
    /// What `web` has claimed.
    pub own: PathBuf,
}

impl Stage {
    /// Makes the cgroups and the files.
    pub fn build() -> Result<Stage, Failure> {
        let stage = Stage {
            web: make_cgroup("pods/web")?,
            db: make_cgroup("pods/db")?,
            free: make_cgroup("pods/free")?,
            secret: "/tmp/db/secret".into(),
            own: "/tmp/web/own".into(),
        };
        put(&stage.secret, "secret")?;
        put(&stage.own, "own")?;
        Ok(stage)
    }

    /// Registers both zones with their directories; nothing is attached yet.
    pub fn register(&self, daemon: &Setup) -> Result<(), Failure> {
        daemon.done(&["zones", "register", "web", "--host-path", "/tmp/web"])?;
        daemon.done(&["zones", "register", "db", "--host-path", "/tmp/db"])?;
        Ok(())
    }

    /// Attaches both cgroups.
    pub fn attach(&self, daemon: &Setup) -> Result<(), Failure> {
        for (container, zone, cgroup) in [("c-web", "web", &self.web), ("c-db", "db", &self.db)] {
            let answer = attach(daemon, container, zone, cgroup)?;
            if answer.exit != 0 {
                return Err(format!("attaching {container}: {answer:?}").into());
            }
        }
        Ok(())
    }

    /// Tries to open the secret from a cgroup.
    pub fn tries(&self, cgroup: &Path) -> Outcome {
        act(cgroup, "open", &[&self.secret])
    }

    /// Checks that `web` is denied the secret, and everything beside it works.
    pub fn kept_apart(&self, checks: &mut Checks, when: &str) {
        checks.denied(
            format!("{when}, web is denied db's file"),
            &self.tries(&self.web),
        );
        checks.allowed(
            format!("{when}, web opens its own"),
            &act(&self.web, "open", &[&self.own]),
        );
        checks.allowed(format!("{when}, db opens its own"), &self.tries(&self.db));
        checks.allowed(
            format!("{when}, what is in no zone opens it too"),
            &self.tries(&self.free),
        );
    }
}
