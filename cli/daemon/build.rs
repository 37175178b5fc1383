//! Learns which commit this is, for `syva_core_build_info`. Outside a checkout it is `unknown`.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SYVA_GIT_SHA");
    // The log of HEAD grows with every commit and every switch of branches.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    let sha = std::env::var("SYVA_GIT_SHA").ok();
    let sha = sha.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!(
        "cargo:rustc-env=SYVA_GIT_SHA={}",
        sha.as_deref().unwrap_or("unknown")
    );
}
