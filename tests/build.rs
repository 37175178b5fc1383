//! Compiles the harness' own BPF programs and generates their skeletons.
use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use libbpf_cargo::SkeletonBuilder;

const PROGRAMS: [&str; 3] = ["decide", "deny_open", "empty_open"];

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=bpf");
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR: run me through cargo")?);
    // Where syva-bpf has decide.h, and the header it generates from the model.
    let headers = ["DEP_SYVA_DECIDE_INCLUDE", "DEP_SYVA_DECIDE_GENERATED"].map(|variable| {
        println!("cargo:rerun-if-env-changed={variable}");
        let dir = env::var(variable).with_context(|| format!("{variable}: run me through cargo"));
        dir.inspect(|dir| println!("cargo:rerun-if-changed={dir}"))
            .map(|dir| format!("-I{dir}"))
    });
    let [decision, generated] = headers;
    let include = [decision?, generated?];
    for program in PROGRAMS {
        SkeletonBuilder::new()
            .source(format!("bpf/{program}.bpf.c"))
            .clang_args(
                ["-Wall", "-Werror"]
                    .into_iter()
                    .chain(include.iter().map(String::as_str)),
            )
            .build_and_generate(out.join(format!("{program}.skel.rs")))
            .with_context(|| {
                format!(
                    "compiling {program} with clang failed; `make setup` installs what it needs"
                )
            })?;
    }
    Ok(())
}
