//! The libbpf backend: one loaded object, whose parts are handed out to their owners.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use libbpf_rs::MapHandle;
use syva_host::{Finding, Host};
use syva_model::image::Table;
use syva_model::kernel::{
    Capacity, ControlStore, CounterSource, EventSource, Kernel, KernelError, LinkStore, Loaded,
    Prober, Share, TableStore,
};

use crate::control::ControlMap;
use crate::counters::CounterMaps;
use crate::events::Ring;
use crate::iter::Probe;
use crate::load::{self, Programs};
use crate::map::Map;
use crate::mapped::Mapped;
use crate::missed::MissedMoves;
use crate::pins::{Pins, release};
use crate::skel::BUILD;
use crate::tables::{
    Claims, HostSockets, Links, MemberFilter, Members, Pairs, Quotas, Usage, Zones,
};
use crate::{error, selftest, vantage};

/// The real kernel.
pub struct LibbpfKernel {
    cgroup_root: PathBuf,
    pin_dir: Option<PathBuf>,
    quotas: Quotas,
    loaded: Option<Running>,
}

struct Running {
    programs: Programs,
    probe: Arc<Probe>,
    filter: Arc<MemberFilter>,
    usage: Arc<Usage>,
}

impl LibbpfKernel {
    /// A kernel side that is not loaded yet. `cgroup_root` is where the host has cgroup v2 mounted.
    pub fn new(cgroup_root: PathBuf) -> LibbpfKernel {
        LibbpfKernel {
            cgroup_root,
            pin_dir: None,
            quotas: Quotas::default(),
            loaded: None,
        }
    }

    /// One that leaves its programs and maps behind, pinned in that directory, and begins with those
    /// it finds there. [`crate::release`] removes them.
    pub fn pinned_in(self, dir: PathBuf) -> LibbpfKernel {
        LibbpfKernel {
            pin_dir: Some(dir),
            ..self
        }
    }

    /// One that bounds zones so.
    pub fn with_quotas(self, quotas: Quotas) -> LibbpfKernel {
        LibbpfKernel { quotas, ..self }
    }

    fn running(&self) -> Result<&Running, KernelError> {
        self.loaded.as_ref().ok_or_else(|| {
            error::here(
                "use",
                "the kernel side",
                "nothing is loaded",
                "load it first",
            )
        })
    }

    pub(crate) fn programs(&self) -> Result<&Programs, KernelError> {
        Ok(&self.running()?.programs)
    }

    pub(crate) fn filter(&self) -> Result<&MemberFilter, KernelError> {
        Ok(&self.running()?.filter)
    }
}

impl std::fmt::Debug for LibbpfKernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LibbpfKernel")
            .field("cgroup_root", &self.cgroup_root)
            .field("loaded", &self.loaded.is_some())
            .finish()
    }
}

impl Kernel for LibbpfKernel {
    fn load(&mut self, capacity: &Capacity) -> Result<Loaded, KernelError> {
        let host = Host::of_this_process(&self.cgroup_root);
        if let Some(running) = &mut self.loaded {
            running.programs.attach_missing();
        } else {
            host.check().map_err(|finding| refused(&finding))?;
            let pins = self.pin_dir.as_deref().map(Pins::lock).transpose()?;
            let programs = Programs::load(capacity, self.quotas, pins)?;
            let maps = &programs.skel.maps;
            let request = Map::new(maps.probe_request.as_fd(), "probe_request")?;
            let probe = Arc::new(Probe::new(&programs.skel.progs.probe, request)?);
            let filter = Arc::new(MemberFilter::new(
                maps.member_filter.as_fd(),
                maps.member_epoch.as_fd(),
            )?);
            let usage = Arc::new(Usage {
                programs: Map::new(maps.zone_usage.as_fd(), "zone_usage")?,
                daemon: Map::new(maps.usage_by_daemon.as_fd(), "usage_by_daemon")?,
                zones: Map::new(maps.zones.as_fd(), Table::Zones.name())?,
                ipc: Map::new(maps.ipc_objects.as_fd(), "ipc_objects")?,
                quotas: Share::ALL.map(|share| self.quotas.of(share, capacity)),
                changing: Mutex::default(),
            });
            self.loaded = Some(Running {
                programs,
                probe,
                filter,
                usage,
            });
        }
        let running = self.running()?;
        let hooks = running.programs.hook_states();
        let missing = running.programs.missing();
        Ok(Loaded {
            backend: "libbpf",
            enforcing: missing.is_empty() && hooks.iter().all(|hook| hook.attached),
            hooks,
            self_tests: selftest::run(&running.probe, &vantage::place(&self.cgroup_root)),
            missing,
            pinned: self.pin_dir.is_some(),
            build: BUILD,
            kernel_release: host
                .release()
                .map_err(|e| error::from_io("read the kernel's release from", "/proc", &e))?,
        })
    }

    fn table(&self, table: Table) -> Result<Box<dyn TableStore>, KernelError> {
        let running = self.running()?;
        let maps = &running.programs.skel.maps;
        let name = table.name();
        Ok(match table {
            Table::Zones => Box::new(Zones {
                map: Map::new(maps.zones.as_fd(), name)?,
                usage: Arc::clone(&running.usage),
            }),
            Table::Members => Box::new(Members {
                map: Map::new(maps.members.as_fd(), name)?,
                filter: Arc::clone(&running.filter),
                usage: Arc::clone(&running.usage),
                pulled: Map::new(maps.pulled.as_fd(), "pulled")?,
            }),
            Table::Claims => Box::new(Claims::new(
                Map::new(maps.claims.as_fd(), name)?,
                Map::new(maps.claimed_devs.as_fd(), "claimed_devs")?,
            )?),
            Table::Pairs => Box::new(Pairs {
                map: Map::new(maps.pairs.as_fd(), name)?,
            }),
            Table::HostSockets => Box::new(HostSockets {
                map: Map::new(maps.host_sockets.as_fd(), name)?,
            }),
            Table::Control => {
                return Err(error::here(
                    "open as a table of rows",
                    name,
                    "it has one row of its own kind",
                    "ask for the control store",
                ));
            }
        })
    }

    fn control(&self) -> Result<Box<dyn ControlStore>, KernelError> {
        let maps = &self.running()?.programs.skel.maps;
        let barrier = Map::new(maps.barrier.as_fd(), "barrier")?;
        Ok(Box::new(ControlMap::new(maps.control.as_fd(), barrier)?))
    }

    fn events(&self) -> Result<Box<dyn EventSource>, KernelError> {
        let skel = &self.running()?.programs.skel;
        let maps = &skel.maps;
        let mut watching = Vec::new();
        for program in [&skel.progs.vfs_rename_exit, &skel.progs.vfs_link_exit] {
            watching.push(program.as_fd().try_clone_to_owned().map_err(|e| {
                error::from_io(
                    "duplicate the descriptor of program",
                    program.name().to_string_lossy(),
                    &e,
                )
            })?);
        }
        let epoch = Mapped::new(maps.move_epoch.as_fd(), "move_epoch", 8)?;
        let events = MapHandle::try_from(&*maps.events)
            .map_err(|e| error::from_libbpf("duplicate the descriptor of map", "events", &e))?;
        let moves = MissedMoves::new(watching, epoch);
        Ok(Box::new(Ring::new(events, moves)?))
    }

    fn prober(&self) -> Result<Arc<dyn Prober>, KernelError> {
        Ok(self.running()?.probe.clone())
    }

    fn counters(&self) -> Result<Arc<dyn CounterSource>, KernelError> {
        let running = self.running()?;
        let skel = &running.programs.skel;
        let maps = &skel.maps;
        let mut programs = Vec::new();
        for program in load::programs(skel) {
            let name = program.name().to_string_lossy().into_owned();
            let fd = program
                .as_fd()
                .try_clone_to_owned()
                .map_err(|e| error::from_io("duplicate the descriptor of program", &name, &e))?;
            programs.push((name, fd));
        }
        Ok(Arc::new(CounterMaps {
            hooks: Map::new(maps.hook_counters.as_fd(), "hook_counters")?,
            denials: Map::new(maps.denials.as_fd(), "denials")?,
            overflow: Map::new(maps.denials_overflow.as_fd(), "denials_overflow")?,
            escapes: Map::new(maps.escapes.as_fd(), "escapes")?,
            sites: Map::new(maps.error_sites.as_fd(), "error_sites")?,
            programs,
            usage: Some(Arc::clone(&running.usage)),
            cpus: libbpf_rs::num_possible_cpus()
                .map_err(|e| error::from_libbpf("count the possible", "CPUs", &e))?,
        }))
    }

    fn links(&self) -> Result<Arc<dyn LinkStore>, KernelError> {
        let maps = &self.running()?.programs.skel.maps;
        Ok(Arc::new(Links {
            map: Map::new(maps.links.as_fd(), "links")?,
            moves: Mapped::new(maps.move_epoch.as_fd(), "move_epoch", 8)?,
        }))
    }

    fn unload(&mut self) -> Result<(), KernelError> {
        self.loaded = None;
        match &self.pin_dir {
            Some(dir) => release(dir).map(drop),
            None => Ok(()),
        }
    }
}

/// What keeps this machine from enforcing, as the daemon's refusal to start.
fn refused(finding: &Finding) -> KernelError {
    error::here(
        "enforce on this host, for its",
        finding.name,
        &finding.found,
        format!(
            "{}; `syva-cli doctor` shows all that was looked at",
            finding.advice
        ),
    )
}
