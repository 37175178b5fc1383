//! Syvä's virtual-machine tests: real kernels, booted under emulation, one suite at a time.
//!
//! Two programs are made of this crate. `vmtest` runs on the host: it fetches a kernel, packs a
//! guest, boots it and judges its output ([`vm`]). `syva-guest` runs inside: it carries every
//! suite ([`guest`]). [`suites`] is the one table both read. [`daemon`] runs the real daemon, for the
//! suites and for the tests on the host (`tests/host`).

pub mod daemon;
pub mod guest;
pub mod selftest;
pub mod suites;
pub mod vm;
