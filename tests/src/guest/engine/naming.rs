//! Cgroups that a zone calls what it likes, and puts in each other as deep as it likes: what is in them is in
//! the zone through every comparison and every change, and neither keeps the daemon from either.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use rustix::io::Errno;

use crate::daemon::{Daemon, eventually};
use crate::guest::actor::{Outcome, act, actor, make_cgroup, serve};
use crate::guest::stage::{Stage, attach, id};
use crate::guest::{Checks, Failure};

/// No text in any encoding that a path is taken for.
pub const STRANGE: &[u8] = b"\xff";

/// With such names the path is longer than `PATH_MAX`.
const DEPTH: usize = 17;
const NAME: usize = 255;

/// How many comparisons what is amiss may take to show.
const COMPARISONS: usize = 3;

/// The daemon is to compare often.
pub fn run(checks: &mut Checks, stage: &Stage, daemon: &Daemon) -> Result<(), Failure> {
    let strange = stage.web.join(OsStr::from_bytes(STRANGE));
    let inner = strange.join("x");
    for dir in [&strange, &inner] {
        let claim = format!("web makes a cgroup {dir:?}");
        checks.allowed(claim, &act(&stage.web, "mkdir", &[dir]));
    }
    let mut deep = Burrow::dig(&stage.web)?;
    let said = deep.in_words();
    checks.that(
        "the kernel does not say where web's deepest task is",
        said.as_ref().map_or_else(
            |error| *error == Errno::NAMETOOLONG.raw_os_error(),
            |path| path.len() < DEPTH * NAME,
        ),
        format!("{:?}", said.map(|path| path.len())),
    );
    checks.note(format!(
        "of the deepest cgroup the kernel says: {:?}",
        deep.in_words().map(|path| path.len())
    ));
    let mut of_web = |checks: &mut Checks, when: &str| -> Result<(), Failure> {
        let (own, secret) = (Outcome::Done, Outcome::Refused(Errno::PERM.raw_os_error()));
        for (file, expected) in [(&stage.own, own), (&stage.secret, secret)] {
            let name = file.display();
            for (cgroup, whose) in [(&strange, "strange"), (&inner, "strange one's")] {
                let claim = format!("{when}, what is in web's {whose} cgroup opens {name}");
                checks.equal(claim, &act(cgroup, "open", &[file]), &expected);
            }
            let claim = format!("{when}, what is in web's deepest cgroup opens {name}");
            checks.equal(claim, &deep.opens(file)?, &expected);
        }
        Ok(())
    };
    of_web(checks, "made")?;
    compared(daemon)?;
    of_web(checks, "compared")?;
    // Rows are written anew, from the root down.
    let web = id(&stage.web)?;
    let give = |zone: &str, generation: &str| -> Result<(), Failure> {
        let words = ["containers", "attach", "c-web", zone, "--cgroup-id", &web];
        daemon.done(&[&words[..], &["--generation", generation]].concat())?;
        Ok(())
    };
    give("db", "2")?;
    let claim = "given to db, what is in the strange cgroup opens db's file";
    checks.allowed(claim, &act(&inner, "open", &[&stage.secret]));
    give("web", "3")?;
    of_web(checks, "given to db and back")?;
    compared(daemon)?;
    of_web(checks, "given back and compared")?;
    let status = daemon.done(&["status"])?;
    let (health, drift) = (status.text("health"), &status.json()["drift_repaired"]);
    checks.equal("the daemon is healthy", &health.as_str(), &"healthy");
    checks.equal("and has found no drift", drift, &0.into());
    Ok(())
}

/// Waits for some comparisons: nothing else notices that an attached cgroup is gone.
fn compared(daemon: &Daemon) -> Result<(), Failure> {
    for _ in 0..COMPARISONS {
        let short = make_cgroup("short")?;
        let answer = attach(daemon, "c-short", "web", &short)?;
        if answer.exit != 0 {
            return Err(format!("attaching another: {answer:?}").into());
        }
        fs::remove_dir(&short)?;
        eventually("a comparison", || {
            let listed = daemon.done(&["containers", "list"])?;
            Ok(!listed.json().to_string().contains("c-short"))
        })?;
    }
    Ok(())
}

/// A task of a zone's in a cgroup so deep that no path leads there.
pub struct Burrow {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Burrow {
    /// Sends one there from the zone's cgroup; it makes what is not there yet.
    pub fn dig(from: &Path) -> Result<Burrow, Failure> {
        let mut child = actor(from, "burrow", &[from])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let ask = child.stdin.take().ok_or("nobody can be asked")?;
        let answers = child.stdout.take().ok_or("nobody answers")?;
        let answers = BufReader::new(answers);
        let mut burrow = Burrow {
            child,
            ask,
            answers,
        };
        // Once it answers it is there.
        match burrow.opens(Path::new("/dev/null")) {
            Ok(_) => Ok(burrow),
            Err(error) => Err(format!("nobody is in the deepest cgroup: {error}").into()),
        }
    }

    fn asked(&mut self, line: &str) -> Result<Outcome, Failure> {
        writeln!(self.ask, "{line}")?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            let status = self.child.wait();
            return Ok(
                match crate::guest::actor::outcome(status, Path::new(""), "burrow") {
                    Outcome::Killed => Outcome::Killed,
                    other => return Err(format!("it ended: {other:?}").into()),
                },
            );
        }
        Ok(match answer.trim().parse()? {
            0 => Outcome::Done,
            refused => Outcome::Refused(refused),
        })
    }

    fn opens(&mut self, file: &Path) -> Result<Outcome, Failure> {
        self.asked(&format!("open {}", file.display()))
    }

    /// Writes a process into the cgroup it is in.
    pub fn pulls(&mut self, pid: u32) -> Result<Outcome, Failure> {
        self.asked(&format!("put cgroup.procs {pid}"))
    }

    /// Where the kernel says that it is, or the error.
    fn in_words(&self) -> Result<Vec<u8>, i32> {
        let said = fs::read(format!("/proc/{}/cgroup", self.child.id()));
        said.map_err(|error| error.raw_os_error().unwrap_or_default())
    }
}

impl Drop for Burrow {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What [`Burrow::dig`] runs.
pub fn burrow(from: &Path) -> std::io::Result<()> {
    std::env::set_current_dir(from)?;
    let name = PathBuf::from("d".repeat(NAME));
    for _ in 0..DEPTH {
        match fs::create_dir(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => std::env::set_current_dir(&name)?,
        }
    }
    fs::write("cgroup.procs", "0")?;
    serve()
}
