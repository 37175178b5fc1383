//! The kernel side: BPF-LSM programs, and the libbpf backend behind [`syva_model::kernel::Kernel`].
//!
//! The C programs are in `src/bpf`: one file a hook family (`hook_*.h`), over header libraries that
//! follow a decision's flow: `subject.h` (who acts) → `object.h`, `label.h` (on what) → `decide.h` (may it) →
//! `count.h`, `emit.h` (tell). `build.rs` compiles them and generates the types both sides share.
//!
//! The Rust modules follow the life of the kernel side: `load` and `pins` (once `syva-host` has nothing against it) →
//! `tables`, `control` (what the daemon writes) → `events`, `counters`, `iter` (what it reads); `observe` is for
//! a process that has loaded nothing.
//! `unsafe` is allowed in `skel`, `pod`, `map`, `mapped`, `iter`, `counters` and nowhere else.

#[cfg(not(target_arch = "x86_64"))]
compile_error!(
    "the programs tell system calls by x86-64's numbers and registers (src/bpf/syscall.h)"
);

mod backend;
mod control;
mod counters;
mod error;
mod events;
mod host_namespaces;
mod iter;
mod load;
mod log;
mod map;
mod mapped;
mod missed;
pub mod observe;
mod pins;
mod pod;
mod selftest;
mod sites;
mod skel;
mod syscall;
mod tables;
pub mod vantage;
mod variant;
pub mod verify;

pub use backend::LibbpfKernel;
pub use pins::{Released, release};
pub use tables::Quotas;

#[cfg(test)]
mod decide_test;
