//! The generated skeleton: the object's bytes, its programs and maps by name, and its types.
#![allow(unsafe_code)]

#[allow(
    missing_docs,
    clippy::all,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated"
)]
#[rustfmt::skip]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/syva.skel.rs"));
}

pub(crate) use generated::{OpenSyvaSkel, SyvaSkel, SyvaSkelBuilder, types};

/// Identifies the object: the first eight bytes of its SHA-256.
pub(crate) const BUILD: u64 = include!(concat!(env!("OUT_DIR"), "/build_id.rs"));
