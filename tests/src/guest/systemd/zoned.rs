//! Suite `zoned-service`: a systemd service is put into a zone by the drop-in of docs/host-services.md. It
//! starts, logs to journald and stops as any other, and D-Bus is refused to it until it is given.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use super::node::{self, CORE, denials};
use super::unit;
use crate::daemon::{Setup, put};
use crate::guest::actor::{act, make_cgroup};
use crate::guest::{Checks, Failure};

const PAGE: &str = include_str!("../../../../docs/host-services.md");
const SERVICE: &str = "zoned.service";
const BUS: &str = "/run/dbus/system_bus_socket";
const STDOUT: &str = "/run/systemd/journal/stdout";
const KEY: &str = "/srv/db/key";
const OWN: &str = "/srv/web/own";

/// It says that it is ready and logs, both as a stream and as a datagram, and then waits.
const TEXT: &str = "[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh -c 'echo said-on-stdout; echo said-by-syslog | logger --tag zoned; \
systemd-notify --ready --status=up; exec sleep infinity'
";

/// Starts the node and the service, and goes through its life.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    unit::systemctl(&["is-system-running", "--wait"])?;
    node::unpack()?;
    let installed = node::script("install.sh", &[])?;
    checks.that(
        "the node installs",
        installed.status.success(),
        format!("{installed:?}"),
    );
    unit::must(&["start", CORE])?;
    let core = node::installed();
    put(Path::new(KEY), "key")?;
    put(Path::new(OWN), "own")?;
    core.done(&["zones", "register", "web", "--host-path", "/srv/web"])?;
    core.done(&["zones", "register", "db", "--host-path", "/srv/db"])?;
    unit::make(SERVICE, TEXT)?;
    unit::drop_in(SERVICE, "syva", &drop_in_of_the_page()?)?;

    let before = denials(&core)?;
    starts(checks, &core)?;
    checks.equal("none of that was denied", &denials(&core)?, &before);
    confined(checks)?;
    bus(checks, &core)?;
    without_defaults(checks, &core)?;
    stops(checks, &core)?;
    // In another cgroup.
    starts(checks, &core)?;
    confined(checks)?;
    let before = denials(&core)?;
    stops(checks, &core)?;
    checks.equal("nor was stopping denied", &denials(&core)?, &before);
    Ok(())
}

/// The lines that the page shows, for this service.
fn drop_in_of_the_page() -> Result<String, Failure> {
    let lines = PAGE.lines().filter_map(|line| line.strip_prefix("    "));
    let lines: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    match lines.iter().any(|line| line.starts_with("ExecStartPre=+")) {
        true => Ok(lines.join("\n") + "\n"),
        false => Err("the page shows no drop-in".into()),
    }
}

fn starts(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    let started = unit::systemctl(&["start", SERVICE])?;
    // Of Type=notify: it has said that it is ready.
    checks.that(
        "the service starts and says that it is ready",
        started.status.success() && unit::is_active(SERVICE)?,
        format!("{started:?}; {}", unit::log(SERVICE)?),
    );
    checks.equal(
        "its status text has come too",
        &unit::property(SERVICE, "StatusText")?.as_str(),
        &"up",
    );
    // journald learns the unit from the sender's process, and logger(1) may have ended by then.
    for (said, by) in [
        ("said-on-stdout", ["--unit", SERVICE]),
        ("said-by-syslog", ["--identifier", "zoned"]),
    ] {
        let heard = unit::eventually(said, || Ok(logged(&by)?.contains(said)));
        checks.check(
            format!("journald has what it {said}"),
            heard.map_err(|e| e.to_string()),
        );
    }
    let containers = core.done(&["containers", "list"])?.json()["containers"].clone();
    checks.equal("it is in the zone", &containers[0]["zone"], &"web".into());
    checks.equal(
        "under the unit's name",
        &containers[0]["container_id"],
        &SERVICE.into(),
    );
    Ok(())
}

/// What journald has of somebody in this boot.
fn logged(by: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new("journalctl");
    command
        .args(["--boot", "--no-pager", "--output", "cat"])
        .args(by);
    let output = command.output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn confined(checks: &mut Checks) -> Result<(), Failure> {
    let cgroup = unit::cgroup(SERVICE)?;
    let open = |path: &str| act(&cgroup, "open", &[path.as_ref()]);
    checks.denied("db's file is denied to it", &open(KEY));
    checks.allowed("its zone's own is not", &open(OWN));
    Ok(())
}

/// D-Bus is a socket of the host's that a unit does not get by default.
fn bus(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    let cgroup = unit::cgroup(SERVICE)?;
    let connect = |path: &str| act(&cgroup, "connect", &[path.as_ref()]);
    checks.denied("D-Bus is refused to it", &connect(BUS));
    checks.allowed("journald is not", &connect(STDOUT));
    let remedy = format!("host-sockets allow web {BUS}");
    let events = core.done(&["events"])?;
    checks.that(
        "the event names the socket and what would open it",
        events.lines.iter().any(|event| {
            event["path"] == BUS && event["possible_causes"].to_string().contains(&remedy)
        }),
        format!("{:?}", events.lines),
    );
    core.done(&["host-sockets", "allow", "web", BUS])?;
    checks.allowed("given, D-Bus is not refused", &connect(BUS));
    core.done(&["host-sockets", "deny", "web", BUS])?;
    checks.denied("taken away, it is again", &connect(BUS));
    Ok(())
}

/// A zone without a unit has no defaults.
fn without_defaults(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    let cgroup = make_cgroup("bare")?;
    core.done(&["zones", "register", "bare"])?;
    let id = fs::metadata(&cgroup)?.ino().to_string();
    core.done(&["containers", "attach", "bare", "bare", "--cgroup-id", &id])?;
    let connect = || act(&cgroup, "connect", &[STDOUT.as_ref()]);
    checks.denied("a zone without a unit is refused journald", &connect());
    core.done(&["host-sockets", "allow", "bare", STDOUT])?;
    checks.allowed("until it is given", &connect());
    core.done(&["containers", "detach", "bare"])?;
    Ok(())
}

fn stops(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    let stopped = unit::systemctl(&["stop", SERVICE])?;
    let result = unit::property(SERVICE, "Result")?;
    checks.that(
        "the service stops cleanly",
        stopped.status.success() && result == "success",
        format!("{stopped:?}, {result}; {}", unit::log(SERVICE)?),
    );
    let gone = unit::eventually("its membership goes with its cgroup", || {
        let listed = core.done(&["containers", "list"])?;
        Ok(listed.json()["containers"]
            .as_array()
            .is_some_and(Vec::is_empty))
    });
    checks.check(
        "its membership goes with it",
        gone.map_err(|e| e.to_string()),
    );
    Ok(())
}
