//! Compiles the harness' own BPF programs and generates their skeletons.
use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use libbpf_cargo::SkeletonBuilder;

const PROGRAMS: [&str; 2] = ["deny_open", "empty_open"];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR: run me through cargo")?);
    for program in PROGRAMS {
        SkeletonBuilder::new()
            .source(format!("bpf/{program}.bpf.c"))
            .clang_args(["-Wall", "-Werror"])
            .build_and_generate(out.join(format!("{program}.skel.rs")))
            .with_context(|| {
                format!(
                    "compiling {program} with clang failed; `make setup` installs what it needs"
                )
            })?;
    }
    Ok(())
}
