//! The daemon, two containers in two zones, and what they share.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::container::{Container, import_image, podman};
use super::host::{Host, members};
use crate::daemon::{eventually, put};
use crate::guest::stage::id;
use crate::guest::{Checks, Failure};

/// The volumes: mounted into both containers, at the same path as on the host.
pub const VOLUMES: &str = "/srv";

/// Everything.
pub struct Pods {
    pub host: Host,
    pub web: Container,
    pub db: Container,
    /// A process of each, as both see it.
    pub web_pid: String,
    pub db_pid: String,
}

impl Pods {
    /// Two containers of one image, whose layer belongs to zone db, and the same directories in both.
    /// Each is attached by another one of its cgroups.
    pub fn start(checks: &mut Checks) -> Result<Pods, Failure> {
        for file in ["web/secret", "db/secret", "open/file"] {
            put(&Path::new(VOLUMES).join(file), "text")?;
        }
        let host = Host::start()?;
        let daemon = &host.daemon;
        import_image()?;
        for zone in ["web", "db"] {
            let path = format!("{VOLUMES}/{zone}");
            daemon.done(&["zones", "register", zone])?;
            daemon.done(&["host-paths", "register", zone, &path, "--recursive"])?;
        }
        let layer = podman(&[
            "image",
            "inspect",
            "--format",
            "{{.GraphDriver.Data.UpperDir}}",
            super::container::IMAGE,
        ])?;
        daemon.done(&["host-paths", "register", "db", &layer, "--recursive"])?;

        let volume = format!("--volume={VOLUMES}:{VOLUMES}");
        let db = Container::run("db", "--cgroup-manager=cgroupfs", &[&volume])?;
        let shared = ["--pid=container:db", &volume];
        let web = Container::run("web", "--cgroup-manager=systemd", &shared)?;
        let scope = web.cgroup()?;
        attached(checks, &host, "web", &scope, &[&scope, &nested(&scope)])?;
        let outer = db.cgroup()?;
        attached(checks, &host, "db", &nested(&outer), &[&nested(&outer)])?;
        // By their cgroup alone: nobody has claimed where they are bound.
        for one in [&web, &db] {
            let socket = format!("{VOLUMES}/open/{}.sock", one.name);
            one.starts(&["listen", &socket])?;
            eventually("a socket", || Ok(UnixStream::connect(&socket).is_ok()))?;
        }
        let (web_pid, db_pid) = (web.starts(&["wait"])?, db.starts(&["wait"])?);
        Ok(Pods {
            host,
            web,
            db,
            web_pid: web_pid.to_string(),
            db_pid: db_pid.to_string(),
        })
    }

    /// Removes both; nothing is left.
    pub fn end(self, checks: &mut Checks) -> Result<(), Failure> {
        podman(&["rm", "--force", "--time=0", "web"])?;
        podman(&["rm", "--force", "--time=0", "db"])?;
        self.host.only(checks, "at the end", &[], 0)?;
        self.host.daemon.digest()?;
        self.host.daemon.terminate()?;
        Ok(())
    }
}

/// What crun makes below the cgroup that podman asks it for; older ones make none.
fn nested(cgroup: &Path) -> PathBuf {
    let inner = cgroup.join("container");
    if inner.exists() {
        inner
    } else {
        cgroup.to_owned()
    }
}

/// Attaches by that cgroup, and checks that the answer says what is covered, and that it is.
fn attached(
    checks: &mut Checks,
    host: &Host,
    zone: &str,
    cgroup: &Path,
    covered: &[&Path],
) -> Result<(), Failure> {
    let before = members()?;
    let answer = host.attach(zone, zone, &id(cgroup)?)?;
    let path = format!("/{}", cgroup.strip_prefix("/sys/fs/cgroup")?.display());
    let said = answer.json()["result"]["message"].to_string();
    checks.that(
        format!("attaching {zone} says what is covered"),
        said.contains(&format!("cgroup {path} and every cgroup below it")),
        format!("{answer:?}"),
    );
    checks.equal(
        format!("{zone}: the members map holds that"),
        &(members()? - before),
        &covered.len(),
    );
    let mut first = fs::read_to_string(nested(cgroup).join("cgroup.procs"))?;
    first.truncate(first.find('\n').unwrap_or(0));
    checks.that(
        format!("{zone}: the container's processes are there"),
        !first.is_empty(),
        "it has none",
    );
    Ok(())
}
