//! The host side of the virtual-machine tests: kernel → initramfs → boot → verdict.

pub mod apt;
pub mod cache;
pub mod command;
pub mod cpio;
pub mod error;
pub mod extract;
pub mod initramfs;
pub mod kernels;
pub mod mirrors;
pub mod modules;
pub mod packages;
pub mod qemu;
pub mod root;
pub mod run;
pub mod serial;
pub mod techniques;

pub use error::VmError;
