//! podman, and a container whose first process does what it is told.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};

use crate::guest::Failure;
use crate::guest::actor::{self, Outcome};
use crate::vm::initramfs::parse_ldd;

/// The image that everything here is made of.
pub const IMAGE: &str = "localhost/syva-test";

/// What its containers run.
const PROGRAM: &str = "/bin/syva-guest";

/// Runs podman; its standard output, or what it complained about.
pub fn podman(args: &[&str]) -> Result<String, Failure> {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("podman")
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    if status.success() {
        return Ok(String::from_utf8(stdout)?.trim().to_owned());
    }
    let said = String::from_utf8_lossy(&stderr);
    Err(format!("podman {}: {status}: {said}", args.join(" ")).into())
}

/// Imports an image of busybox, this program, and the libraries that it is linked to.
pub fn import_image() -> Result<(), Failure> {
    let root = Path::new("/var/tmp/image");
    let add = |from: &Path, to: &str| -> Result<(), Failure> {
        let to = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().ok_or("no directory")?)?;
        fs::copy(from, &to).map_err(|error| format!("copying {}: {error}", from.display()))?;
        Ok(())
    };
    let this = std::env::current_exe()?;
    add(Path::new("/bin/busybox"), "bin/sh")?;
    add(&this, PROGRAM)?;
    let linked = Command::new("ldd").arg(&this).output()?;
    for library in parse_ldd(&String::from_utf8(linked.stdout)?) {
        add(Path::new(&library), &library)?;
    }
    let pack = "tar -C /var/tmp/image -c . | podman import --quiet - localhost/syva-test";
    let imported = Command::new("sh").args(["-c", pack]).output()?;
    if !imported.status.success() {
        return Err(format!("importing the image: {imported:?}").into());
    }
    Ok(())
}

/// A running container, told what to do through its standard input.
pub struct Container {
    pub name: &'static str,
    session: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Container {
    /// Runs one; `options` are podman's.
    pub fn run(name: &'static str, manager: &str, options: &[&str]) -> Result<Container, Failure> {
        let mut session = Command::new("podman")
            .args([
                manager,
                "run",
                "--interactive",
                "--network=none",
                "--name",
                name,
            ])
            .args(options)
            .args([IMAGE, PROGRAM, "do", "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = session.stdin.take().ok_or("no input")?;
        let output = BufReader::new(session.stdout.take().ok_or("no output")?);
        let container = Container {
            name,
            session,
            pipes: RefCell::new((input, output)),
        };
        // It runs once it answers.
        match container.does(&["open", "/"]) {
            Outcome::Done => Ok(container),
            other => Err(format!("container {name} did not start: {other:?}").into()),
        }
    }

    /// Has its first process do something.
    pub fn does(&self, words: &[&str]) -> Outcome {
        match self.ask(words) {
            Ok(code) => exited(code, words),
            Err(failure) => Outcome::Broken(failure.to_string()),
        }
    }

    /// Has it start something that goes on; the process id, as it sees it.
    pub fn starts(&self, words: &[&str]) -> Result<i32, Failure> {
        self.ask(&[&["start"], words].concat())
    }

    fn ask(&self, words: &[&str]) -> Result<i32, Failure> {
        let (input, output) = &mut *self.pipes.borrow_mut();
        writeln!(input, "{}", words.join(" "))?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        let answer = answer.trim().parse();
        Ok(answer.map_err(|_| format!("container {} has ended", self.name))?)
    }

    /// Has a process do something that podman puts into the container.
    pub fn exec(&self, words: &[&str]) -> Outcome {
        let args = [&["exec", self.name, PROGRAM, "do"], words].concat();
        let status = Command::new("podman").args(args).status();
        actor::outcome(status, Path::new(self.name), "exec")
    }

    /// The directory of its cgroup: the one that podman knows, in which crun may make another.
    pub fn cgroup(&self) -> Result<PathBuf, Failure> {
        cgroup(self.name)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // podman's own end, not the container's, which is removed by name.
        let _ = self.session.kill();
        let _ = self.session.wait();
    }
}

fn exited(code: i32, words: &[&str]) -> Outcome {
    // As wait(2) reports it.
    let status = ExitStatus::from_raw(code << 8);
    actor::outcome(Ok(status), Path::new("the container"), &words.join(" "))
}

/// The cgroup of a container by name.
pub fn cgroup(name: &str) -> Result<PathBuf, Failure> {
    let path = podman(&["inspect", "--format", "{{.State.CgroupPath}}", name])?;
    if path.len() < 2 {
        return Err(format!("podman knows no cgroup of {name}").into());
    }
    Ok(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
}
