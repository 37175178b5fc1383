//! Does one thing from inside a cgroup, in a process of its own, and reports the kernel's answer.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::raw::{self, Lease};
use super::{
    Failure, changing, engine, file_systems, keys, mounting, mutating, queues, signalling, sockets,
    sysv, tracer,
};

/// The kernel's answer to an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// It was refused with this error number.
    Refused(i32),
    /// The actor was killed by SIGKILL.
    Killed,
    /// The actor itself did not work: why.
    Broken(String),
}

/// Exit statuses above every error number.
const CANNOT_JOIN: i32 = 240;
const NOT_AN_ACTION: i32 = 241;

/// Makes a cgroup (with those above it) and returns its folder.
pub fn make_cgroup(name: &str) -> Result<PathBuf, Failure> {
    let dir = Path::new("/sys/fs/cgroup").join(name);
    fs::create_dir_all(&dir)
        .map_err(|error| format!("making cgroup {}: {error}", dir.display()))?;
    Ok(dir)
}

/// Runs this program again, inside `cgroup`, to do `action` with `args`; [`perform`] has the list.
pub fn act(cgroup: &Path, action: &str, args: &[&Path]) -> Outcome {
    outcome(actor(cgroup, action, args).status(), cgroup, action)
}

/// The same with an open file, its standard input: opened by this process, which is in no zone.
pub fn act_on(cgroup: &Path, action: &str, file: File) -> Outcome {
    let status = actor(cgroup, action, &[]).stdin(file).status();
    outcome(status, cgroup, action)
}

/// The same with arguments.
pub fn act_on_with(cgroup: &Path, action: &str, args: &[&Path], file: File) -> Outcome {
    let status = actor(cgroup, action, args).stdin(file).status();
    outcome(status, cgroup, action)
}

/// Executes `program` inside `cgroup`, and moves `file`, which is it or its interpreter, to `to`
/// once it has been opened for that and before the kernel goes on. A lease holds the opener, after
/// `file_open` and before `bprm_check_security`: nothing else comes between the two.
pub fn exec_moved(cgroup: &Path, program: &Path, file: &Path, to: &Path) -> Outcome {
    let moved = || -> Result<Outcome, Failure> {
        let lease = Lease::take(file).map_err(|error| format!("taking a lease: {error}"))?;
        let mut child = actor(cgroup, "exec", &[program]).spawn()?;
        while !lease.is_waited_for()? {
            if let Some(status) = child.try_wait()? {
                let early = outcome(Ok(status), cgroup, "exec");
                return Err(format!("it did not wait for the lease: {early:?}").into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        fs::rename(file, to)?;
        drop(lease);
        Ok(outcome(child.wait(), cgroup, "exec"))
    };
    moved().unwrap_or_else(|failure| Outcome::Broken(failure.to_string()))
}

/// The command that does so.
pub fn actor(cgroup: &Path, action: &str, args: &[&Path]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("act").arg(cgroup).arg(action).args(args);
    command
}

/// What an actor's exit status says.
pub fn outcome(status: io::Result<ExitStatus>, cgroup: &Path, action: &str) -> Outcome {
    let signal = status.as_ref().ok().and_then(ExitStatus::signal);
    let killed = signal == Some(Signal::KILL.as_raw());
    match status.map(|status| status.code()) {
        Ok(Some(0)) => Outcome::Done,
        Ok(Some(CANNOT_JOIN)) => Outcome::Broken(format!("cannot join {}", cgroup.display())),
        Ok(Some(NOT_AN_ACTION)) => Outcome::Broken(format!("{action} did not work, or is none")),
        Ok(Some(code)) => Outcome::Refused(code),
        Ok(None) if killed => Outcome::Killed,
        Ok(None) => Outcome::Broken(String::from("ended by a signal")),
        Err(error) => Outcome::Broken(format!("cannot start: {error}")),
    }
}

/// An action that goes on while others act.
#[derive(Debug)]
pub struct Spawned(Child, PathBuf, String);

impl Spawned {
    /// What it came to in the end.
    pub fn outcome(mut self) -> Outcome {
        outcome(self.0.wait(), &self.1, &self.2)
    }
}

/// As [`act`], without waiting for the end.
pub fn spawn(cgroup: &Path, action: &str, args: &[&Path]) -> Result<Spawned, Failure> {
    let child = actor(cgroup, action, args).spawn()?;
    Ok(Spawned(child, cgroup.to_owned(), action.to_owned()))
}

/// A process that goes on until this is dropped.
#[derive(Debug)]
pub struct Background(Child);

impl Background {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs this program again, inside `cgroup`, to do `action` (wait, listen) until it is dropped.
/// Returns once it is in the cgroup.
pub fn begin(cgroup: &Path, action: &str, args: &[&Path]) -> Result<Background, Failure> {
    begin_on(cgroup, action, args, Stdio::null())
}

/// The same with that as its standard input.
pub fn begin_on(
    cgroup: &Path,
    action: &str,
    args: &[&Path],
    input: impl Into<Stdio>,
) -> Result<Background, Failure> {
    let child = actor(cgroup, action, args)
        .stdin(input)
        .spawn()
        .map(Background)
        .map_err(|error| format!("starting {action}: {error}"))?;
    let procs = cgroup.join("cgroup.procs");
    for _ in 0..500 {
        let there = fs::read_to_string(&procs)?;
        if there.lines().any(|pid| pid == child.pid().to_string()) {
            return Ok(child);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{action} did not join {}", cgroup.display()).into())
}

/// A listening socket of that cgroup, at a path where nothing else is needed, or with an abstract name
/// (`@NAME`).
pub fn listen(cgroup: &Path, path: &Path) -> Result<Background, Failure> {
    bound(cgroup, "listen", path)
}

/// The same of a socket that receives datagrams.
pub fn receive(cgroup: &Path, path: &Path) -> Result<Background, Failure> {
    bound(cgroup, "receive", path)
}

/// The same of whichever action binds a socket there.
pub fn bound(cgroup: &Path, action: &str, path: &Path) -> Result<Background, Failure> {
    let _ = fs::remove_file(path);
    let listener = begin(cgroup, action, &[path])?;
    for _ in 0..500 {
        if sockets::is_bound(path) {
            return Ok(listener);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("nobody listens on {}", path.display()).into())
}

/// What [`act`] runs: joins the cgroup, acts, and returns the exit status.
pub fn perform(cgroup: &Path, action: &str, args: &[PathBuf]) -> i32 {
    if let Err(error) = fs::write(cgroup.join("cgroup.procs"), "0") {
        eprintln!("act: joining {}: {error}", cgroup.display());
        return CANNOT_JOIN;
    }
    perform_here(action, args)
}

/// The same where this process is already.
pub fn perform_here(action: &str, args: &[PathBuf]) -> i32 {
    let result = match (action, args) {
        ("serve", []) => serve(),
        ("open", [path]) => File::open(path).map(drop),
        ("open-read-write", [path]) => File::options().read(true).write(true).open(path).map(drop),
        ("write", [path]) => OpenOptions::new().write(true).open(path).map(drop),
        ("create", [path]) => File::create_new(path).map(drop),
        ("unlink", [path]) => fs::remove_file(path),
        ("mkdir", [path]) => fs::create_dir(path),
        ("rmdir", [path]) => fs::remove_dir(path),
        ("rename", [from, to]) => fs::rename(from, to),
        ("link", [from, to]) => fs::hard_link(from, to),
        ("kill", [pid, signal]) => kill(pid, signal),
        ("dump-core", []) => {
            let all = nix::sys::resource::RLIM_INFINITY;
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, all, all)
                .map_err(io::Error::from)
                .map(|()| std::process::abort())
        }
        ("wait", []) => {
            wait();
            Ok(())
        }
        ("attack", [name, it, own]) => super::attack::perform(name, it, own),
        ("count-faults", [pid]) => super::attack::count_faults(pid),
        ("victim", [dir, name]) => super::attack::aim::be_victim(dir, name),
        ("storm", [path]) => super::preempt::storm(path),
        ("hammer", [secret, own, report]) => super::gapless::hammer::hammer(secret, own, report),
        ("opens", [path]) => super::count::opens(path),
        ("maps", [path]) => super::count::maps(path),
        ("makes", [path]) => super::count::makes(path),
        ("reads", [path]) => super::count::reads(path),
        ("writes", [path]) => super::count::writes(path),
        ("sends", [_]) => super::count::sends(),
        ("makes-sockets", [_]) => super::count::makes_sockets(),
        ("semaphores", [_]) => super::count::semaphores(),
        ("exec", [path, rest @ ..]) => exec(path, rest),
        ("exec-open", []) => exec_open(),
        ("map", []) => raw::map(io::stdin(), true),
        ("map-to-read", []) => raw::map(io::stdin(), false),
        ("map-anonymous", []) => raw::map_anonymous(),
        ("attach", [pid]) => tracer::attach(pid),
        ("overlay", [lower, scratch]) => mounting::overlay(lower, scratch),
        ("overlay-configured", [lower, scratch]) => mounting::overlay_configured(lower, scratch),
        ("overlay-in-user-namespace", [lower, scratch, name]) => {
            mounting::in_user_namespace(lower, scratch, name)
        }
        ("overlay-beforehand", [lower, scratch, name, later]) => {
            mounting::beforehand(lower, scratch, name, later)
        }
        ("readlink", [path]) => fs::read_link(path).map(drop),
        ("read-memory", [pid, address]) => tracer::read_memory(pid, address),
        ("take-descriptor", [pid]) => tracer::take_descriptor(pid),
        ("be-asked", [own, child]) => tracer::be_asked(own, child),
        ("ask", []) => tracer::ask(),
        _ => {
            let known = engine::acting::perform(action, args)
                .or_else(|| mutating::perform(action, args))
                .or_else(|| file_systems::perform(action, args))
                .or_else(|| sockets::perform(action, args))
                .or_else(|| sysv::perform(action, args))
                .or_else(|| queues::perform(action, args))
                .or_else(|| keys::perform(action, args))
                .or_else(|| signalling::perform(action, args))
                .or_else(|| changing::perform(action, args));
            match known {
                Some(result) => result,
                None => return NOT_AN_ACTION,
            }
        }
    };
    result.map_or_else(exit_status, |()| 0)
}

/// Answers each line of standard input, an action with its arguments, with a line: the exit status; or,
/// if it begins with `start`, the id of the process that does it from then on.
pub fn serve() -> io::Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        let mut words = line.split(' ').map(PathBuf::from);
        let action = words.next().unwrap_or_default();
        let rest: Vec<PathBuf> = words.collect();
        let answer = if action.as_os_str() == "start" {
            let mut child = Command::new("/proc/self/exe");
            let child = child.arg("do").args(&rest).stdin(Stdio::null()).spawn()?;
            i64::from(child.id())
        } else {
            i64::from(perform_here(&action.to_string_lossy(), &rest))
        };
        println!("{answer}");
    }
    Ok(())
}

/// Executes a program, which is to end well.
fn exec(program: &Path, args: &[PathBuf]) -> io::Result<()> {
    let status = Command::new(program).args(args).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{}: {status}", program.display())))
}

/// Becomes the program that is open as standard input, and is called `true`.
fn exec_open() -> io::Result<()> {
    let none: [&CStr; 0] = [];
    match nix::unistd::fexecve(io::stdin(), &[c"true"], &none)? {}
}

/// Sends a signal; 0 only asks whether it might.
fn kill(pid: &Path, signal: &Path) -> io::Result<()> {
    let number = |text: &Path| text.to_str().and_then(|text| text.parse::<i32>().ok());
    let pid = number(pid).and_then(Pid::from_raw);
    let (Some(pid), Some(signal)) = (pid, number(signal)) else {
        return Err(io::Error::from_raw_os_error(NOT_AN_ACTION));
    };
    match Signal::from_named_raw(signal) {
        Some(signal) => kill_process(pid, signal)?,
        None => test_kill_process(pid)?,
    }
    Ok(())
}

/// Until it is killed.
pub fn wait() {
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn exit_status(error: io::Error) -> i32 {
    // An error without a number would otherwise look like success.
    error
        .raw_os_error()
        .filter(|number| *number != 0)
        .unwrap_or(NOT_AN_ACTION)
}
