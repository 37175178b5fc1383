//! The prober: an iterator over this process' descriptors says what the hooks will see of one.
#![allow(unsafe_code)]

use std::io::Read as _;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use libbpf_rs::{AsRawLibbpf as _, Iter, Link, ProgramMut, libbpf_sys as sys};
use syva_model::kernel::{KernelError, ObjectFacts, Prober};

use crate::map::{Map, Put};
use crate::pod::value_of;
use crate::skel::types::facts;
use crate::{error, tables};

/// Btrfs numbers the inodes of every subvolume anew, and the hooks cannot tell them apart yet.
const BTRFS: u64 = 0x9123_683e;

/// The iterator, and the map that tells it which descriptor is asked about.
#[derive(Debug)]
pub(crate) struct Probe {
    link: Link,
    /// The lock makes a question and its answer one.
    request: Mutex<Map<u32, u32>>,
}

impl Probe {
    pub(crate) fn new(
        program: &ProgramMut<'_>,
        request: Map<u32, u32>,
    ) -> Result<Self, KernelError> {
        // Since 6.1 the kernel visits only the process it is told; before, the program looks.
        let link = attach(program, std::process::id())
            .or_else(|_| program.attach())
            .map_err(|e| error::from_libbpf("attach iterator", "probe", &e))?;
        Ok(Probe {
            link,
            request: Mutex::new(request),
        })
    }

    /// All that the kernel says of a descriptor.
    pub(crate) fn facts(&self, fd: BorrowedFd<'_>) -> Result<facts, KernelError> {
        let number = fd.as_raw_fd();
        let on = || format!("descriptor {number}");
        let request = self.request.lock().unwrap_or_else(PoisonError::into_inner);
        request
            .put(&0, &number.cast_unsigned(), Put::Any)
            .map_err(|e| error::from_io("ask the kernel about", on(), &e))?;
        let mut answer = Vec::new();
        Iter::new(&self.link)
            .map_err(|e| error::from_libbpf("ask the kernel about", on(), &e))?
            .read_to_end(&mut answer)
            .map_err(|e| error::from_io("read the kernel's answer about", on(), &e))?;
        // A record a thread that has a descriptor table of its own.
        answer
            .get(..size_of::<facts>())
            .and_then(value_of)
            .ok_or_else(|| {
                error::here(
                    "ask the kernel about",
                    on(),
                    format!("it answered with {} bytes", answer.len()),
                    "",
                )
            })
    }
}

/// Attaches the iterator to one process' descriptors.
fn attach(program: &ProgramMut<'_>, pid: u32) -> libbpf_rs::Result<Link> {
    let mut info = sys::bpf_iter_link_info::default();
    info.task.pid = pid;
    let options = sys::bpf_iter_attach_opts {
        sz: size_of::<sys::bpf_iter_attach_opts>() as _,
        link_info: &raw mut info,
        link_info_len: size_of::<sys::bpf_iter_link_info>() as _,
        ..Default::default()
    };
    // SAFETY: the program is loaded, and the options live through the call.
    let link = unsafe {
        sys::bpf_program__attach_iter(program.as_libbpf_object().as_ptr(), &raw const options)
    };
    match NonNull::new(link) {
        // SAFETY: libbpf made it, and nobody else owns it.
        Some(link) => Ok(unsafe { Link::from_ptr(link) }),
        None => Err(std::io::Error::last_os_error().into()),
    }
}

/// The path from the file system's root, if the kernel could tell it.
fn place(facts: &facts) -> Option<String> {
    let length = usize::try_from(facts.place_length).ok()?;
    tables::path_from(facts.place.get(..length)?)
}

impl Prober for Probe {
    fn probe(&self, fd: BorrowedFd<'_>) -> Result<ObjectFacts, KernelError> {
        let facts = self.facts(fd)?;
        if facts.magic == BTRFS {
            return Err(error::here(
                "identify",
                format!("descriptor {}", fd.as_raw_fd()),
                "it lies on Btrfs, whose inode numbers repeat in every subvolume",
                "claim a path on another file system (ext4, XFS, tmpfs, overlayfs)",
            ));
        }
        Ok(ObjectFacts {
            key: tables::key_from(&facts.key),
            generation: facts.generation,
            fs_magic: facts.magic,
            place: place(&facts),
        })
    }
}
