//! A real `syva-core` in a process of its own, and `syva-cli` to ask it. The tests on the host and the
//! suites in a guest use the same.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::ops::Deref;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::guest::Failure;

/// How long a daemon may take to start or to end, under emulation too.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How a daemon is started. Its socket, its state and its log lie in one directory.
#[derive(Clone, Debug)]
pub struct Setup {
    dir: PathBuf,
    program: PathBuf,
    cli: PathBuf,
    socket: PathBuf,
    state: PathBuf,
    wrapper: Vec<OsString>,
    args: Vec<OsString>,
    variables: Vec<(String, String)>,
    user: Option<u32>,
}

impl Setup {
    /// The programs from the directory `binaries`, everything else in `dir`.
    pub fn new(binaries: &Path, dir: &Path) -> Setup {
        Setup {
            dir: dir.to_owned(),
            program: binaries.join("syva-core"),
            cli: binaries.join("syva-cli"),
            socket: dir.join("core.sock"),
            state: dir.join("state"),
            wrapper: Vec::new(),
            args: Vec::new(),
            variables: Vec::new(),
            user: None,
        }
    }

    /// With further arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: &[S]) -> Setup {
        self.args.extend(args.iter().map(|arg| arg.as_ref().into()));
        self
    }

    /// With another program than `syva-core`.
    pub fn program(self, program: PathBuf) -> Setup {
        Setup { program, ..self }
    }

    /// With another socket.
    pub fn at_socket(self, socket: PathBuf) -> Setup {
        Setup { socket, ..self }
    }

    /// With another state directory.
    pub fn with_state(self, state: PathBuf) -> Setup {
        Setup { state, ..self }
    }

    /// Started by another program, which gets the daemon's command line as its last arguments.
    pub fn under<S: AsRef<OsStr>>(self, wrapper: &[S]) -> Setup {
        let wrapper = wrapper.iter().map(|word| word.as_ref().into()).collect();
        Setup { wrapper, ..self }
    }

    /// As another user, who has no capabilities.
    pub fn as_user(self, user: u32) -> Setup {
        let user = Some(user);
        Setup { user, ..self }
    }

    /// With a variable in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Setup {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The socket it serves on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its state directory.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// Its log, if it ends or does not answer.
    pub fn start(&self) -> Result<Daemon, Failure> {
        let mut daemon = self.spawn()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(format!("syva-core ended with {status}: {}", daemon.log()).into());
            }
            if self.socket.exists() && self.cli(&["status"])?.exit == 0 {
                return Ok(daemon);
            }
            if Instant::now() > deadline {
                return Err(format!("syva-core does not answer: {}", daemon.log()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts it and waits until it has ended by itself.
    ///
    /// # Errors
    /// Its log, if it does not end.
    pub fn end(&self) -> Result<Ended, Failure> {
        let mut daemon = self.spawn()?;
        let status = daemon.ended()?;
        Ok(Ended {
            status,
            log: daemon.log(),
        })
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(&self) -> Result<Daemon, Failure> {
        let log = self.dir.join("daemon.log");
        let out = OpenOptions::new().create(true).append(true).open(&log)?;
        let logged = out.metadata()?.len();
        let program = self.program.as_os_str();
        let mut words = self
            .wrapper
            .iter()
            .map(OsString::as_os_str)
            .chain([program]);
        let mut command = Command::new(words.next().ok_or("no program")?);
        command
            .args(words)
            .arg("--socket-path")
            .arg(&self.socket)
            .arg("--state-dir")
            .arg(&self.state)
            // Many daemons run side by side here, and the port is one.
            .args(["--http-addr", "off"])
            .args(&self.args)
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let child = command
            .spawn()
            .map_err(|error| format!("starting {command:?}: {error}"))?;
        let setup = self.clone();
        Ok(Daemon {
            setup,
            child,
            log,
            logged,
        })
    }

    /// Asks the daemon through `syva-cli`, in JSON.
    ///
    /// # Errors
    /// If the program cannot be run or prints something else.
    pub fn cli<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Answer, Failure> {
        let output = Command::new(&self.cli)
            .args(["--format", "json", "--socket"])
            .arg(&self.socket)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("starting {}: {error}", self.cli.display()))?;
        let lines = String::from_utf8(output.stdout)?;
        Ok(Answer {
            exit: output.status.code().unwrap_or(-1),
            lines: lines
                .lines()
                .map(serde_json::from_str)
                .collect::<Result<_, _>>()?,
            complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Asks what must succeed.
    ///
    /// # Errors
    /// The answer, if it does not.
    pub fn done<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<Answer, Failure> {
        let answer = self.cli(args)?;
        if answer.exit == 0 {
            return Ok(answer);
        }
        let asked: Vec<_> = args.iter().map(AsRef::as_ref).collect();
        Err(format!("{asked:?}: {answer:?}").into())
    }

    /// The state's digest, and the entry it holds at, once the journal's replay has shown the same.
    ///
    /// # Errors
    /// The answer, if it has not.
    pub fn digest(&self) -> Result<(u64, String), Failure> {
        let replay = self.done(&["journal", "replay"])?;
        let seq = replay.json()["seq"].as_u64().ok_or("no seq")?;
        Ok((seq, replay.text("digest")))
    }
}

/// A daemon that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it said.
    pub log: String,
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    setup: Setup,
    child: Child,
    log: PathBuf,
    logged: u64,
}

impl Daemon {
    /// How it was started.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, as systemd does, and waits until it has.
    ///
    /// # Errors
    /// Its log, if it does not end.
    pub fn terminate(mut self) -> Result<ExitStatus, Failure> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no pid")?, Signal::TERM)?;
        self.ended()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// Its log, if it does not.
    pub fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(format!("syva-core does not end: {}", self.log()).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let own = usize::try_from(self.logged)
            .ok()
            .and_then(|from| text.get(from..));
        String::from_utf8_lossy(own.unwrap_or_default()).into_owned()
    }
}

impl Deref for Daemon {
    type Target = Setup;

    /// What can be asked of a setup's socket can be asked of the daemon.
    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail harmlessly when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `syva-cli` answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub exit: i32,
    /// What it printed, a JSON object a line.
    pub lines: Vec<Value>,
    /// What it printed on stderr.
    pub complaint: String,
}

impl Answer {
    /// The first object.
    pub fn json(&self) -> &Value {
        self.lines.first().unwrap_or(&Value::Null)
    }

    /// A field of the first object, as text; empty if there is none.
    pub fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }

    /// Why it was refused; empty if it was not.
    pub fn reason(&self) -> String {
        self.text("reason")
    }
}

/// Polls until a condition holds.
///
/// # Errors
/// What was waited for, if it does not come; the condition's own.
pub fn eventually(what: &str, holds: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    eventually_asking_every(Duration::from_millis(10), what, holds)
}

/// As [`eventually`], with longer pauses, for what is dear to ask.
///
/// # Errors
/// As [`eventually`].
pub fn eventually_asking_every(
    pause: Duration,
    what: &str,
    mut holds: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {PATIENCE:?}").into());
        }
        thread::sleep(pause);
    }
    Ok(())
}

/// Makes a file with that text, and the directories above it.
///
/// # Errors
/// The system's.
pub fn put(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    Ok(fs::write(path, text)?)
}
