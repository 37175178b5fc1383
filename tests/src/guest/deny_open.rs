//! The generated skeleton of the harness' own program, `bpf/deny_open.bpf.c`.

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
    include!(concat!(env!("OUT_DIR"), "/deny_open.skel.rs"));
}

pub use skel::DenyOpenSkelBuilder;
