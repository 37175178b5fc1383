//! What the programs are told of the host's first process: by its namespaces they know what is the host's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{major, minor, statfs};
use syva_model::kernel::KernelError;

use crate::error;
use crate::skel::OpenSyvaSkel;

/// `TMPFS_MAGIC` in include/uapi/linux/magic.h.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Where POSIX shared memory is, as the host's first process sees it.
const SHARED_MEMORY: &str = "/proc/1/root/dev/shm";

/// Fills in the object's constants.
pub(crate) fn tell(open: &mut OpenSyvaSkel<'_>) -> Result<(), KernelError> {
    let (mount, ipc) = (namespace("mnt")?, namespace("ipc")?);
    let (uts, network) = (namespace("uts")?, namespace("net")?);
    let device = shared_memory();
    if let Some(rodata) = open.maps.rodata_data.as_deref_mut() {
        rodata.host_mount_namespace = mount;
        rodata.host_ipc_namespace = ipc;
        rodata.host_uts_namespace = uts;
        rodata.host_network_namespace = network;
        rodata.shared_memory_device = device;
    }
    Ok(())
}

fn namespace(kind: &str) -> Result<u32, KernelError> {
    let path = format!("/proc/1/ns/{kind}");
    let metadata = fs::metadata(&path)
        .map_err(|e| error::from_io("read a namespace of the host", path, &e))?;
    // Namespaces' inode numbers are 32 bits in the kernel.
    Ok(metadata.ino() as u32)
}

/// The device of the tmpfs that the host has there, as the kernel writes it; 0 if there is none: on any other
/// file system a file belongs to no zone by having been made by it.
fn shared_memory() -> u32 {
    let found = statfs(SHARED_MEMORY).and_then(|fs| {
        let tmpfs = u64::from_ne_bytes(fs.f_type.to_ne_bytes()) == TMPFS_MAGIC;
        Ok(tmpfs.then_some(rustix::fs::stat(SHARED_MEMORY)?.st_dev))
    });
    match found {
        Ok(Some(device)) => major(device) << 20 | minor(device),
        Ok(None) => {
            tracing::info!("the host's /dev/shm is no tmpfs: shared memory in it is nobody's");
            0
        }
        Err(errno) => {
            tracing::warn!(%errno, path = SHARED_MEMORY, "shared memory is nobody's");
            0
        }
    }
}
