//! Processes that a zone has pulled into a cgroup of its own, when they are not moved back at once: there is no
//! daemon, they have nowhere to go, they fork. The cgroup is nobody's until none of them is in it.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::{Daemon, Setup, eventually};
use crate::guest::actor::{Outcome, act, begin, make_cgroup};
use crate::guest::stage::Stage;
use crate::guest::{Checks, Failure};

/// Where web pulls them to.
struct Trap<'a> {
    stage: &'a Stage,
    dir: PathBuf,
}

impl<'a> Trap<'a> {
    fn set(stage: &'a Stage, name: &str) -> Result<Trap<'a>, Failure> {
        let dir = stage.web.join(name);
        fs::create_dir(&dir)?;
        Ok(Trap { stage, dir })
    }

    fn opens(&self) -> Outcome {
        act(&self.dir, "open", &[&self.stage.own])
    }

    /// Pulls, and dies of it; the trap is nobody's then.
    fn pulls(&self, checks: &mut Checks, what: &str, pid: u32) {
        let pid = pid.to_string();
        let args = [&self.dir.join("cgroup.procs"), Path::new(&pid)];
        let outcome = act(&self.stage.web, "put", &args);
        checks.equal(format!("{what}: web is killed"), &outcome, &Outcome::Killed);
        self.is_nobody_s(checks, what);
    }

    fn is_nobody_s(&self, checks: &mut Checks, what: &str) {
        checks.denied(format!("{what}: the cgroup is nobody's"), &self.opens());
        let beside = act(&self.stage.web, "open", &[&self.stage.own]);
        checks.allowed(format!("{what}: web's other cgroups are web's"), &beside);
    }

    fn is_web_s(&self, checks: &mut Checks, what: &str) {
        let restored = eventually("the cgroup is web's again", || {
            Ok(self.opens() == Outcome::Done)
        });
        checks.check(format!("{what}: the cgroup is web's again"), restored);
    }

    fn processes(&self) -> Result<Vec<u32>, Failure> {
        processes(&self.dir)
    }
}

fn processes(cgroup: &Path) -> Result<Vec<u32>, Failure> {
    let inside = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    Ok(inside
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect())
}

fn signal(pid: u32, signal: Signal) -> Result<(), Failure> {
    let pid = Pid::from_raw(pid.cast_signed()).ok_or("no process")?;
    Ok(kill_process(pid, signal)?)
}

/// A daemon that compares often; it is ended, and the one that is left is handed back.
pub fn run(
    checks: &mut Checks,
    stage: &Stage,
    setup: &Setup,
    daemon: Daemon,
) -> Result<Daemon, Failure> {
    forks(checks, stage, &daemon)?;
    nowhere_to_go(checks, stage, &daemon)?;
    daemon.terminate()?;
    without_a_daemon(checks, stage, setup)
}

/// A shell that starts one program after the other, in its cgroup.
fn forking(home: &Path) -> Result<Child, Failure> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "while :; do sleep 0.2; done"]);
    shell.stdin(Stdio::null()).process_group(0);
    let child = shell.spawn()?;
    fs::write(home.join("cgroup.procs"), child.id().to_string())?;
    Ok(child)
}

fn forks(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let what = "a process that forks";
    let trap = Trap::set(stage, "forks")?;
    let home = make_cgroup("pods/forking")?;
    let mut shell = forking(&home)?;
    signal(daemon.pid(), Signal::STOP)?;
    trap.pulls(checks, what, shell.id());
    let forked = eventually("it forks where it was pulled to", || {
        Ok(trap.processes()?.len() > 1)
    });
    checks.check(format!("{what}: a child of it is in the cgroup"), forked);
    signal(daemon.pid(), Signal::CONT)?;
    let out = eventually("all of them are out", || Ok(trap.processes()?.is_empty()));
    checks.check(format!("{what}: it and its children are moved out"), out);
    let back = processes(&home)?.contains(&shell.id());
    checks.that(format!("{what}: it is where it was"), back, "it is not");
    trap.is_web_s(checks, what);
    shell.kill()?;
    shell.wait()?;
    eventually("its last child ends", || Ok(processes(&home)?.is_empty()))?;
    fs::remove_dir(home)?;
    fs::remove_dir(&trap.dir)?;
    Ok(())
}

fn reasons(daemon: &Daemon) -> Result<String, Failure> {
    let status = daemon.done(&["status"])?;
    Ok(status.json()["degraded_reasons"].to_string())
}

fn nowhere_to_go(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let what = "a process whose cgroup is gone";
    let trap = Trap::set(stage, "keeps")?;
    let home = make_cgroup("pods/alone")?;
    let foreign = begin(&home, "wait", &[])?;
    signal(daemon.pid(), Signal::STOP)?;
    trap.pulls(checks, what, foreign.pid());
    fs::remove_dir(&home)?;
    signal(daemon.pid(), Signal::CONT)?;
    let told = eventually("health tells of it", || {
        Ok(reasons(daemon)?.contains("cannot be moved back"))
    });
    checks.check(format!("{what}: health tells of it"), told);
    // Some comparisons later.
    thread::sleep(Duration::from_secs(4));
    trap.is_nobody_s(checks, &format!("{what}, compared"));
    let pid = foreign.pid().to_string();
    let signalled = act(&stage.web, "kill", &[Path::new(&pid), Path::new("10")]);
    checks.denied(format!("{what}: web does not signal it"), &signalled);
    drop(foreign);
    trap.is_web_s(checks, &format!("{what}, ended"));
    let well = eventually("health has no more of it", || {
        Ok(!reasons(daemon)?.contains("cannot be moved back"))
    });
    checks.check(format!("{what}: health has no more of it"), well);
    fs::remove_dir(&trap.dir)?;
    Ok(())
}

fn without_a_daemon(checks: &mut Checks, stage: &Stage, setup: &Setup) -> Result<Daemon, Failure> {
    let what = "pulled while there is no daemon";
    let trap = Trap::set(stage, "unwatched")?;
    let foreign = begin(&stage.free, "wait", &[])?;
    trap.pulls(checks, what, foreign.pid());
    let daemon = setup.start()?;
    let back = eventually("it is moved back", || {
        Ok(processes(&stage.free)?.contains(&foreign.pid()))
    });
    checks.check(format!("{what}: the next daemon moves it back"), back);
    trap.is_web_s(checks, what);
    fs::remove_dir(&trap.dir)?;
    Ok(daemon)
}
