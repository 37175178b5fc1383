//! The built programs beside a benchmark, and how much memory they take.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use syva_rpc::client::{Client, connect};

/// How long a daemon may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program of this name beside the benchmark: `target/release/deps/commands-…`.
pub fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let dir = this.ancestors().nth(2).expect("target/release");
    dir.join(name)
}

/// Starts it with nothing on stderr.
pub fn spawn(command: &mut Command) -> Child {
    command
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: make release"))
}

/// A daemon over the memory backend, below `dir`, on the journal in `dir`/state.
pub fn daemon(dir: &Path) -> Child {
    let cgroups = dir.join("cgroup");
    std::fs::create_dir_all(&cgroups).expect("makes");
    let mut command = Command::new(program("syva-core"));
    command
        .args(["--backend", "memory", "--http-addr", "off"])
        .args(["--max-zones", "10000000"])
        .arg("--cgroup-root")
        .arg(cgroups)
        .arg("--state-dir")
        .arg(dir.join("state"))
        .arg("--socket-path")
        .arg(socket(dir))
        .stdout(Stdio::null());
    spawn(&mut command)
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("core.sock")
}

/// A client of the daemon below `dir`, once that answers.
pub async fn client(dir: &Path) -> Client {
    let begun = Instant::now();
    loop {
        if let Ok(mut client) = connect(&socket(dir), "bench").await
            && client.status(syva_rpc::v1::StatusRequest {}).await.is_ok()
        {
            return client;
        }
        assert!(begun.elapsed() < PATIENCE, "the daemon does not answer");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The most memory that a process has had resident so far, in KiB (`VmHWM` in proc_pid_status(5)).
pub fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
