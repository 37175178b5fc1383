//! Opening, reading and changing files by io_uring, without a library: two rings, one request.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{null_mut, read_volatile, write_volatile};

use nix::libc;

const IORING_OFF_SQ_RING: i64 = 0;
const IORING_OFF_CQ_RING: i64 = 0x800_0000;
const IORING_OFF_SQES: i64 = 0x1000_0000;
const IORING_OP_OPENAT: u8 = 18;
const IORING_OP_READ: u8 = 22;
const IORING_OP_URING_CMD: u8 = 46;
const IORING_SETUP_SQE128: u32 = 1 << 10;
const IORING_SETUP_CQE32: u32 = 1 << 11;
/// Where a command lies in an entry, and how long it may be.
const COMMAND_AT: usize = 48;
const COMMAND_ROOM: usize = 80;
const IORING_REGISTER_PERSONALITY: libc::c_uint = 9;
const IOSQE_ASYNC: u8 = 1 << 4;
const IORING_ENTER_GETEVENTS: libc::c_uint = 1;
/// One page holds a ring of one entry, whatever its header.
const PAGE: usize = 4096;

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`, by position.
#[repr(C)]
#[derive(Default)]
struct Parameters {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array.
    sq: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes.
    cq: [u32; 10],
}

/// `struct io_uring_sqe` as OPENAT uses it; what follows begins with a buffer's index and a personality.
#[repr(C)]
struct Request {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    off: u64,
    addr: u64,
    len: u32,
    open_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

/// Opens and closes the file; if `by_worker`, a kernel thread does it in the caller's name.
pub fn open(path: &Path, by_worker: bool) -> io::Result<()> {
    let path = text(path)?;
    let opened = perform(Request {
        flags: if by_worker { IOSQE_ASYNC } else { 0 },
        open_flags: libc::O_CLOEXEC as u32,
        ..Request::of(IORING_OP_OPENAT, &path)
    })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(opened) });
    Ok(())
}

/// An operation on one path, or from one to another.
pub fn with_paths(operation: u8, path: &Path, other: Option<&Path>) -> io::Result<()> {
    let (path, other) = (text(path)?, other.map(text).transpose()?);
    let mut request = Request::of(operation, &path);
    if let Some(other) = &other {
        // Both are relative to the working directory; the second's descriptor is where a length is else.
        request.off = other.as_ptr() as u64;
        request.len = libc::AT_FDCWD as u32;
    }
    perform(request).map(drop)
}

/// Reads from where the file stands, with the credentials that the caller had before `change`.
pub fn read_as_before(
    file: BorrowedFd<'_>,
    room: &mut [u8],
    change: impl FnOnce() -> io::Result<()>,
) -> io::Result<usize> {
    let ring = Ring::new()?;
    let personality = ring.personality()?;
    change()?;
    let read = ring.perform(Request {
        opcode: IORING_OP_READ,
        fd: file.as_raw_fd(),
        off: u64::MAX,
        addr: room.as_mut_ptr() as u64,
        len: u32::try_from(room.len()).map_err(io::Error::other)?,
        rest: [u64::from(personality) << 16, 0, 0],
        ..Request::of(IORING_OP_READ, c"")
    })?;
    usize::try_from(read).map_err(io::Error::other)
}

/// Hands a command of a device to its driver; it is at the end of an entry that is twice as long.
pub fn command(device: BorrowedFd<'_>, number: u32, command: &[u8]) -> io::Result<()> {
    assert!(
        command.len() <= COMMAND_ROOM,
        "longer than an entry has room"
    );
    let ring = Ring::set_up(IORING_SETUP_SQE128 | IORING_SETUP_CQE32)?;
    let entry = map(&ring.fd, IORING_OFF_SQES)?.wrapping_add(COMMAND_AT);
    // SAFETY: the mapping is a page, and the entry lies in it with what is copied.
    unsafe { std::ptr::copy_nonoverlapping(command.as_ptr(), entry, command.len()) };
    let request = Request {
        fd: device.as_raw_fd(),
        // Where an offset is else.
        off: number.into(),
        addr: 0,
        ..Request::of(IORING_OP_URING_CMD, c"")
    };
    ring.perform(request).map(drop)
}

fn text(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

impl Request {
    fn of(opcode: u8, path: &CStr) -> Request {
        Request {
            opcode,
            flags: 0,
            ioprio: 0,
            fd: libc::AT_FDCWD,
            off: 0,
            addr: path.as_ptr() as u64,
            len: 0,
            open_flags: 0,
            user_data: 0,
            rest: [0; 3],
        }
    }
}

/// A ring for one request.
struct Ring {
    fd: OwnedFd,
    parameters: Parameters,
}

/// Submits a request, whose paths live on, and waits for its result.
fn perform(request: Request) -> io::Result<i32> {
    Ring::new()?.perform(request)
}

impl Ring {
    fn new() -> io::Result<Ring> {
        Ring::set_up(0)
    }

    fn set_up(flags: u32) -> io::Result<Ring> {
        let mut parameters = Parameters {
            flags,
            ..Parameters::default()
        };
        // SAFETY: the kernel fills the parameters, which have its layout.
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut parameters) };
        if ring < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(ring as i32) };
        Ok(Ring { fd, parameters })
    }

    /// Keeps the credentials of now for requests.
    fn personality(&self) -> io::Result<u16> {
        // SAFETY: nothing is passed that the kernel would read or write.
        let kept = unsafe {
            libc::syscall(
                libc::SYS_io_uring_register,
                self.fd.as_raw_fd(),
                IORING_REGISTER_PERSONALITY,
                null_mut::<libc::c_void>(),
                0,
            )
        };
        if kept < 0 {
            return Err(io::Error::last_os_error());
        }
        u16::try_from(kept).map_err(io::Error::other)
    }

    fn perform(&self, request: Request) -> io::Result<i32> {
        let (ring, parameters) = (&self.fd, &self.parameters);
        let submissions = map(ring, IORING_OFF_SQ_RING)?;
        let completions = map(ring, IORING_OFF_CQ_RING)?;
        let requests: *mut Request = map(ring, IORING_OFF_SQES)?.cast();
        let word = |base: *mut u8, offset: u32| base.wrapping_add(offset as usize).cast::<u32>();
        // SAFETY: the three mappings are a page each and stay; the offsets are the kernel's own, and it
        // looks at them only in the system call that follows.
        unsafe {
            // As far as the command, if there is one, which was written there.
            std::ptr::copy_nonoverlapping(
                (&raw const request).cast(),
                requests.cast::<u8>(),
                COMMAND_AT,
            );
            write_volatile(word(submissions, parameters.sq[6]), 0);
            write_volatile(word(submissions, parameters.sq[1]), 1);
            let done = libc::syscall(
                libc::SYS_io_uring_enter,
                ring.as_raw_fd(),
                1,
                1,
                IORING_ENTER_GETEVENTS,
                null_mut::<libc::c_void>(),
                0,
            );
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
            // A completion is its user data, then the result.
            let result = read_volatile(word(completions, parameters.cq[5] + 8)) as i32;
            if result < 0 {
                return Err(io::Error::from_raw_os_error(-result));
            }
            Ok(result)
        }
    }
}

fn map(ring: &OwnedFd, offset: i64) -> io::Result<*mut u8> {
    // SAFETY: the kernel chooses the address; the mapping lasts until the process ends.
    let at = unsafe {
        libc::mmap(
            null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            ring.as_raw_fd(),
            offset,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(at.cast())
}
