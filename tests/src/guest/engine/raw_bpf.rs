//! bpf(2) by the number of its command, as an attacker calls it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use nix::libc;

/// `union bpf_attr`, as words: what a command makes of them is its own.
type Attr = [u32; 32];

/// A program that returns 1: `r0 = 1; exit`.
const PROGRAM: [u64; 2] = [0x0000_0001_0000_00b7, 0x95];
const LICENSE: &[u8] = b"GPL\0";

const SOCKET_FILTER: u32 = 1;
const KPROBE: u32 = 2;
const TRACEPOINT: u32 = 5;
const CGROUP_SKB: u32 = 8;
const CGROUP_DEVICE: u32 = 15;
const RAW_TRACEPOINT: u32 = 17;

/// Does what `command` names; `on` is a path where one is needed.
pub fn perform(command: &Path, on: Option<&Path>) -> io::Result<()> {
    match (command.to_str().unwrap_or_default(), on) {
        ("map-create", _) => map(2).map(drop),
        ("map-create-ring-buffer", _) => map(27).map(drop),
        ("map-create-of-maps", _) => map(13).map(drop),
        ("map-use", _) => use_map(),
        ("load-socket-filter", _) => load(SOCKET_FILTER).map(drop),
        ("load-cgroup-device", _) => load(CGROUP_DEVICE).map(drop),
        ("load-kprobe", _) => load(KPROBE).map(drop),
        ("load-tracepoint", _) => load(TRACEPOINT).map(drop),
        ("load-raw-tracepoint", _) => load(RAW_TRACEPOINT).map(drop),
        ("load-cgroup-skb", _) => load(CGROUP_SKB).map(drop),
        ("prog-get-next-id", _) => call(11, &mut [0; 32]).map(drop),
        ("map-get-next-id", _) => call(12, &mut [0; 32]).map(drop),
        ("prog-get-fd-by-id", _) => call(13, &mut words(&[1])).map(drop),
        ("map-get-fd-by-id", _) => call(14, &mut words(&[1])).map(drop),
        ("btf-get-fd-by-id", _) => call(19, &mut words(&[1])).map(drop),
        ("link-get-fd-by-id", _) => call(30, &mut words(&[1])).map(drop),
        ("raw-tracepoint-open", _) => call(17, &mut [0; 32]).map(drop),
        ("task-fd-query", _) => call(20, &mut words(&[1])).map(drop),
        ("link-create", _) => call(28, &mut [0; 32]).map(drop),
        ("link-update", _) => call(29, &mut [0; 32]).map(drop),
        ("enable-stats", _) => call(32, &mut [0; 32]).map(drop),
        ("iter-create", _) => call(33, &mut [0; 32]).map(drop),
        ("link-detach", _) => call(34, &mut [0; 32]).map(drop),
        ("prog-bind-map", _) => call(35, &mut [0; 32]).map(drop),
        ("token-create", _) => call(36, &mut [0; 32]).map(drop),
        ("unknown-command", _) => call(4711, &mut [0; 32]).map(drop),
        ("pin", Some(path)) => pin(&map(2)?, path),
        ("get", Some(path)) => get(path).map(drop),
        ("attach-device", Some(cgroup)) => attach_device(cgroup),
        ("detach-device", Some(cgroup)) => detach_device(cgroup),
        ("query-device", Some(cgroup)) => query_device(cgroup),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn words(first: &[u32]) -> Attr {
    let mut attr = [0; 32];
    attr[..first.len()].copy_from_slice(first);
    attr
}

/// A pointer, in the two words from `at`.
fn point(attr: &mut Attr, at: usize, to: *const u8) {
    let address = to as u64;
    (attr[at], attr[at + 1]) = (address as u32, (address >> 32) as u32);
}

fn call(command: i32, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: the structure is as long as is said, and what it points to outlives the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of_val(attr)) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer as i32)
}

fn opened(answer: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(answer) }
}

fn map(kind: u32) -> io::Result<OwnedFd> {
    call(0, &mut words(&[kind, 4, 4, 1])).map(opened)
}

/// Writes an element of an own map and reads it back.
fn use_map() -> io::Result<()> {
    let map = map(2)?;
    let (key, mut value) = (0_u32, 7_u32);
    let mut attr = words(&[map.as_raw_fd().cast_unsigned()]);
    point(&mut attr, 2, (&raw const key).cast());
    point(&mut attr, 4, (&raw mut value).cast_const().cast());
    call(2, &mut attr)?;
    call(1, &mut attr).map(drop)
}

fn load(kind: u32) -> io::Result<OwnedFd> {
    let mut attr = words(&[kind, PROGRAM.len() as u32]);
    point(&mut attr, 2, PROGRAM.as_ptr().cast());
    point(&mut attr, 4, LICENSE.as_ptr());
    call(5, &mut attr).map(opened)
}

/// OBJ_PIN and OBJ_GET: the path, then the descriptor.
fn pin(object: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut attr = words(&[0, 0, object.as_raw_fd().cast_unsigned()]);
    point(&mut attr, 0, path.as_ptr().cast());
    call(6, &mut attr).map(drop)
}

fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let mut attr = [0; 32];
    point(&mut attr, 0, path.as_ptr().cast());
    call(7, &mut attr).map(opened)
}

const BPF_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// Loads a program for devices, and attaches it to the cgroup beside others.
fn attach_device(cgroup: &Path) -> io::Result<()> {
    let (directory, program) = (File::open(cgroup)?, load(CGROUP_DEVICE)?);
    let fd = |fd: i32| fd.cast_unsigned();
    let (target, program) = (fd(directory.as_raw_fd()), fd(program.as_raw_fd()));
    let mut attr = words(&[target, program, BPF_CGROUP_DEVICE, ALLOW_MULTI]);
    call(8, &mut attr)?;
    attr[3] = 0;
    call(9, &mut attr).map(drop)
}

/// Takes whatever there is off the cgroup.
fn detach_device(cgroup: &Path) -> io::Result<()> {
    let directory = File::open(cgroup)?;
    let target = directory.as_raw_fd().cast_unsigned();
    call(9, &mut words(&[target, 0, BPF_CGROUP_DEVICE])).map(drop)
}

fn query_device(cgroup: &Path) -> io::Result<()> {
    let directory = File::open(cgroup)?;
    let target = directory.as_raw_fd().cast_unsigned();
    call(16, &mut words(&[target, BPF_CGROUP_DEVICE])).map(drop)
}
