//! podman's own HTTP interface on a Unix socket: one process of it serves all, where the command line
//! would start one for every step.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::container::IMAGE;
use crate::daemon::eventually;
use crate::guest::Failure;

const SOCKET: &str = "/run/podman-suite.sock";

/// The service, until it is dropped.
pub struct Api(Child);

/// What podman says of a running container.
pub struct Running {
    /// Its first process.
    pub pid: i32,
    /// Its cgroup's path below the root.
    pub cgroup: String,
}

impl Api {
    /// Starts it and waits until it listens: its socket's path is there a little before that.
    pub fn start() -> Result<Api, Failure> {
        let service = Command::new("podman")
            .args(["system", "service", "--time=0", &format!("unix://{SOCKET}")])
            .stdin(Stdio::null())
            .spawn()?;
        let api = Api(service);
        eventually(
            "podman's socket",
            || Ok(UnixStream::connect(SOCKET).is_ok()),
        )?;
        Ok(api)
    }

    /// Makes a container that sleeps, and starts it.
    pub fn run(&self, name: &str) -> Result<Running, Failure> {
        let spec = json!({
            "name": name,
            "image": IMAGE,
            "command": ["/bin/sh", "-c", "sleep 1000"],
            "netns": { "nsmode": "none" },
        });
        self.call("POST", "containers/create", &spec.to_string())?;
        self.call("POST", &format!("containers/{name}/start"), "")?;
        let state = self.call("GET", &format!("containers/{name}/json"), "")?["State"].clone();
        let pid = state["Pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        let cgroup = state["CgroupPath"].as_str();
        match (pid, cgroup) {
            (Some(pid), Some(cgroup)) => Ok(Running {
                pid,
                cgroup: cgroup.to_owned(),
            }),
            _ => Err(format!("container {name}: {state}").into()),
        }
    }

    /// Kills it and removes it.
    pub fn remove(&self, name: &str) -> Result<(), Failure> {
        self.call(
            "DELETE",
            &format!("containers/{name}?force=true&timeout=0"),
            "",
        )?;
        Ok(())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let mut stream = UnixStream::connect(SOCKET)?;
        // Of version 1.0, so that the answer ends with the connection and is in one piece.
        write!(
            stream,
            "{method} /v4.0.0/libpod/{path} HTTP/1.0\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        if !head
            .split(' ')
            .nth(1)
            .is_some_and(|status| status.starts_with('2'))
        {
            return Err(format!("podman, {method} {path}: {answer}").into());
        }
        match body.trim() {
            "" => Ok(Value::Null),
            text => Ok(serde_json::from_str(text)?),
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
