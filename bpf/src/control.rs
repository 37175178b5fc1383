//! The control map: what the kernel stamps on its events, and the epoch of its cached labels.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::{MapHandle, MapType};
use syva_model::image::{Control, Mode, Table};
use syva_model::kernel::{ControlStore, KernelError};

use crate::error;
use crate::map::{Map, Put};
use crate::mapped::Mapped;
use crate::skel::BUILD;
use crate::skel::types::control_row;

/// Writes the control row word by word through a mapping, so that no program reads half an epoch.
#[derive(Debug)]
pub(crate) struct ControlMap {
    row: Mapped,
    barrier: Map<u32, u32>,
    /// What the barrier's slot is rewritten with. Its content is nobody's.
    filler: MapHandle,
}

impl ControlMap {
    pub(crate) fn new(control: impl AsFd, barrier: Map<u32, u32>) -> Result<Self, KernelError> {
        let options = libbpf_rs::libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as _,
            ..Default::default()
        };
        let filler = MapHandle::create(MapType::Array, Some("barrier_slot"), 4, 4, 1, &options)
            .map_err(|e| error::from_libbpf("create map", "barrier_slot", &e))?;
        let map = ControlMap {
            row: Mapped::new(control, Table::Control.name(), size_of::<control_row>())?,
            barrier,
            filler,
        };
        // Whoever looks at the maps from outside must know whose layout they have. What is read here
        // first, the writer keeps.
        map.word(offset_of!(control_row, build))?
            .store(BUILD, Ordering::Release);
        Ok(map)
    }

    fn word(&self, offset: usize) -> Result<&AtomicU64, KernelError> {
        self.row.word(offset).ok_or_else(|| outside(offset))
    }

    fn half(&self, offset: usize) -> Result<&AtomicU32, KernelError> {
        self.row.half(offset).ok_or_else(|| outside(offset))
    }
}

fn outside(offset: usize) -> KernelError {
    error::here(
        "address",
        format!("{}, offset {offset}", Table::Control.name()),
        "the row does not have this word",
        "",
    )
}

impl ControlStore for ControlMap {
    fn read(&mut self) -> Result<Control, KernelError> {
        let load = |offset| Ok::<_, KernelError>(self.word(offset)?.load(Ordering::Acquire));
        let mode = self.half(offset_of!(control_row, mode))?;
        Ok(Control {
            schema: self
                .half(offset_of!(control_row, schema))?
                .load(Ordering::Acquire),
            mode: match mode.load(Ordering::Acquire) {
                0 => Mode::Enforce,
                _ => Mode::Audit,
            },
            epoch: load(offset_of!(control_row, epoch))?,
            applied: load(offset_of!(control_row, applied))?,
            applying: load(offset_of!(control_row, applying))?,
            build: load(offset_of!(control_row, build))?,
        })
    }

    fn write(&mut self, control: &Control) -> Result<(), KernelError> {
        let store = |offset, value| {
            self.word(offset)?.store(value, Ordering::Release);
            Ok::<_, KernelError>(())
        };
        self.half(offset_of!(control_row, schema))?
            .store(control.schema, Ordering::Release);
        self.half(offset_of!(control_row, mode))?.store(
            match control.mode {
                Mode::Enforce => 0,
                Mode::Audit => 1,
            },
            Ordering::Release,
        );
        store(offset_of!(control_row, build), control.build)?;
        // In this order no event shows more applied than was being applied.
        store(offset_of!(control_row, applying), control.applying)?;
        store(offset_of!(control_row, applied), control.applied)?;
        store(offset_of!(control_row, epoch), control.epoch)
    }

    /// Rewriting a map-in-map's slot ends in `synchronize_rcu()` (`maybe_wait_bpf_programs()` in
    /// kernel/bpf/syscall.c): every program that began before has ended then.
    fn settle(&mut self) -> Result<(), KernelError> {
        use std::os::fd::AsRawFd as _;
        let fd = self.filler.as_fd().as_raw_fd().cast_unsigned();
        self.barrier.put(&0, &fd, Put::Any).map_err(|e| {
            error::from_io("wait for running programs on map", self.barrier.name(), &e)
        })
    }
}
