//! The generated skeleton of the program that does nothing, `bpf/empty_open.bpf.c`.

#[allow(
    unsafe_code,
    missing_docs,
    clippy::all,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    reason = "generated"
)]
#[rustfmt::skip]
mod skel {
    include!(concat!(env!("OUT_DIR"), "/empty_open.skel.rs"));
}

pub use skel::EmptyOpenSkelBuilder;
