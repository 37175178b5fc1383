//! A BPF map with its key's and value's types; errors keep the kernel's number.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr;

use libbpf_rs::libbpf_sys as sys;
use syva_model::kernel::KernelError;

use crate::error;
use crate::pod::{Pod, value_of, zeroed};

/// What an update does if the key is there, or is not (`linux/bpf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Creates or replaces.
    Any = 0,
    /// Creates, else EEXIST.
    New = 1,
    /// Replaces, else ENOENT.
    Existing = 2,
}

/// An open map.
#[derive(Debug)]
pub(crate) struct Map<K, V> {
    fd: OwnedFd,
    name: &'static str,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Map<K, V> {
    /// A handle of its own to an open map, whose BTF said that it holds these types.
    pub(crate) fn new(fd: BorrowedFd<'_>, name: &'static str) -> Result<Self, KernelError> {
        let fd = fd
            .try_clone_to_owned()
            .map_err(|e| error::from_io("duplicate the descriptor of map", name, &e))?;
        Ok(Map {
            fd,
            name,
            types: PhantomData,
        })
    }

    /// The map's name, for errors.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Writes one element.
    pub(crate) fn put(&self, key: &K, value: &V, put: Put) -> io::Result<()> {
        // SAFETY: both point to as many bytes as the map's key and value have.
        checked(unsafe {
            sys::bpf_map_update_elem(
                self.fd.as_raw_fd(),
                ptr::from_ref(key).cast(),
                ptr::from_ref(value).cast(),
                put as u64,
            )
        })
    }

    /// Reads one element.
    pub(crate) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value: V = zeroed();
        // SAFETY: both point to as many bytes as the map's key and value have.
        let code = unsafe {
            sys::bpf_map_lookup_elem(
                self.fd.as_raw_fd(),
                ptr::from_ref(key).cast(),
                ptr::from_mut(&mut value).cast(),
            )
        };
        found(checked(code)).map(|there| there.then_some(value))
    }

    /// Deletes one element; says whether it was there.
    pub(crate) fn delete(&self, key: &K) -> io::Result<bool> {
        // SAFETY: it points to as many bytes as the map's key has.
        let code =
            unsafe { sys::bpf_map_delete_elem(self.fd.as_raw_fd(), ptr::from_ref(key).cast()) };
        found(checked(code))
    }

    /// Reads one element of a per-CPU map: a value a possible CPU.
    pub(crate) fn get_percpu(&self, key: &K, cpus: usize) -> io::Result<Vec<V>> {
        // The kernel rounds each CPU's value up to eight bytes.
        let stride = size_of::<V>().next_multiple_of(8);
        let mut bytes = vec![0u8; stride * cpus];
        // SAFETY: the buffer has room for every possible CPU's rounded value.
        checked(unsafe {
            sys::bpf_map_lookup_elem(
                self.fd.as_raw_fd(),
                ptr::from_ref(key).cast(),
                bytes.as_mut_ptr().cast(),
            )
        })?;
        Ok(bytes
            .chunks_exact(stride)
            .filter_map(|chunk| value_of(&chunk[..size_of::<V>()]))
            .collect())
    }

    /// Reads every element of a hash, in batches of whole buckets: unlike a walk from key to key, it
    /// neither restarts nor repeats when elements come and go meanwhile.
    pub(crate) fn all(&self) -> io::Result<Vec<(K, V)>> {
        let mut room = 256usize;
        let mut rows = Vec::new();
        let (mut from, mut next) = (0u32, 0u32); // a hash's position is its bucket's number
        let mut first = true;
        loop {
            let mut keys = vec![zeroed::<K>(); room];
            let mut values = vec![zeroed::<V>(); room];
            let mut count = u32::try_from(room).unwrap_or(u32::MAX);
            let start = if first {
                ptr::null_mut()
            } else {
                ptr::from_mut(&mut from)
            };
            // SAFETY: the buffers have room for `count` keys and values, the positions for a bucket.
            let code = unsafe {
                sys::bpf_map_lookup_batch(
                    self.fd.as_raw_fd(),
                    start.cast(),
                    ptr::from_mut(&mut next).cast(),
                    keys.as_mut_ptr().cast(),
                    values.as_mut_ptr().cast(),
                    &raw mut count,
                    ptr::null(),
                )
            };
            let there = match checked(code) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) => {
                    room *= 2; // one bucket holds more
                    continue;
                }
                result => found(result)?,
            };
            rows.extend(keys.into_iter().zip(values).take(count as usize));
            if !there {
                return Ok(rows);
            }
            (from, first) = (next, false);
        }
    }
}

impl<K, V> AsFd for Map<K, V> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// libbpf returns 0, or the negated error number.
fn checked(code: c_int) -> io::Result<()> {
    if code < 0 {
        Err(io::Error::from_raw_os_error(-code))
    } else {
        Ok(())
    }
}

/// Tells "not there" from failing.
fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
