//! For the virtual-machine tests: what a real kernel makes of the object, piece by piece.

use std::os::fd::AsFd as _;

use libbpf_rs::MapCore as _;
use libbpf_rs::skel::OpenSkel as _;
use syva_model::kernel::KernelError;

use crate::backend::LibbpfKernel;
use crate::counters::program_info;
use crate::map::Map;
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
