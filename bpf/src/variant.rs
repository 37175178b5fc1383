//! Hooks that differ between kernels: what this kernel's BTF says of their arguments, and which it has.

use libbpf_rs::btf::{Btf, ReferencesType as _, types};
use syva_model::kernel::KernelError;

use crate::error;
use crate::skel::OpenSyvaSkel;

/// The kernel's own function behind a hook, to which programs are attached.
const PREFIX: &str = "bpf_lsm_";

/// Tells the programs which arguments they have, and leaves out those this kernel has no hook for.
pub(crate) fn fit(open: &mut OpenSyvaSkel<'_>) -> Result<(), KernelError> {
    let btf = Btf::from_vmlinux().map_err(|e| {
        error::from_libbpf("read the types of the running kernel from", "its BTF", &e)
    })?;
    let arguments = |hook: &str| {
        btf.type_by_name::<types::Func<'_>>(&format!("{PREFIX}{hook}"))
            .and_then(|function| types::FuncProto::try_from(function.referenced_type()).ok())
            .map(|prototype| prototype.len())
    };
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        // One more than before they were given the mapping of ids.
        rodata.setattr_is_idmapped = u32::from(arguments("inode_setattr") == Some(3));
        rodata.xattr_is_idmapped = u32::from(arguments("inode_setxattr") == Some(6));
        rodata.perf_has_attributes = u32::from(arguments("perf_event_open") == Some(2));
        rodata.bpf_tells_origin = u32::from(arguments("bpf") == Some(4));
    }
    let progs = &mut open.progs;
    for (program, hook) in [
        (&mut progs.inode_set_acl, "inode_set_acl"),
        (&mut progs.inode_remove_acl, "inode_remove_acl"),
        (&mut progs.inode_file_setattr, "inode_file_setattr"),
        (&mut progs.uring_cmd, "uring_cmd"),
    ] {
        program.set_autoload(arguments(hook).is_some());
    }
    Ok(())
}
