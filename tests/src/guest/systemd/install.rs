//! What the installation puts on the node, what systemd thinks of it, and that its removal leaves nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::node::{self, CORE};
use super::unit;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// The exposure that `systemd-analyze security` may find, of 100: what is left is BPF, tracing rights for
/// the host's paths, the network, and root.
const EXPOSURE: &str = "25";

/// Installs.
pub fn installed(checks: &mut Checks) -> Result<(), Failure> {
    let done = node::script("install.sh", &[])?;
    checks.that("it installs", done.status.success(), format!("{done:?}"));
    for file in [
        "/usr/local/bin/syva-core",
        "/usr/local/bin/syva-cli",
        "/usr/local/bin/syvactl",
        "/usr/local/lib/systemd/system/syva-core.service",
    ] {
        checks.that(format!("{file} is there"), Path::new(file).exists(), "no");
    }
    let state = unit::property(CORE, "LoadState")?;
    checks.equal("systemd knows the unit", &state.as_str(), &"loaded");

    let verified = Command::new("systemd-analyze")
        .args(["verify", CORE])
        .output()?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let said: Vec<&str> = said.lines().filter(|line| line.contains("syva")).collect();
    checks.that(
        "systemd-analyze verify has nothing to say of it",
        verified.status.success() && said.is_empty(),
        format!("{}: {said:?}", verified.status),
    );
    let mut analyze = Command::new("systemd-analyze");
    let secured = analyze
        .args(["security", "--no-pager", "--threshold", EXPOSURE, CORE])
        .output()?;
    let table = String::from_utf8_lossy(&secured.stdout).into_owned();
    let verdict = table.lines().find(|line| line.contains("Overall exposure"));
    checks.note(
        verdict
            .unwrap_or("systemd-analyze security says no verdict")
            .trim(),
    );
    checks.that(
        format!("its exposure is at most {EXPOSURE} of 100"),
        secured.status.success(),
        table
            .lines()
            .filter(|line| line.starts_with('✗'))
            .collect::<Vec<_>>()
            .join("; "),
    );
    Ok(())
}

/// Removes it in two steps: without the history, and with it.
pub fn removed(
    checks: &mut Checks,
    stage: &Stage,
    before: &BTreeSet<PathBuf>,
) -> Result<(), Failure> {
    unit::must(&["enable", "--quiet", "--now", CORE])?;
    unit::plain(CORE)?;
    // docs/operations.md uninstalls with the daemon running; here it is away.
    unit::must(&["stop", CORE])?;
    stage.kept_apart(checks, "with the daemon away");
    let done = node::script("uninstall.sh", &[])?;
    checks.that("it uninstalls", done.status.success(), format!("{done:?}"));
    checks.allowed("which ends enforcement", &stage.tries(&stage.web));
    let pins = Path::new("/sys/fs/bpf/syva");
    checks.that("and nothing is pinned", !pins.exists(), pins.display());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    checks.that(
        "and says that the journal is left",
        said.contains("left /var/lib/syva"),
        &said,
    );
    let left = |checks: &mut Checks, claim: &str, expected: &[&str]| -> Result<(), Failure> {
        let after = node::files()?;
        let more: Vec<_> = after.difference(before).collect();
        let strange: Vec<_> = more
            .iter()
            .filter(|path| !expected.iter().any(|expected| path.starts_with(expected)))
            .collect();
        let gone: Vec<_> = before.difference(&after).collect();
        let all = expected
            .iter()
            .all(|expected| after.contains(Path::new(expected)));
        checks.that(
            claim,
            strange.is_empty() && gone.is_empty() && all,
            format!("left: {strange:?}; gone: {gone:?}"),
        );
        Ok(())
    };
    left(
        checks,
        "nothing but the journal is left",
        &["/var/lib/syva"],
    )?;
    let state = unit::property(CORE, "LoadState")?;
    checks.equal("systemd knows no such unit", &state.as_str(), &"not-found");
    let done = node::script("uninstall.sh", &[("PURGE", "1")])?;
    checks.that("it purges", done.status.success(), format!("{done:?}"));
    left(checks, "then nothing at all is left", &[])?;
    checks.that(
        "no socket either",
        !Path::new("/run/syva").exists(),
        "/run/syva is there",
    );
    Ok(())
}
