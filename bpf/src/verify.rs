//! For the virtual-machine tests: what a real kernel makes of the object, piece by piece.

use std::os::fd::AsFd as _;

use libbpf_rs::MapCore as _;
use libbpf_rs::skel::OpenSkel as _;
use syva_model::kernel::KernelError;

use crate::backend::LibbpfKernel;
use crate::counters::program_info;
use crate::map::{Map, Put};
use crate::pod::zeroed;
use crate::skel::types::ipc_row;
use crate::{error, load};

/// A map as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFact {
    /// Its name.
    pub name: String,
    /// Its type, as libbpf-rs names it.
    pub kind: String,
    /// How many elements it has room for.
    pub max_entries: u32,
}

/// A program as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFact {
    /// Its name.
    pub name: String,
    /// Instructions after the verifier's rewriting.
    pub instructions: u64,
    /// Instructions the verifier looked at to accept it (since 5.16; before, 0).
    pub verified: u32,
}

/// A program's name, and whether the kernel took it.
pub type Alone = (String, Result<(), KernelError>);

/// Loads and attaches every program alone, in an object of its own, and detaches it again.
pub fn each_alone() -> Result<Vec<Alone>, KernelError> {
    let names: Vec<String> = load::open()?
        .open_object()
        .progs()
        .filter(|program| program.autoload())
        .map(|program| program.name().to_string_lossy().into_owned())
        .collect();
    names
        .into_iter()
        .map(|name| {
            let outcome = alone(&name);
            Ok((name, outcome))
        })
        .collect()
}

fn alone(name: &str) -> Result<(), KernelError> {
    let mut open = load::open()?;
    for mut program in open.open_object_mut().progs_mut() {
        let wanted = program.name().to_string_lossy() == name;
        program.set_autoload(wanted);
    }
    let skel = load::load(open)?;
    for program in load::programs(&skel) {
        if program.name().to_string_lossy() == name {
            program
                .attach()
                .map(drop)
                .map_err(|e| error::from_libbpf("attach", name, &e))?;
        }
    }
    Ok(())
}

/// The loaded maps.
pub fn maps(kernel: &LibbpfKernel) -> Result<Vec<MapFact>, KernelError> {
    Ok(load::maps(&kernel.programs()?.skel)
        .map(|map| MapFact {
            name: map.name().to_string_lossy().into_owned(),
            kind: format!("{:?}", map.map_type()),
            max_entries: map.max_entries(),
        })
        .collect())
}

/// The loaded programs.
pub fn programs(kernel: &LibbpfKernel) -> Result<Vec<ProgramFact>, KernelError> {
    load::programs(&kernel.programs()?.skel)
        .map(|program| {
            let name = program.name().to_string_lossy().into_owned();
            let info = program_info(program.as_fd())
                .map_err(|e| error::from_io("read about program", &name, &e))?;
            Ok(ProgramFact {
                name,
                instructions: u64::from(info.xlated_prog_len) / 8,
                verified: info.verified_insns,
            })
        })
        .collect()
}

/// The sum of the counts in the filter before the memberships.
pub fn filter_total(kernel: &LibbpfKernel) -> Result<u64, KernelError> {
    Ok(kernel.filter()?.total())
}

/// How often a rename or link has made the cached labels stale.
pub fn move_epoch(kernel: &LibbpfKernel) -> Result<u64, KernelError> {
    let map: Map<u32, u64> = Map::new(
        kernel.programs()?.skel.maps.move_epoch.as_fd(),
        "move_epoch",
    )?;
    let epoch = map
        .get(&0)
        .map_err(|e| error::from_io("read map", map.name(), &e))?;
    Ok(epoch.unwrap_or_default())
}

fn ipc_objects(kernel: &LibbpfKernel) -> Result<Map<u64, ipc_row>, KernelError> {
    let maps = &kernel.programs()?.skel.maps;
    Map::new(maps.ipc_objects.as_fd(), "ipc_objects")
}

/// How many System V objects are known to have been made.
pub fn ipc_rows(kernel: &LibbpfKernel) -> Result<usize, KernelError> {
    let map = ipc_objects(kernel)?;
    let rows = map.all();
    let rows = rows.map_err(|e| error::from_io("read map", map.name(), &e))?;
    Ok(rows.len())
}

/// Fills the table of System V objects with rows of none; returns how many it took.
pub fn fill_ipc(kernel: &LibbpfKernel) -> Result<u64, KernelError> {
    let map = ipc_objects(kernel)?;
    let row: ipc_row = zeroed();
    // No object is at such a low address.
    let taken = (1..).take_while(|at| map.put(at, &row, Put::New).is_ok());
    Ok(taken.count() as u64)
}

/// Takes the rows of [`fill_ipc`] away again.
pub fn empty_ipc(kernel: &LibbpfKernel, rows: u64) -> Result<(), KernelError> {
    let map = ipc_objects(kernel)?;
    for at in 1..=rows {
        map.delete(&at)
            .map_err(|e| error::from_io("empty map", map.name(), &e))?;
    }
    Ok(())
}
