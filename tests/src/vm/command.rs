//! Runs a host program to its end and keeps what it said.

use std::process::{Command, Stdio};

use super::VmError;

/// How much of a failed program's output an error repeats, in bytes.
const SAID: usize = 1200;

/// Runs `command` without input and returns its standard output; a non-zero exit is an error that
/// carries the end of what the program printed.
pub fn output(purpose: &'static str, command: &mut Command) -> Result<String, VmError> {
    let result = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    let output = result.map_err(|source| VmError::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        purpose,
        source,
    })?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    Err(VmError::Command {
        command: command_line(command),
        purpose,
        status: output.status,
        said: tail(said.trim(), SAID).to_owned(),
    })
}

/// The command as one would type it, but for apt's many `-o OPTION`s.
fn command_line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    let mut args = command.get_args();
    while let Some(arg) = args.next() {
        if arg == "-o" && words[0].starts_with("apt") {
            args.next();
        } else {
            words.push(arg.to_string_lossy());
        }
    }
    words.join(" ")
}

/// The last `bytes` bytes of `text`, cut at a character.
fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
