//! Finds the files of this machine's own apt configuration, and the Debian mirrors they name.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::VmError;
use super::apt::{self, Mirrors, Source};
use super::command::output;

/// The mirrors named by this machine's own apt configuration.
pub fn of_this_machine() -> Result<Mirrors, VmError> {
    let mut command = Command::new("apt-config");
    command.args([
        "shell",
        "LIST",
        "Dir::Etc::sourcelist/f",
        "PARTS",
        "Dir::Etc::sourceparts/d",
    ]);
    let places = output("find apt's sources", &mut command)?;
    let place = |name: &str| {
        let line = places
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        PathBuf::from(line.unwrap_or_default().trim_matches('\''))
    };
    let mut files = vec![place("LIST")];
    if let Ok(entries) = fs::read_dir(place("PARTS")) {
        files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let mut sources: Vec<Source> = Vec::new();
    for file in &files {
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(apt::parse_list(&text)),
            Some("sources") => sources.extend(apt::parse_deb822(&text)),
            _ => {}
        }
    }
    let read = || {
        files
            .iter()
            .map(|f| f.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    Mirrors::among(&sources).ok_or_else(|| VmError::NoMirror { read: read() })
}
