//! The daemon beside podman, and what it and the kernel say of memberships.

use libbpf_rs::query::MapInfoIter;
use libbpf_rs::{MapCore as _, MapHandle};

use crate::daemon::{Answer, Daemon, eventually};
use crate::guest::demo::counters::DenyCounters;
use crate::guest::stage::setup;
use crate::guest::{Checks, Failure};

/// A running daemon, and the counters of its programs.
pub struct Host {
    pub daemon: Daemon,
    pub counters: DenyCounters,
}

impl Host {
    /// Starts it.
    pub fn start() -> Result<Host, Failure> {
        let daemon = setup(&["--reconcile-interval", "1"])?.start()?;
        let counters = DenyCounters::find()?;
        Ok(Host { daemon, counters })
    }

    /// Attaches a container by a cgroup's id.
    pub fn attach(&self, container: &str, zone: &str, id: &str) -> Result<Answer, Failure> {
        let args = ["containers", "attach", container, zone, "--cgroup-id", id];
        self.daemon.cli(&args)
    }

    /// The containers' names as the daemon lists them.
    pub fn listed(&self) -> Result<Vec<String>, Failure> {
        let listed = self.daemon.done(&["containers", "list"])?;
        let rows = listed.json()["containers"].as_array().cloned();
        let names = rows.unwrap_or_default();
        let names = names.iter().filter_map(|row| row["container_id"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Waits until nothing but these containers is a member, by daemon, status and kernel.
    pub fn only(
        &self,
        checks: &mut Checks,
        when: &str,
        names: &[&str],
        cgroups: usize,
    ) -> Result<(), Failure> {
        let gone = eventually("memberships that are gone", || {
            Ok(self.listed()? == names && members()? == cgroups)
        });
        let seen = format!("{gone:?}; listed {:?}, {} rows", self.listed()?, members()?);
        checks.that(
            format!("{when}, the members map has {cgroups} rows and {names:?} are listed"),
            gone.is_ok(),
            seen,
        );
        let status = self.daemon.done(&["status"])?;
        checks.equal(
            format!("{when}, status counts them"),
            &status.json()["containers_active"],
            &names.len().into(),
        );
        checks.equal(
            format!("{when}, it is healthy"),
            &status.text("health").as_str(),
            &"healthy",
        );
        Ok(())
    }
}

/// How many memberships the kernel holds, by its own map.
pub fn members() -> Result<usize, Failure> {
    let map = MapInfoIter::default()
        .find(|map| map.name == "members")
        .ok_or("the kernel has no map members: nothing is loaded")?;
    Ok(MapHandle::from_map_id(map.id)?.keys().count())
}
