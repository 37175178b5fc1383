//! The demo's node: the real daemon, asked through the real command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::guest::{Failure, binary};

/// How long the daemon may take to start: loading is verified instruction by instruction, and this
/// may be an emulator.
const START: Duration = Duration::from_secs(90);

/// A running daemon. It is killed if it is dropped without [`Node::stop`].
#[derive(Debug)]
pub struct Node {
    daemon: Child,
    socket: PathBuf,
    log: PathBuf,
    pins: PathBuf,
}

impl Node {
    /// Starts it with its state below `dir`, and waits until it answers.
    pub fn start(dir: &Path) -> Result<Node, Failure> {
        let (socket, log) = (dir.join("core.sock"), dir.join("core.log"));
        // On a host the usual place may be another daemon's.
        let pins = PathBuf::from(format!("/sys/fs/bpf/syva-demo-{}", std::process::id()));
        let daemon = Command::new(binary("syva-core")?)
            .arg("--socket-path")
            .arg(&socket)
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--pin-dir")
            .arg(&pins)
            // On a host the port may be another daemon's.
            .args(["--http-addr", "off"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()?;
        let mut node = Node {
            daemon,
            socket,
            log,
            pins,
        };
        let deadline = Instant::now() + START;
        while node.ask(&["status"]).is_err() {
            let ended = node.daemon.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&node.log).unwrap_or_default();
                return Err(format!("syva-core did not start ({ended:?}): {log}").into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(node)
    }

    /// Runs `syva-cli`; its standard output, or why it failed.
    pub fn ask(&self, args: &[&str]) -> Result<String, Failure> {
        let output = Command::new(binary("syva-cli")?)
            .arg("--socket")
            .arg(&self.socket)
            .args(args)
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("syva-cli {}: {said}", args.join(" ")).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Stops it and waits until it is gone. Its programs stay.
    pub fn stop(&mut self) -> Result<(), Failure> {
        let pid = Pid::from_child(&self.daemon);
        kill_process(pid, Signal::TERM)?;
        let status = self.daemon.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("syva-core ended with {status}").into())
        }
    }

    /// Detaches its programs.
    pub fn unload(&self) -> Result<(), Failure> {
        let status = Command::new(binary("syva-core")?)
            .args(["--unload", "--pin-dir"])
            .arg(&self.pins)
            .stdout(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("syva-core --unload ended with {status}").into())
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has ended already if it was stopped, and a demo on a host leaves nothing behind.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = self.unload();
    }
}
