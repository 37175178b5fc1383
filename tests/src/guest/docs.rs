//! Suite `docs`: the commands of the README's "Use it", in its order, with the paths it names.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::actor::{act, make_cgroup};
use super::{Checks, Failure, binary};

const README: &str = include_str!("../../../README.md");

/// Runs them against the real daemon, and sees that what they say comes true.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    fs::create_dir_all("/srv/db")?;
    fs::write("/srv/db/key", "secret")?;
    let web = make_cgroup("web")?;
    let mut daemon: Option<Child> = None;
    for line in commands(README, "Use it")? {
        if line.starts_with("make ") {
            continue; // how the two programs come to be; here they are packed
        }
        if line.starts_with("syva-core") {
            daemon = Some(start()?);
            checks.check(&line, Ok::<_, String>(()));
            continue;
        }
        if line.contains(" comms allow ") {
            checks.denied(
                "until then web is refused db's key",
                &act(&web, "open", &["/srv/db/key".as_ref()]),
            );
        }
        // What follows does not end by itself; with it, everything up to now has been seen.
        let wrapped = if line.contains("--follow") {
            format!("timeout 2 {line}")
        } else {
            line.clone()
        };
        let output = Command::new("/bin/sh").arg("-c").arg(&wrapped).output()?;
        // timeout(1) ended it with SIGTERM, as it should.
        let followed = line.contains("--follow") && output.status.signal() == Some(15);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let why = format!("{}: {said}", output.status);
        checks.that(&line, output.status.success() || followed, why);
    }
    checks.allowed(
        "and then no longer",
        &act(&web, "open", &["/srv/db/key".as_ref()]),
    );
    let mut daemon = daemon.ok_or("the README does not start the daemon")?;
    daemon.kill()?;
    daemon.wait()?;
    Ok(())
}

/// The commands of a section's blocks of shell, without their comments.
///
/// # Errors
/// There is no such section, or it has no commands.
pub fn commands(text: &str, heading: &str) -> Result<Vec<String>, Failure> {
    let section = text
        .split("\n## ")
        .find_map(|section| section.strip_prefix(heading)?.strip_prefix('\n'))
        .ok_or_else(|| format!("there is no section {heading:?}"))?;
    let blocks = section.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let commands: Vec<String> = lines
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .filter(|line| !line.is_empty())
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
