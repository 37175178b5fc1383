//! Suite `docs-operations`: the commands of docs/operations.md, in its order, on a node with systemd.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use super::docs::commands;
use super::systemd::node::{self, CORE};
use super::systemd::unit;
use super::{Checks, Failure};

const TEXT: &str = include_str!("../../../docs/operations.md");
const MAKEFILE: &str = include_str!("../../../Makefile");

/// The sections that have commands, in their order.
const SECTIONS: [&str; 11] = [
    "Install",
    "Look",
    "Try a policy before it refuses anything",
    "Change settings",
    "Restart, upgrade, stop",
    "Other capacities, another map layout",
    "Back up the journal",
    "When the port is in use",
    "When the journal is refused",
    "When the node is degraded",
    "Uninstall",
];

/// Runs every command, each section in the situation it is about.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    unit::systemctl(&["is-system-running", "--wait"])?;
    node::unpack()?;
    let mut port = None;
    let mut ran = 0;
    for section in SECTIONS {
        match section {
            "When the port is in use" => port = Some(take_port(checks)?),
            "When the journal is refused" => damage_journal(checks)?,
            _ => {}
        }
        for line in commands(TEXT, section)? {
            ran += 1;
            let output = perform(&line.command)?;
            let why = format!("{output:?}");
            // A degraded unit makes systemctl status fail; here it must not be.
            let as_told = output.status.code() == Some(line.exit);
            checks.that(format!("{section}: {}", line.command), as_told, why);
        }
        held(checks, section)?;
    }
    let written = TEXT.matches("```sh\n").count();
    let blocks = SECTIONS.iter().map(|_| 1).sum::<usize>();
    checks.equal(
        "no block of commands is in another section",
        &written,
        &blocks,
    );
    checks.that("commands were run", ran > 20, ran);
    drop(port);
    Ok(())
}

/// What a section's commands have brought about.
fn held(checks: &mut Checks, section: &str) -> Result<(), Failure> {
    if section == "Uninstall" {
        let state = unit::property(CORE, "LoadState")?;
        checks.equal(
            "uninstalled, there is no unit",
            &state.as_str(),
            &"not-found",
        );
        let left = [
            "/var/lib/syva",
            "/etc/default/syva-core",
            "/usr/local/bin/syva-core",
            "/sys/fs/bpf/syva",
        ];
        let left: Vec<_> = left
            .iter()
            .filter(|path| Path::new(path).exists())
            .collect();
        checks.equal("and nothing is left", &left, &Vec::new());
        return Ok(());
    }
    checks.that(
        format!("after {section:?} the unit is active"),
        unit::is_active(CORE)?,
        "no",
    );
    let core = node::installed();
    if section == "Install" {
        core.done(&["zones", "register", "web"])?;
    }
    let zones = core.done(&["zones", "list"])?.json()["zones"].clone();
    checks.equal(
        format!("and the zone made after the installation is there ({section})"),
        &zones[0]["name"],
        &"web".into(),
    );
    Ok(())
}

/// What the two targets of the Makefile run stands for them: a guest has no make.
fn perform(line: &str) -> Result<Output, Failure> {
    let purge = [("PURGE", "1")];
    match line {
        "make release" => Ok(Command::new("test")
            .args(["-x", "/opt/syva-test/syva-core"])
            .output()?),
        "make install" => target("install.sh", &[]),
        "make uninstall" => target("uninstall.sh", &[]),
        "make uninstall PURGE=1" => target("uninstall.sh", &purge),
        line => Ok(Command::new("/bin/sh").args(["-c", line]).output()?),
    }
}

fn target(script: &str, variables: &[(&str, &str)]) -> Result<Output, Failure> {
    match MAKEFILE.contains(&format!("scripts/{script}")) {
        true => node::script(script, variables),
        false => Err(format!("the Makefile does not run scripts/{script}").into()),
    }
}

/// Somebody else has the port when the daemon is to start.
fn take_port(checks: &mut Checks) -> Result<TcpListener, Failure> {
    unit::must(&["stop", CORE])?;
    let port = TcpListener::bind("127.0.0.1:9464")?;
    let started = unit::systemctl(&["start", CORE])?;
    checks.that(
        "with its port in use it does not start",
        !started.status.success(),
        "it did",
    );
    Ok(port)
}

/// The journal loses what was acknowledged: its store is gone, the anchor says that there was one.
fn damage_journal(checks: &mut Checks) -> Result<(), Failure> {
    unit::must(&["stop", CORE])?;
    for entry in fs::read_dir("/var/lib/syva")? {
        let path = entry?.path();
        if path.ends_with("anchor") || path.ends_with("lock") {
            continue;
        }
        match path.is_dir() {
            true => fs::remove_dir_all(path)?,
            false => fs::remove_file(path)?,
        }
    }
    unit::must(&["start", CORE])?;
    let core = node::installed();
    let status = core.done(&["status"])?.json()["degraded_reasons"].to_string();
    checks.that(
        "with a damaged journal it stands by, and says what is wrong",
        status.contains("was acknowledged"),
        &status,
    );
    Ok(())
}
