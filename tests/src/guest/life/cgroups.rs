//! Attaching labels what is and will be below; detaching takes it back; a cgroup that goes is no
//! member any more.

use std::fs;
use std::path::Path;

use crate::daemon::{Daemon, eventually};
use crate::guest::actor::{act, make_cgroup};
use crate::guest::stage::{Stage, attach};
use crate::guest::{Checks, Failure};

/// What would take the host or the engine itself into a zone.
pub fn refused(checks: &mut Checks, daemon: &Daemon) -> Result<(), Failure> {
    for (cgroup, says) in [
        ("/sys/fs/cgroup", "root cgroup"),
        ("/sys/fs/cgroup/system/syva", "the daemon itself is in it"),
        ("/sys/fs/cgroup/system", "the daemon itself is in it"),
    ] {
        let answer = attach(daemon, "c-bad", "web", Path::new(cgroup))?;
        checks.that(
            format!("{cgroup} cannot be attached"),
            answer.exit == 1 && answer.reason().contains(says),
            format!("{answer:?}"),
        );
    }
    let beside = make_cgroup("system/other")?;
    let answer = attach(daemon, "c-beside", "web", &beside)?;
    checks.equal("a cgroup beside the daemon's can", &answer.exit, &0);
    daemon.done(&["containers", "detach", "c-beside"])?;
    Ok(())
}

/// Cgroups that were there before, that came later, and the attached one itself.
pub fn nested(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let before = make_cgroup("nest/app/inner")?;
    let root = make_cgroup("nest")?;
    let beside = make_cgroup("nested-not")?;
    checks.allowed(
        "before attaching, a nested cgroup opens it",
        &stage.tries(&before),
    );
    let answer = attach(daemon, "c-nest", "web", &root)?;
    checks.equal("a cgroup with cgroups below is attached", &answer.exit, &0);
    let late = make_cgroup("nest/app/late/inner")?;
    for (cgroup, which) in [
        (&root, "the attached cgroup"),
        (&before, "one that was below it"),
        (&late, "one that was made below it later"),
    ] {
        checks.denied(format!("{which} is denied"), &stage.tries(cgroup));
        checks.allowed(
            format!("{which} opens its zone's own"),
            &act(cgroup, "open", &[&stage.own]),
        );
    }
    checks.allowed("one beside it is not denied", &stage.tries(&beside));
    let held = attach(daemon, "c-nest-2", "db", &late)?;
    checks.equal("one below it can be another zone's", &held.exit, &0);
    checks.allowed("and is then that zone's", &stage.tries(&late));
    daemon.done(&["containers", "detach", "c-nest-2"])?;
    checks.denied(
        "detached, it is again what is above it",
        &stage.tries(&late),
    );
    daemon.done(&["containers", "detach", "c-nest"])?;
    for cgroup in [&root, &before, &late] {
        checks.allowed(
            format!("detached, {} opens it", cgroup.display()),
            &stage.tries(cgroup),
        );
    }
    Ok(())
}

/// A container's cgroup is removed without a word.
pub fn gone(checks: &mut Checks, daemon: &Daemon) -> Result<(), Failure> {
    let short = make_cgroup("short")?;
    attach(daemon, "c-short", "web", &short)?;
    let containers = || {
        let listed = daemon.done(&["containers", "list"])?.json()["containers"].clone();
        let listed = listed.as_array().ok_or("no list")?.iter();
        let names = listed.map(|row| row["container_id"].as_str().unwrap_or_default().to_owned());
        Ok::<Vec<_>, Failure>(names.collect())
    };
    checks.equal(
        "it is a member while its cgroup is there",
        &containers()?.len(),
        &3,
    );
    fs::remove_dir(&short)?;
    eventually("the member goes", || {
        Ok(!containers()?.contains(&"c-short".to_owned()))
    })?;
    checks.equal(
        "the others stay",
        &containers()?,
        &vec!["c-db".to_owned(), "c-web".to_owned()],
    );
    let entries = daemon.done(&["journal", "inspect", "--kind", "cgroup_gone"])?;
    checks.equal("that is one entry of the journal", &entries.lines.len(), &1);
    let by = &entries.json()["peer"]["adapter"];
    checks.equal("made by the daemon itself", by, &"syva-core".into());
    let status = daemon.done(&["status"])?;
    checks.equal("and no drift", &status.json()["drift_repaired"], &0.into());
    Ok(())
}
