//! Kernel errors: from an errno or from libbpf's error to the seam's one type.

use std::io;

use libbpf_rs::ErrorKind;
use syva_model::kernel::KernelError;

/// A failure the kernel gave a number for.
pub(crate) fn from_io(
    operation: &'static str,
    on: impl Into<String>,
    error: &io::Error,
) -> KernelError {
    KernelError {
        operation,
        on: on.into(),
        said: error.to_string(),
        errno: error.raw_os_error(),
        remedy: String::new(),
    }
}

/// A failure libbpf reports: its chain of causes ends with the kernel's.
pub(crate) fn from_libbpf(
    operation: &'static str,
    on: impl Into<String>,
    error: &libbpf_rs::Error,
) -> KernelError {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            "unless the verifier complained above, a container, a virtual machine's policy or \
             lockdown forbids BPF LSM programs here"
        }
        _ => "",
    };
    KernelError {
        operation,
        on: on.into(),
        said: format!("{error:#}"),
        errno: None,
        remedy: remedy.to_owned(),
    }
}

/// A failure found here, without asking the kernel.
pub(crate) fn here(
    operation: &'static str,
    on: impl Into<String>,
    said: impl Into<String>,
    remedy: impl Into<String>,
) -> KernelError {
    KernelError {
        operation,
        on: on.into(),
        said: said.into(),
        errno: None,
        remedy: remedy.into(),
    }
}
