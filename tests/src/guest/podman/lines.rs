//! What two containers may and may not do to each other, a line each.

use std::process::Command;

use rustix::io::Errno;
use syva_model::hook::Hook;

use super::container::{Container, IMAGE, podman};
use super::pods::Pods;
use crate::guest::Failure;
use crate::guest::actor::Outcome;
use crate::guest::verify::contract::{Line, block, block_as, pass};

/// SIGCONT: it does nothing to a task that runs.
const HARMLESS: &str = "18";

/// A container that lives and dies below a cgroup that is in a zone before it is there.
const BORN: &str = "born";

/// The whole contract.
pub fn all() -> Vec<Line<Pods>> {
    let mut lines = files();
    lines.extend(sockets_and_processes());
    lines.extend(roots());
    lines.extend(executed());
    lines.extend(pair());
    lines.extend(life());
    lines.extend(end_of_life());
    lines
}

fn files() -> Vec<Line<Pods>> {
    let hook = Hook::FileOpen;
    let open = |by: &Container, path: &str| Ok(by.does(&["open", path]));
    vec![
        pass(
            "own-file-open",
            "web opens its volume's file",
            move |p: &Pods| open(&p.web, "/srv/web/secret"),
        ),
        block(
            hook,
            "other-zone-file-open",
            "web opens db's volume's file",
            move |p: &Pods| open(&p.web, "/srv/db/secret"),
        ),
        pass(
            "own-file-open-back",
            "db opens its volume's file",
            move |p: &Pods| open(&p.db, "/srv/db/secret"),
        ),
        block(
            hook,
            "other-zone-file-open-back",
            "db opens web's volume's file",
            move |p: &Pods| open(&p.db, "/srv/web/secret"),
        ),
        pass(
            "unclaimed-file-open",
            "web opens a shared file that nobody has claimed",
            move |p: &Pods| open(&p.web, "/srv/open/file"),
        ),
        pass(
            "own-file-create",
            "db makes a file in its volume",
            |p: &Pods| Ok(p.db.does(&["create", "/srv/db/later"])),
        ),
        block(
            hook,
            "other-zone-later-file-open",
            "web opens the file that db has made",
            move |p: &Pods| open(&p.web, "/srv/db/later"),
        ),
        block(
            hook,
            "other-zone-directory-open",
            "web lists db's volume",
            move |p: &Pods| open(&p.web, "/srv/db"),
        ),
        pass("host-file-open", "the host opens db's file", |_: &Pods| {
            Ok(host("cat /srv/db/secret"))
        }),
    ]
}

fn sockets_and_processes() -> Vec<Line<Pods>> {
    let connect =
        |by: &Container, to: &str| Ok(by.does(&["connect", &format!("/srv/open/{to}.sock")]));
    let kill = |by: &Container, pid: &str| Ok(by.does(&["kill", pid, HARMLESS]));
    let read = |by: &Container, pid: &str| Ok(by.does(&["readlink", &format!("/proc/{pid}/exe")]));
    vec![
        pass(
            "own-socket-connect",
            "web connects to its own socket",
            move |p: &Pods| connect(&p.web, "web"),
        ),
        block(
            Hook::UnixStreamConnect,
            "other-zone-socket-connect",
            "web connects to db's socket",
            move |p: &Pods| connect(&p.web, "db"),
        ),
        pass(
            "own-socket-connect-back",
            "db connects to its own socket",
            move |p: &Pods| connect(&p.db, "db"),
        ),
        pass(
            "own-process-kill",
            "web signals its own process",
            move |p: &Pods| kill(&p.web, &p.web_pid),
        ),
        block(
            Hook::TaskKill,
            "other-zone-process-kill",
            "web signals db's process",
            move |p: &Pods| kill(&p.web, &p.db_pid),
        ),
        pass(
            "own-process-kill-back",
            "db signals its own process",
            move |p: &Pods| kill(&p.db, &p.db_pid),
        ),
        pass(
            "own-process-read",
            "web reads about its own process",
            move |p: &Pods| read(&p.web, &p.web_pid),
        ),
        block_as(
            Hook::PtraceAccessCheck,
            Errno::ACCESS,
            "other-zone-process-read",
            "web reads about db's process",
            move |p: &Pods| read(&p.web, &p.db_pid),
        ),
        pass(
            "own-process-read-back",
            "db reads about its own process",
            move |p: &Pods| read(&p.db, &p.db_pid),
        ),
    ]
}

/// Both roots lie on a layer that zone db has claimed.
fn roots() -> Vec<Line<Pods>> {
    let root = |by: &Container, action: &str, path: &str| Ok(by.does(&[action, path]));
    vec![
        pass(
            "shared-layer-file-open",
            "web opens a file of its image",
            move |p: &Pods| root(&p.web, "open", "/bin/sh"),
        ),
        pass(
            "shared-layer-directory-open",
            "web lists a directory of its image",
            move |p: &Pods| root(&p.web, "open", "/bin"),
        ),
        pass(
            "shared-layer-exec",
            "web executes a program of its image",
            |p: &Pods| Ok(p.web.does(&["exec", "/bin/sh", "-c", ":"])),
        ),
        pass(
            "shared-layer-copy-up",
            "web writes to a file of its image",
            move |p: &Pods| root(&p.web, "write", "/bin/sh"),
        ),
        block_as(
            Hook::PtraceAccessCheck,
            Errno::ACCESS,
            "other-zone-root-open",
            "web opens db's root through /proc",
            |p: &Pods| {
                Ok(p.web
                    .does(&["open", &format!("/proc/{}/root/bin/sh", p.db_pid)]))
            },
        ),
        pass(
            "own-root-open",
            "web opens its own root through /proc",
            |p: &Pods| {
                Ok(p.web
                    .does(&["open", &format!("/proc/{}/root/bin/sh", p.web_pid)]))
            },
        ),
    ]
}

/// What podman puts into a container afterwards is in its zone.
fn executed() -> Vec<Line<Pods>> {
    vec![
        pass(
            "exec-own-file-open",
            "podman exec into web opens web's file",
            |p: &Pods| Ok(p.web.exec(&["open", "/srv/web/secret"])),
        ),
        block(
            Hook::FileOpen,
            "exec-other-zone-file-open",
            "podman exec into web opens db's file",
            |p: &Pods| Ok(p.web.exec(&["open", "/srv/db/secret"])),
        ),
        pass(
            "exec-back-own-file-open",
            "podman exec into db opens db's file",
            |p: &Pods| Ok(p.db.exec(&["open", "/srv/db/secret"])),
        ),
        block(
            Hook::FileOpen,
            "exec-back-other-zone-file-open",
            "podman exec into db opens web's file",
            |p: &Pods| Ok(p.db.exec(&["open", "/srv/web/secret"])),
        ),
    ]
}

/// The hook that is asked, a name for it, and how it is done.
type Crossing = (Hook, &'static str, fn(&Pods) -> Outcome);

/// What web does to db.
fn across() -> [Crossing; 3] {
    [
        (Hook::FileOpen, "file-open", |p| {
            p.web.does(&["open", "/srv/db/secret"])
        }),
        (Hook::UnixStreamConnect, "socket-connect", |p| {
            p.web.does(&["connect", "/srv/open/db.sock"])
        }),
        (Hook::TaskKill, "process-kill", |p| {
            p.web.does(&["kill", &p.db_pid, HARMLESS])
        }),
    ]
}

/// The same operations succeed once the pair is allowed, and no longer once it is closed.
fn pair() -> Vec<Line<Pods>> {
    let after = |p: &Pods, verb: &str, attempt: fn(&Pods) -> Outcome| -> Result<Outcome, Failure> {
        p.host.daemon.done(&["comms", verb, "web", "db"])?;
        Ok(attempt(p))
    };
    let mut lines = Vec::new();
    for (_, name, attempt) in across() {
        let what = format!("{name} by web at db's, the pair allowed");
        lines.push(pass(format!("pair-{name}"), what, move |p: &Pods| {
            after(p, "allow", attempt)
        }));
    }
    for (hook, name, attempt) in across() {
        let what = format!("{name} by web at db's, the pair closed again");
        lines.push(block(
            hook,
            format!("closed-pair-{name}"),
            what,
            move |p: &Pods| after(p, "deny", attempt),
        ));
    }
    lines
}

/// An ordinary life, all of it inside a zone: the cgroup above it is attached before it is made.
fn life() -> Vec<Line<Pods>> {
    let run = |args: &'static [&'static str]| move |_: &Pods| Ok(done(podman(args)));
    vec![
        pass(
            "life-run",
            "podman runs a container below a cgroup of zone web",
            run_born,
        ),
        pass("life-logs", "podman logs shows what it said", |_: &Pods| {
            Ok(match podman(&["logs", BORN]) {
                Ok(said) if said == "started" => Outcome::Done,
                other => Outcome::Broken(format!("{other:?}")),
            })
        }),
        pass(
            "life-exec",
            "podman exec lists its processes",
            run(&["exec", BORN, "/bin/sh", "-c", "ps"]),
        ),
        block(
            Hook::FileOpen,
            "life-other-zone-file-open",
            "it was in zone web from its birth: it opens db's file",
            |_: &Pods| {
                let status = Command::new("podman")
                    .args([
                        "exec",
                        BORN,
                        "/bin/syva-guest",
                        "do",
                        "open",
                        "/srv/db/secret",
                    ])
                    .status();
                Ok(crate::guest::actor::outcome(
                    status,
                    std::path::Path::new(BORN),
                    "open",
                ))
            },
        ),
    ]
}

/// Attaches the cgroup above it, and runs it.
fn run_born(p: &Pods) -> Result<Outcome, Failure> {
    let above = crate::guest::actor::make_cgroup("zoned")?;
    let id = crate::guest::stage::id(&above)?;
    let answer = p.host.attach("above", "web", &id)?;
    if answer.exit != 0 {
        return Err(format!("attaching /zoned: {answer:?}").into());
    }
    let script = "echo started; trap exit TERM; while :; do sleep 1; done";
    let args = [
        "--cgroup-manager=cgroupfs",
        "run",
        "--detach",
        "--network=none",
        "--cgroup-parent=/zoned",
        "--volume=/srv:/srv",
        "--name",
        BORN,
        IMAGE,
        "/bin/sh",
        "-c",
        script,
    ];
    Ok(done(podman(&args)))
}

/// … and its end, twice.
fn end_of_life() -> Vec<Line<Pods>> {
    let run = |args: &'static [&'static str]| move |_: &Pods| Ok(done(podman(args)));
    vec![
        pass(
            "life-stop",
            "podman stops it",
            run(&["stop", "--time=5", BORN]),
        ),
        pass(
            "life-start",
            "podman starts it again",
            run(&["start", BORN]),
        ),
        pass("life-kill", "podman kills it", run(&["kill", BORN])),
        pass(
            "life-rm",
            "podman removes it, and its cgroup goes",
            |p: &Pods| {
                podman(&["rm", "--force", BORN])?;
                p.host.daemon.done(&["containers", "detach", "above"])?;
                Ok(done(
                    std::fs::remove_dir("/sys/fs/cgroup/zoned").map_err(Failure::from),
                ))
            },
        ),
    ]
}

fn done<T>(result: Result<T, Failure>) -> Outcome {
    match result {
        Ok(_) => Outcome::Done,
        Err(failure) => Outcome::Broken(failure.to_string()),
    }
}

fn host(script: &str) -> Outcome {
    let status = Command::new("sh").args(["-c", script]).status();
    crate::guest::actor::outcome(status, std::path::Path::new("the host"), script)
}
