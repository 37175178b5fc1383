//! Suite `docs`: the commands of the README's "Use it" and then those of `docs/api.md`, in their order,
//! with the paths they name.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::actor::{act, make_cgroup};
use super::{Checks, Failure, binary};

const README: &str = include_str!("../../../README.md");
const API: &str = include_str!("../../../docs/api.md");

/// A command as it stands, and what the comment behind it says of its exit code.
#[derive(Debug)]
pub struct Line {
    /// The command.
    pub command: String,
    /// Its exit code.
    pub exit: i32,
}

/// Runs them against the real daemon, and sees that what they say comes true.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    fs::create_dir_all("/srv/db")?;
    fs::write("/srv/db/key", "secret")?;
    let web = make_cgroup("web")?;
    let mut daemon: Option<Child> = None;
    for line in commands(README, "Use it")? {
        let command = &line.command;
        if command.starts_with("make ") {
            continue; // how the two programs come to be; here they are packed
        }
        if command.starts_with("syva-core &") {
            daemon = Some(start()?);
            checks.check(command, Ok::<_, String>(()));
            continue;
        }
        if command.contains(" comms allow ") {
            checks.denied(
                "until then web is refused db's key",
                &act(&web, "open", &["/srv/db/key".as_ref()]),
            );
        }
        does_as_told(checks, &line)?;
    }
    checks.allowed(
        "and then no longer",
        &act(&web, "open", &["/srv/db/key".as_ref()]),
    );
    for line in commands(API, "By example")? {
        does_as_told(checks, &line)?;
    }
    let mut daemon = daemon.ok_or("the README does not start the daemon")?;
    daemon.kill()?;
    daemon.wait()?;
    Ok(())
}

/// Runs a command and checks that it ends as its comment says.
fn does_as_told(checks: &mut Checks, line: &Line) -> Result<(), Failure> {
    let Line { command, exit } = line;
    // What follows does not end by itself; with it, everything up to now has been seen.
    let follows = command.contains("--follow");
    let wrapped = match follows {
        true => format!("timeout 2 {command}"),
        false => command.clone(),
    };
    let output = Command::new("/bin/sh").arg("-c").arg(&wrapped).output()?;
    // timeout(1) ended it with SIGTERM, as it should.
    let followed = follows && output.status.signal() == Some(15);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = format!("{}, not {exit}: {said}", output.status);
    let told = match exit {
        0 => command.clone(),
        exit => format!("{command} (exit {exit})"),
    };
    checks.that(told, output.status.code() == Some(*exit) || followed, why);
    Ok(())
}

/// The commands of a section's blocks of shell.
///
/// # Errors
/// There is no such section, or it has no commands.
pub fn commands(text: &str, heading: &str) -> Result<Vec<Line>, Failure> {
    let section = text
        .split("\n## ")
        .find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'))
        .ok_or_else(|| format!("there is no section {heading:?}"))?;
    let blocks = section.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let commands: Vec<Line> = lines
        .map(|line| {
            let (command, comment) = line.split_once(" #").unwrap_or((line, ""));
            let exit = comment.trim().strip_prefix("exit ");
            let exit = exit.and_then(|rest| rest.split(':').next()?.parse().ok());
            Line {
                command: command.trim().to_owned(),
                exit: exit.unwrap_or(0),
            }
        })
        .filter(|line| !line.command.is_empty())
        .collect();
    match commands.is_empty() {
        true => Err(format!("section {heading:?} has no commands").into()),
        false => Ok(commands),
    }
}

fn start() -> Result<Child, Failure> {
    let daemon = Command::new(binary("syva-core")?)
        .stdin(Stdio::null())
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let asked = Command::new(binary("syva-cli")?).arg("status").output()?;
        if asked.status.success() {
            return Ok(daemon);
        }
        if Instant::now() > deadline {
            return Err("syva-core does not answer on its default socket".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
