//! What the kernel counts: decisions by hook, denials by pair, failures by site.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libbpf_rs::libbpf_sys as sys;
use syva_model::hook::Hook;
use syva_model::image::ZoneId;
use syva_model::kernel::{
    CounterSource, Counters, DenialCount, HookCounters, KernelError, LetThrough, ZoneUsage,
};

use crate::error;
use crate::map::Map;
use crate::sites::SITES;
use crate::skel::types::{denial_count, denial_key, hook_counts};
use crate::tables::Usage;

/// The counting maps, and the programs whose missed runs the kernel counts itself.
#[derive(Debug)]
pub(crate) struct CounterMaps {
    pub(crate) hooks: Map<u32, hook_counts>,
    pub(crate) denials: Map<denial_key, denial_count>,
    pub(crate) overflow: Map<u32, u64>,
    pub(crate) escapes: Map<u32, u64>,
    pub(crate) sites: Map<u32, u64>,
    pub(crate) programs: Vec<(String, OwnedFd)>,
    /// Only whoever has loaded the programs knows which quotas they hold.
    pub(crate) usage: Option<Arc<Usage>>,
    pub(crate) cpus: usize,
}

impl CounterMaps {
    fn hook(&self, hook: Hook) -> Result<HookCounters, KernelError> {
        let per_cpu = self
            .hooks
            .get_percpu(&hook.index(), self.cpus)
            .map_err(|e| error::from_io("read counters of hook", hook.name(), &e))?;
        let mut sum = HookCounters::default();
        for counts in per_cpu {
            sum.allow += counts.allow;
            sum.deny += counts.deny;
            sum.would_deny += counts.would_deny;
            sum.error += counts.error;
            sum.lost += counts.lost;
        }
        Ok(sum)
    }

    fn denials(&self) -> Result<Vec<DenialCount>, KernelError> {
        let rows = self
            .denials
            .all()
            .map_err(|e| error::from_io("read map", self.denials.name(), &e))?;
        let mut denials: Vec<DenialCount> = rows
            .into_iter()
            .filter_map(|(key, row)| {
                Some(DenialCount {
                    hook: Hook::from_index(key.hook)?,
                    subject: ZoneId(key.subject),
                    object: ZoneId(key.object),
                    count: row.count,
                })
            })
            .collect();
        denials.sort_by_key(|d| (d.hook, d.subject, d.object));
        Ok(denials)
    }

    fn sum(&self, map: &Map<u32, u64>, index: u32) -> Result<u64, KernelError> {
        let per_cpu = map
            .get_percpu(&index, self.cpus)
            .map_err(|e| error::from_io("read counter of map", map.name(), &e))?;
        Ok(per_cpu.into_iter().sum())
    }

    fn sites(&self) -> Result<Vec<(String, u64)>, KernelError> {
        let mut sites = Vec::new();
        for (index, (_, name, ..)) in (0u32..).zip(SITES) {
            sites.push(((*name).to_owned(), self.sum(&self.sites, index)?));
        }
        sites.extend(self.missed()?);
        Ok(sites)
    }

    /// The kernel skips a tracing program that is entered again on a CPU where a preempted task is still in
    /// it, and counts that. It concerns the companions (a skipped rename leaves stale labels), on fully
    /// preemptible kernels; from 5.12 until the fix in 6.2 also LSM programs.
    fn missed(&self) -> Result<Vec<(String, u64)>, KernelError> {
        let missed = self.programs.iter().map(|(name, program)| {
            let info = program_info(program.as_fd())
                .map_err(|e| error::from_io("read what was missed by program", name, &e))?;
            Ok((format!("missed_{name}"), info.recursion_misses))
        });
        missed.collect()
    }
}

/// What the kernel says of a loaded program.
pub(crate) fn program_info(program: BorrowedFd<'_>) -> io::Result<sys::bpf_prog_info> {
    let mut info = sys::bpf_prog_info::default();
    let mut bytes = size_of::<sys::bpf_prog_info>() as u32;
    // SAFETY: the structure is as long as is said; pointers in it are null, so nothing else is written.
    let code =
        unsafe { sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut bytes) };
    if code < 0 {
        return Err(io::Error::from_raw_os_error(-code));
    }
    Ok(info)
}

/// Whether the kernel lets this process list programs; that there are none is no error.
pub(crate) fn list_programs() -> io::Result<()> {
    let mut first = 0;
    // SAFETY: it writes one number, to where is said.
    let code = unsafe { sys::bpf_prog_get_next_id(0, &raw mut first) };
    match io::Error::from_raw_os_error(-code) {
        _ if code == 0 => Ok(()),
        error if error.kind() == io::ErrorKind::NotFound => Ok(()),
        error => Err(error),
    }
}

impl CounterSource for CounterMaps {
    fn counters(&self) -> Result<Counters, KernelError> {
        Ok(Counters {
            hooks: Hook::ALL
                .iter()
                .map(|hook| self.hook(*hook))
                .collect::<Result<_, _>>()?,
            denials: self.denials()?,
            denials_overflow: self.sum(&self.overflow, 0)?,
            escapes: self.sum(&self.escapes, 0)?,
            error_sites: self.sites()?,
            usage: self.usage()?,
        })
    }

    fn usage(&self) -> Result<Vec<ZoneUsage>, KernelError> {
        self.usage
            .as_ref()
            .map_or(Ok(Vec::new()), |usage| usage.all())
    }

    fn let_through(&self) -> Result<Vec<LetThrough>, KernelError> {
        let mut all = Vec::new();
        for (index, (_, name, meaning, opens)) in (0u32..).zip(SITES) {
            if *opens {
                all.push(LetThrough {
                    site: (*name).to_owned(),
                    meaning,
                    count: self.sum(&self.sites, index)?,
                });
            }
        }
        all.extend(self.missed()?.into_iter().map(|(site, count)| LetThrough {
            site,
            meaning: "a program was skipped where a task was preempted in it",
            count,
        }));
        Ok(all)
    }
}
