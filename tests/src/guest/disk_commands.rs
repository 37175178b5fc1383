//! Commands that a driver hands to a disk as they are, past all that lies on it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use nix::libc;

use super::uring;

/// The numbers of ioctl(2) for NVMe, and of io_uring.
const NVME_IO_COMMAND: u64 = 0xc048_4e43;
const NVME_URING_IO: u32 = 0xc048_4e80;
/// A scanner's, whose type is NVMe's, and of which no other device knows.
const SCANNERS: u64 = 0x4e01;

const BLOCK: usize = 512;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Default)]
struct Command {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    words_2_3: [u32; 2],
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    /// From the tenth on; the first two are the block, the third how many more than one.
    words: [u32; 6],
    timeout_ms: u32,
    result: u32,
}

impl Command {
    /// To read the first block.
    fn reading(block: &mut [u8; BLOCK]) -> Command {
        Command {
            opcode: 2,
            namespace: 1,
            address: block.as_mut_ptr() as u64,
            data_length: BLOCK as u32,
            ..Command::default()
        }
    }
}

/// Reads the disk's first block through its controller.
pub fn read(controller: &Path) -> io::Result<()> {
    let file = File::open(controller)?;
    let mut block = [0; BLOCK];
    let mut command = Command::reading(&mut block);
    // SAFETY: the structure and what it leads to are there until the call returns.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), NVME_IO_COMMAND, &raw mut command) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Asks what has the same type and is none for a disk: the device says that it does not know it.
pub fn scanners(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    // SAFETY: the number is passed as it is, and nothing behind it.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), SCANNERS, 0) };
    match io::Error::last_os_error() {
        _ if done == 0 => Ok(()),
        error if error.raw_os_error() == Some(libc::ENOTTY) => Ok(()),
        error => Err(error),
    }
}

/// The same by io_uring, where the command is given in the request.
pub fn read_by_ring(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    let mut block = [0; BLOCK];
    let command = Command::reading(&mut block);
    // SAFETY: it is plain numbers without room between them, and lives on.
    let command =
        unsafe { std::slice::from_raw_parts((&raw const command).cast(), size_of::<Command>()) };
    uring::command(file.as_fd(), NVME_URING_IO, command)
}
