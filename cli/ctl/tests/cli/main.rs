//! The built `syva-cli` against a scripted daemon: what it asks, what it prints, how it ends.
//!
//! The daemon is scripted on purpose (a real gRPC server in this process, answering what a test
//! says): every reply and failure can be had, and what was asked can be seen. The real daemon is
//! tested with this client end to end in the workspace's `tests/`.

// The whole crate is tests; clippy exempts only the functions marked so.
#![allow(clippy::expect_used)]

mod accept;
mod answers;
mod bad_disk;
mod doctor;
mod events;
mod journal;
mod offline;
mod requests;
mod scripted;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::scripted::{Script, start};

/// What a run printed, and its exit code.
struct Run {
    out: String,
    err: String,
    exit: i32,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect(&self.out)
    }

    fn json_lines(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

fn command(socket: &Path, line: &str) -> Command {
    let mut command = cargo_bin_cmd!("syva-cli");
    command
        .env("SYVA_SOCKET", socket)
        .args(line.split_whitespace());
    command
}

fn run(socket: &Path, line: &str) -> Run {
    finished(command(socket, line).output().expect("runs"))
}

fn finished(output: Output) -> Run {
    Run {
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        exit: output.status.code().expect("no signal"),
    }
}

#[test]
fn a_status_of_the_daemon_ends_every_command_with_its_exit_code() {
    let lines = [
        "status",
        "zones list",
        "comms deny a b",
        "events",
        "journal inspect",
        "journal replay",
        "journal verify",
    ];
    for (code, exit) in [
        (Code::InvalidArgument, 1),
        (Code::NotFound, 1),
        (Code::AlreadyExists, 1),
        (Code::FailedPrecondition, 1),
        (Code::ResourceExhausted, 1),
        (Code::PermissionDenied, 1),
        (Code::Unavailable, 3),
        (Code::Internal, 4),
        (Code::Unimplemented, 4),
        (Code::DataLoss, 4),
        (Code::Unknown, 4),
    ] {
        let fails = Some(Status::new(code, "because"));
        let daemon = start(Script {
            fails,
            ..Script::default()
        });
        for line in lines {
            let text = run(&daemon.socket, line);
            assert_eq!(
                (text.exit, text.out.as_str()),
                (exit, ""),
                "{line} {code:?}"
            );
            assert!(
                text.err.starts_with("error: ") && text.err.contains("because"),
                "{}",
                text.err
            );
            let json = run(&daemon.socket, &format!("{line} --format json"));
            assert_eq!(
                (json.exit, json.err.as_str()),
                (exit, ""),
                "{line} {code:?}"
            );
            assert_eq!(json.json()["ok"], false);
            assert!(
                json.json()["reason"]
                    .as_str()
                    .expect("text")
                    .contains("because")
            );
        }
    }
}

#[test]
fn a_socket_nobody_serves_is_exit_3() {
    let dir = tempfile::tempdir().expect("a directory");
    for line in [
        "status",
        "zones register web",
        "events --follow",
        "journal replay",
        "journal verify",
        "journal export -",
    ] {
        let lost = run(&dir.path().join("none.sock"), line);
        assert_eq!(lost.exit, 3, "{line}");
        assert!(
            lost.err.contains("cannot reach the daemon") && lost.err.contains("none.sock"),
            "{}",
            lost.err
        );
    }
    let json = run(
        &dir.path().join("none.sock"),
        "zones remove web --format json",
    );
    assert_eq!(
        (json.exit, &json.json()["operation"]),
        (3, &json!("zones.remove"))
    );
}

#[test]
fn usage_is_exit_2() {
    for line in [
        "",
        "zones",
        "zones register",
        "containers attach c1 web",
        "journal export",
        "status --format xml",
    ] {
        assert_eq!(run(Path::new("/none"), line).exit, 2, "{line}");
    }
    assert_eq!(run(Path::new("/none"), "--help").exit, 0);
}

#[test]
fn under_the_name_syvactl_it_is_the_same_program() {
    let dir = tempfile::tempdir().expect("a directory");
    let alias = dir.path().join("syvactl");
    std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("syva-cli"), &alias).expect("linked");
    let called = |line: &str| {
        let mut command = std::process::Command::new(&alias);
        command
            .env("SYVA_SOCKET", "/none")
            .args(line.split_whitespace());
        finished(command.output().expect("runs"))
    };
    for line in [
        "--help",
        "host-paths --help",
        "containers attach --help",
        "zones register",
    ] {
        let (own, alias) = (run(Path::new("/none"), line), called(line));
        assert_eq!(own.exit, alias.exit, "{line}");
        let named = |text: &str| text.replace("Usage: syva-cli", "Usage: syvactl");
        assert_eq!(
            (named(&own.out), named(&own.err)),
            (alias.out, alias.err),
            "{line}"
        );
    }
    let usage = called("zones register").err;
    assert!(usage.contains("Usage: syvactl zones register"), "{usage}");
}

#[test]
fn a_path_that_is_not_utf8_is_refused_before_anything_is_asked() {
    let path = OsStr::from_bytes(b"/srv/\xff");
    for line in [
        "host-paths register web",
        "host-paths remove web",
        "zones register web --host-path",
    ] {
        // Nobody serves the socket: it is not even tried.
        let refused = finished(
            command(Path::new("/none"), line)
                .arg(path)
                .output()
                .expect("runs"),
        );
        assert_eq!(refused.exit, 1, "{line}: {}", refused.err);
        assert!(
            refused.err.contains(r#""/srv/\xFF" is not UTF-8"#),
            "{}",
            refused.err
        );
    }
}
