//! What of Syvä is in the kernel, asked by a process that did not load it: for when the daemon does not
//! answer. Objects are found by their ids, which needs CAP_SYS_ADMIN; nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use libbpf_rs::query::{
    LinkInfoIter, MapInfo, MapInfoIter, ProgInfoIter, ProgInfoQueryOptions, ProgramInfo,
};
use libbpf_rs::{MapHandle, Program, ProgramType};
use syva_model::hook::Hook;
use syva_model::image::{Mode, SCHEMA, Table};
use syva_model::kernel::{CounterSource as _, Counters, KernelError};

use crate::counters::{CounterMaps, list_programs};
use crate::error;
use crate::map::Map;
use crate::pod::Pod;
use crate::skel::BUILD;
use crate::skel::types::control_row;

/// How much of a program's name the kernel keeps (`BPF_OBJ_NAME_LEN` without its end).
const NAME: usize = 15;

/// An object of Syvä's that some process has loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The hooks whose programs are attached.
    pub attached: BTreeSet<Hook>,
    /// The mode it was told.
    pub mode: Mode,
    /// The last journal entry whose effects are all in its maps.
    pub applied: u64,
    /// The entry being written, equal to `applied` when nothing is.
    pub applying: u64,
    /// What it has counted, by this build's layout; the reason why not, if another build loaded it.
    pub counters: Result<Counters, String>,
}

/// Looks for the object; if there are several (a daemon that is being replaced), the latest.
///
/// # Errors
/// The kernel does not let this process look.
pub fn observe() -> Result<Option<Observed>, KernelError> {
    may_look()?;
    let maps: BTreeMap<u32, MapInfo> = MapInfoIter::default().map(|map| (map.id, map)).collect();
    let options = ProgInfoQueryOptions::default().include_map_ids(true);
    // An object is known by its control map, which every hook's program uses.
    let mut objects: BTreeMap<u32, Vec<(Hook, ProgramInfo)>> = BTreeMap::new();
    for program in ProgInfoIter::with_query_opts(options) {
        if let Some(hook) = hook_of(&program)
            && let Some(control) = control_of(&program, &maps)
        {
            objects.entry(control).or_default().push((hook, program));
        }
    }
    let Some((control, programs)) = objects.pop_last() else {
        return Ok(None);
    };
    let linked: BTreeSet<u32> = LinkInfoIter::default().map(|link| link.prog_id).collect();
    let attached = programs
        .iter()
        .filter(|(_, program)| linked.contains(&program.id))
        .map(|(hook, _)| *hook)
        .collect();
    let handle = by_id(control, Table::Control.name())?;
    let row = Map::<u32, control_row>::new(handle.as_fd(), Table::Control.name())?
        .get(&0)
        .map_err(|e| error::from_io("read map", Table::Control.name(), &e))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let counters = if row.build == BUILD && row.schema == SCHEMA {
        counters(&programs, &maps).map_err(|error| error.to_string())
    } else {
        Err("another build of Syvä loaded it, whose counters this one does not read".to_owned())
    };
    Ok(Some(Observed {
        attached,
        mode: if row.mode == 0 {
            Mode::Enforce
        } else {
            Mode::Audit
        },
        applied: row.applied,
        applying: row.applying,
        counters,
    }))
}

/// The iterators end at a refusal as they do after the last object, so a refusal is looked for first.
fn may_look() -> Result<(), KernelError> {
    list_programs().map_err(|e| KernelError {
        remedy: "it needs CAP_SYS_ADMIN: run it as root".to_owned(),
        ..error::from_io("look for programs in", "the kernel", &e)
    })
}

fn hook_of(program: &ProgramInfo) -> Option<Hook> {
    if !matches!(program.ty, ProgramType::Lsm | ProgramType::Tracing) {
        return None;
    }
    let name = program.name.to_str()?;
    let kept = |hook: &&Hook| &hook.name()[..hook.name().len().min(NAME)] == name;
    Hook::ALL.iter().find(kept).copied()
}

fn control_of(program: &ProgramInfo, maps: &BTreeMap<u32, MapInfo>) -> Option<u32> {
    let used = |name: &str| {
        let mut used = program.map_ids.iter().filter_map(|id| maps.get(id));
        used.find(|map| map.name.to_string_lossy() == name)
    };
    used("hook_counters")?;
    let control = used(Table::Control.name())?;
    let size = u32::try_from(size_of::<control_row>()).ok()?;
    (control.value_size == size && control.key_size == 4).then_some(control.id)
}

fn by_id(id: u32, name: &str) -> Result<MapHandle, KernelError> {
    MapHandle::from_map_id(id).map_err(|e| error::from_libbpf("open by its id map", name, &e))
}

fn counters(
    programs: &[(Hook, ProgramInfo)],
    maps: &BTreeMap<u32, MapInfo>,
) -> Result<Counters, KernelError> {
    let ids: BTreeSet<u32> = programs
        .iter()
        .flat_map(|(_, program)| program.map_ids.iter().copied())
        .collect();
    let mut fds = Vec::new();
    for (hook, program) in programs {
        let fd = Program::fd_from_id(program.id)
            .map_err(|e| error::from_libbpf("open by its id program", hook.name(), &e))?;
        fds.push((hook.name().to_owned(), fd));
    }
    let source = CounterMaps {
        hooks: open("hook_counters", &ids, maps)?,
        denials: open("denials", &ids, maps)?,
        overflow: open("denials_overflow", &ids, maps)?,
        escapes: open("escapes", &ids, maps)?,
        sites: open("error_sites", &ids, maps)?,
        programs: fds,
        usage: None,
        cpus: libbpf_rs::num_possible_cpus()
            .map_err(|e| error::from_libbpf("count the possible", "CPUs", &e))?,
    };
    source.counters()
}

/// The object's map of that name. The kernel keeps fifteen bytes of it.
fn open<K: Pod, V: Pod>(
    name: &'static str,
    ids: &BTreeSet<u32>,
    maps: &BTreeMap<u32, MapInfo>,
) -> Result<Map<K, V>, KernelError> {
    let kept = &name[..name.len().min(NAME)];
    let mut own = ids.iter().filter_map(|id| maps.get(id));
    let sizes = (size_of::<K>(), size_of::<V>());
    let found = own.find(|map| {
        let (key, value) = (map.key_size as usize, map.value_size as usize);
        map.name.to_string_lossy() == kept && (key, value) == sizes
    });
    let found = found.ok_or_else(|| {
        error::here(
            "find the map",
            name,
            "the object's programs do not use it",
            "",
        )
    })?;
    Map::new(by_id(found.id, name)?.as_fd(), name)
}
