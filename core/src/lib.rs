//! The pure core of Syvä: what a command means, before any kernel or disk hears of it.
//!
//! Nothing here does I/O, reads a clock, spawns a task or iterates a hash map: the same journal
//! gives the same state, the same desired image and the same plan on every machine (invariant I2).
//!
//! The modules follow the flow: command → admit → entry → fold → project → plan. [`decision`] is the
//! reference that the kernel's `decide()` is tested against, and [`kernel`] is the seam behind which
//! the real and the in-memory kernel stand.

pub mod admit;
pub mod command;
pub mod decision;
pub mod entry;
pub mod file_system;
pub mod fold;
pub mod hook;
pub mod host_socket;
pub mod image;
pub mod kernel;
pub mod name;
pub mod plan;
pub mod project;
pub mod state;
