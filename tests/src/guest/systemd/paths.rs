//! The unit has a mount namespace of its own; a claimed path is the host's all the same.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::node::CORE;
use super::unit;
use crate::daemon::{Setup, put};
use crate::guest::actor::act;
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Makes the files, before what lasts is listed.
pub fn prepare() -> Result<(), Failure> {
    for file in ["/srv/shown/file", "/srv/hidden/file", "/home/app/file"] {
        put(Path::new(file), "x")?;
    }
    Ok(())
}

/// Claims paths that mean something else in the unit's namespace.
pub fn of_the_host(checks: &mut Checks, stage: &Stage, core: &Setup) -> Result<(), Failure> {
    let pid = unit::main_pid(CORE)?;
    let inside = |path: &str| format!("/proc/{pid}/root{path}");
    checks.that(
        "in the unit's namespace /tmp is another directory",
        !Path::new(&inside("/tmp/db/secret")).exists(),
        "PrivateTmp= does nothing",
    );
    let (shown, bound) = (
        fs::metadata("/srv/shown")?,
        fs::metadata(inside("/srv/shown"))?,
    );
    checks.that(
        "and /srv/shown is another as well",
        shown.ino() != bound.ino(),
        "BindPaths= does nothing",
    );
    let hidden = fs::metadata(inside("/home/app/file"));
    checks.that(
        "and /home is out of sight",
        hidden.is_err(),
        format!("{hidden:?}"),
    );

    // /tmp/db was claimed when the state was made: kept_apart says that it is the host's.
    stage.kept_apart(checks, "with another /tmp in the unit");
    let web_opens = |path: &str| act(&stage.web, "open", &[path.as_ref()]);
    let db_opens = |path: &str| act(&stage.db, "open", &[path.as_ref()]);
    for path in ["/srv/shown", "/home/app"] {
        checks.allowed(
            format!("before, web opens a file in {path}"),
            &web_opens(&format!("{path}/file")),
        );
        core.done(&["host-paths", "register", "db", path, "--recursive"])?;
        let file = format!("{path}/file");
        checks.denied(
            format!("claimed, the host's {path} is denied to web"),
            &web_opens(&file),
        );
        checks.allowed(format!("and open to db: {path}"), &db_opens(&file));
    }
    checks.allowed(
        "what the unit sees in that place is not claimed",
        &web_opens("/srv/hidden/file"),
    );
    std::os::unix::fs::symlink("/tmp/db", "/srv/link")?;
    let answer = core.cli(&["host-paths", "register", "web", "/srv/link"])?;
    checks.that(
        "a symbolic link is followed where the host's leads: it is db's already",
        answer.exit == 1 && answer.reason().contains("/tmp/db"),
        format!("{answer:?}"),
    );
    fs::remove_file("/srv/link")?;
    Ok(())
}
