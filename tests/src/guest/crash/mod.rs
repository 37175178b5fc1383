//! Suite `crash`: the daemon dies between the journal and the maps; started again, the kernel enforces
//! what the journal says, and nothing else.

pub mod cycles;

use super::stage::{Stage, attach, setup};
use super::{Checks, Failure, binary};

/// Where it dies while it attaches `web`'s cgroup: by then the command is in the journal.
const POINTS: [&str; 2] = ["writer-before-apply", "writer-before-reply"];

/// Dies at each point, and once by SIGKILL.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let stage = Stage::build()?;
    let setup = setup(&["--reconcile-interval", "1"])?;
    let failing = setup.clone().program(binary("syva-core-failpoints")?);

    // With nothing in the journal yet no step is taken at the start, but for the first of the command.
    setup.start()?.terminate()?;
    let armed = failing
        .clone()
        .variable("FAILPOINTS", "map-before-write=return");
    let mut daemon = armed.start()?;
    let words = ["zones", "register", "db", "--host-path", "/tmp/db"];
    checks.equal(
        "it dies before the first map write",
        &daemon.cli(&words)?.exit,
        &3,
    );
    daemon.ended()?;
    let daemon = setup.start()?;
    let paths = daemon.done(&["host-paths", "list"])?;
    checks.equal(
        "the command is in the journal wholly",
        &paths.json()["paths"][0]["path"],
        &"/tmp/db".into(),
    );
    stage.register(&daemon)?;
    stage.attach(&daemon)?;
    stage.kept_apart(checks, "the maps hold it");

    let mut daemon = daemon;
    for point in POINTS {
        daemon.done(&["containers", "detach", "c-web"])?;
        checks.allowed("detached, web opens db's file", &stage.tries(&stage.web));
        daemon.terminate()?;
        let armed = failing
            .clone()
            .variable("FAILPOINTS", &format!("{point}=return"));
        daemon = armed.start()?;
        let answer = attach(&daemon, "c-web", "web", &stage.web)?;
        checks.equal(
            format!("{point}: it dies while it attaches"),
            &answer.exit,
            &3,
        );
        daemon.ended()?;
        daemon = setup.start()?;
        stage.kept_apart(checks, &format!("{point}: started again"));
        let status = daemon.done(&["status"])?;
        let (applied, journaled) = (&status.json()["applied_seq"], &status.json()["journal_seq"]);
        checks.equal(
            format!("{point}: the maps hold all of it"),
            applied,
            journaled,
        );
    }

    let before = daemon.digest()?;
    daemon.kill()?;
    let daemon = setup.start()?;
    checks.equal("SIGKILL loses nothing", &daemon.digest()?, &before);
    stage.kept_apart(checks, "killed and started again");
    Ok(())
}
