//! Compiles the harness' own BPF program and generates its skeleton.
use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "bpf/deny_open.bpf.c";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR: run me through cargo")?);
    SkeletonBuilder::new()
        .source(SOURCE)
        .clang_args(["-Wall", "-Werror"])
        .build_and_generate(out.join("deny_open.skel.rs"))
        .with_context(|| {
            format!("compiling {SOURCE} with clang failed; `make setup` installs what it needs")
        })
}
