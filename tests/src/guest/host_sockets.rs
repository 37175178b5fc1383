//! Suite `host-sockets`: the commands of `docs/host-services.md`, in their order, on the real daemon; and
//! what a service unit's zone may use by default.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::actor::{act, listen, make_cgroup, receive};
use super::stage::{attach, setup};
use super::{Checks, Failure, binary};
use crate::daemon::{Daemon, Setup, put};

const PAGE: &str = include_str!("../../../docs/host-services.md");
const UNIT: &str = "system.slice/nginx.service";
const BUS: &str = "/run/dbus/system_bus_socket";
const NOTIFY: &str = "/run/systemd/notify";
const STDOUT: &str = "/run/systemd/journal/stdout";
const PRIVATE: &str = "/run/systemd/private";

/// Sets up host services and a unit, and goes through what the page says and what it promises.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let (unit, free, plain) = (
        make_cgroup(UNIT)?,
        make_cgroup("free")?,
        make_cgroup("plain")?,
    );
    for dir in ["/run/dbus", "/run/systemd/journal"] {
        fs::create_dir_all(dir)?;
    }
    let services = [
        listen(&free, BUS.as_ref())?,
        listen(&free, STDOUT.as_ref())?,
        listen(&free, PRIVATE.as_ref())?,
        receive(&free, NOTIFY.as_ref())?,
    ];
    // Its timer never comes: nobody notices in between that a cgroup is gone.
    let setup = setup(&["--reconcile-interval", "3600"])?;
    let daemon = setup.start()?;
    page(checks, &setup, &daemon, &unit)?;
    by_default(checks, &daemon, &unit, &plain)?;
    policy(checks, &daemon, &unit)?;
    let daemon = restarted(checks, &setup, daemon, &unit)?;
    started_again(checks, &setup, &daemon, &unit)?;
    refused(checks, &daemon)?;
    checks.that(
        "the journal, folded again, equals the running state",
        daemon.digest().is_ok(),
        "it does not",
    );
    drop(services);
    Ok(())
}

fn connects(checks: &mut Checks, claim: &str, cgroup: &Path, path: &str) {
    checks.allowed(claim, &act(cgroup, "connect", &[path.as_ref()]));
}

fn is_refused(checks: &mut Checks, claim: &str, cgroup: &Path, path: &str) {
    checks.denied(claim, &act(cgroup, "connect", &[path.as_ref()]));
}

/// Runs a line as an operator would.
fn shell(setup: &Setup, line: &str, cgroup: Option<&Path>) -> Result<(bool, String), Failure> {
    let cli = binary("syva-cli")?;
    let path: PathBuf = cli.parent().ok_or("no directory")?.to_owned();
    let join = cgroup.map_or_else(String::new, |cgroup| {
        format!("echo 0 >{}/cgroup.procs && ", cgroup.display())
    });
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{join}{line}")])
        .env("SYVA_SOCKET", setup.socket())
        .env("PATH", format!("{}:/bin:/sbin", path.display()))
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// Each command does what the page says.
fn page(checks: &mut Checks, setup: &Setup, daemon: &Daemon, unit: &Path) -> Result<(), Failure> {
    let block = PAGE.split("```").nth(1).ok_or("the page has no block")?;
    let mut ran = 0;
    for line in block.lines().skip(1) {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if line.is_empty() {
            continue;
        }
        if line.contains("host-sockets allow") || line.contains("comms allow") {
            is_refused(
                checks,
                &format!("before `{line}`, D-Bus is refused"),
                unit,
                BUS,
            );
        } else if line.contains("containers attach") {
            connects(checks, "a unit in no zone connects to D-Bus", unit, BUS);
        }
        let (done, said) = shell(setup, line, None)?;
        checks.that(line, done, &said);
        ran += 1;
        if line.contains(" allow ") {
            connects(checks, &format!("after `{line}`, it is not"), unit, BUS);
        } else if line.contains(" deny ") {
            is_refused(checks, &format!("after `{line}`, it is again"), unit, BUS);
        } else if line.contains(" list ") {
            let whole = said.contains(BUS) && said.contains(NOTIFY) && said.contains("unit");
            checks.that("the list shows both kinds", whole, &said);
        }
    }
    checks.equal("the page's commands were all run", &ran, &7);
    let events = daemon.done(&["events"])?;
    let told = events.json().to_string();
    for part in [
        "host-sockets allow web /run/dbus/system_bus_socket",
        "was not given this socket of the host",
        "comms allow web host",
    ] {
        checks.that(format!("an event says: {part}"), told.contains(part), &told);
    }
    Ok(())
}

fn by_default(
    checks: &mut Checks,
    daemon: &Daemon,
    unit: &Path,
    plain: &Path,
) -> Result<(), Failure> {
    let send = |from: &Path| act(from, "send", &[NOTIFY.as_ref()]);
    checks.allowed("the unit says that it is ready", &send(unit));
    connects(
        checks,
        "and connects its output to the journal",
        unit,
        STDOUT,
    );
    is_refused(
        checks,
        "but not to another socket of systemd's",
        unit,
        PRIVATE,
    );
    daemon.done(&["zones", "register", "other"])?;
    attach(daemon, "c1", "other", plain)?;
    checks.denied(
        "a zone without a unit is refused the notify socket",
        &send(plain),
    );
    is_refused(checks, "and the journal's", plain, STDOUT);
    daemon.done(&["host-sockets", "allow", "other", NOTIFY])?;
    checks.allowed("until it is given one of them", &send(plain));
    is_refused(checks, "which does not give it the other", plain, STDOUT);
    daemon.done(&["host-sockets", "deny", "other", NOTIFY])?;
    checks.denied("and is refused it again", &send(plain));
    let taken = daemon.cli(&["host-sockets", "deny", "web", NOTIFY])?;
    checks.that(
        "what a unit brings cannot be taken while it is there",
        taken.exit == 1 && taken.reason().contains("nginx.service"),
        format!("{taken:?}"),
    );
    daemon.done(&["containers", "detach", "nginx.service"])?;
    let sockets = daemon.done(&["host-sockets", "list"])?.json()["sockets"].clone();
    checks.equal("it goes with the unit", &sockets, &serde_json::json!([]));
    Ok(())
}

fn policy(checks: &mut Checks, daemon: &Daemon, unit: &Path) -> Result<(), Failure> {
    attach_unit(daemon)?;
    is_refused(checks, "D-Bus, not in the policy", unit, BUS);
    daemon.done(&["zones", "register", "web", "--host-socket", BUS])?;
    connects(checks, "D-Bus, in the policy", unit, BUS);
    Ok(())
}

fn attach_unit(daemon: &Daemon) -> Result<(), Failure> {
    let words = [
        "containers",
        "attach",
        "nginx.service",
        "web",
        "--unit",
        "nginx.service",
    ];
    daemon.done(&words).map(drop)
}

fn restarted(
    checks: &mut Checks,
    setup: &Setup,
    daemon: Daemon,
    unit: &Path,
) -> Result<Daemon, Failure> {
    daemon.terminate()?;
    let daemon = setup.start()?;
    connects(
        checks,
        "a restarted daemon has kept what was given",
        unit,
        BUS,
    );
    connects(checks, "and what the unit brought", unit, STDOUT);
    is_refused(checks, "and nothing else", unit, PRIVATE);
    Ok(daemon)
}

/// As ExecStartPre= does it: from inside, in a cgroup that is a new one at each start.
fn started_again(
    checks: &mut Checks,
    setup: &Setup,
    daemon: &Daemon,
    unit: &Path,
) -> Result<(), Failure> {
    for start in ["second", "third"] {
        fs::remove_dir(unit)?;
        make_cgroup(UNIT)?;
        connects(
            checks,
            &format!("before its {start} start is attached it is free"),
            unit,
            PRIVATE,
        );
        let line = "syva-cli containers attach nginx.service web --unit nginx.service";
        let (done, said) = shell(setup, line, Some(unit))?;
        checks.that(
            format!("its {start} start attaches itself, and is told so"),
            done && said.contains("may use"),
            &said,
        );
        is_refused(
            checks,
            &format!("its {start} start is in the zone"),
            unit,
            PRIVATE,
        );
        connects(checks, &format!("its {start} start logs"), unit, STDOUT);
    }
    let line = "syva-cli status";
    let (done, said) = shell(setup, line, Some(unit))?;
    checks.that("from inside nobody can ask the daemon", !done, &said);
    daemon.done(&["status"])?;
    Ok(())
}

fn refused(checks: &mut Checks, daemon: &Daemon) -> Result<(), Failure> {
    put(Path::new("/tmp/db/file"), "")?;
    daemon.done(&["zones", "register", "db", "--host-path", "/tmp/db"])?;
    for (zone, path, says) in [
        ("nobody", BUS, "no zone nobody"),
        ("web", "run/s", "neither absolute nor"),
        ("web", "/no/such/s", "its directory /no/such"),
        ("web", "/run/dbus", "is a directory"),
        ("web", "/proc/self/s", "lies on proc"),
        ("web", "/tmp/db/s", "claimed by zone db"),
    ] {
        let before = daemon.digest()?;
        let answer = daemon.cli(&["host-sockets", "allow", zone, path])?;
        checks.that(
            format!("{path} for zone {zone} is refused"),
            answer.exit == 1 && answer.reason().contains(says),
            format!("{answer:?}"),
        );
        checks.equal(
            format!("which changes nothing ({path})"),
            &daemon.digest()?,
            &before,
        );
    }
    daemon.done(&["host-sockets", "allow", "db", "/tmp/db/s"])?;
    Ok(())
}
