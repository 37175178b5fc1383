//! What other names the files of a claim have when it is made (D3). Nobody may be kept from those: they were
//! there before. Whoever registers the claim is told, as far as a bounded look finds them.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use syva_model::command::{ClaimFacts, Command};
use syva_model::image::Scope;
use walkdir::WalkDir;

use crate::vantage::Vantage;

/// How many files and directories are looked at for one command: some ten milliseconds.
const LOOKED_AT: usize = 20_000;
/// How many files are named.
const NAMED: usize = 3;

/// What the caller of a command that makes claims should know of their files' other names. It blocks.
pub fn notes(vantage: &Vantage, command: &Command) -> Vec<String> {
    let claims = match command {
        Command::RegisterZone { claims, .. } => claims.as_slice(),
        Command::RegisterHostPath { claim, .. } => std::slice::from_ref(claim),
        _ => &[],
    };
    let mut left = LOOKED_AT;
    let notes = claims
        .iter()
        .filter_map(|claim| note(vantage, claim, &mut left));
    notes.collect()
}

/// A file with several names: how many it has, and those that were met.
struct Several {
    names: u64,
    met: Vec<PathBuf>,
}

fn note(vantage: &Vantage, claim: &ClaimFacts, left: &mut usize) -> Option<String> {
    let path = claim.path.as_str();
    let place = vantage.place(Path::new(path));
    let depth = match claim.scope {
        Scope::Exact => 0,
        Scope::Subtree => usize::MAX,
    };
    let walk = WalkDir::new(&place).same_file_system(true).max_depth(depth);
    let mut several: HashMap<u64, Several> = HashMap::new();
    let mut whole = true;
    // What cannot be looked at is left out: this is a help, and no decision.
    for entry in walk.into_iter().flatten() {
        if *left == 0 {
            whole = false;
            break;
        }
        *left -= 1;
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() || meta.nlink() < 2 {
            continue;
        }
        if entry.depth() == 0 {
            let names = meta.nlink();
            return Some(format!(
                "{path} has {names} names, and is the zone's by all of them"
            ));
        }
        let file = several.entry(meta.ino()).or_insert_with(|| Several {
            names: meta.nlink(),
            met: Vec::new(),
        });
        file.met.push(entry.into_path());
    }
    let is_outside = |file: &&Several| (file.met.len() as u64) < file.names;
    let outside: Vec<&Several> = several.values().filter(is_outside).collect();
    if outside.is_empty() {
        return None;
    }
    let mut named: Vec<String> = outside
        .iter()
        .filter_map(|file| file.met.first()?.strip_prefix(&place).ok())
        .map(|below| format!("{:?}", Path::new(path).join(below)))
        .collect();
    named.sort_unstable();
    let (count, more) = (named.len(), if named.len() > NAMED { ", …" } else { "" });
    named.truncate(NAMED);
    let bound = match whole {
        true => String::new(),
        false => format!(" (only the first {LOOKED_AT} files were looked at)"),
    };
    Some(format!(
        "files below {path} that have names outside it, which are not the zone's: {count}, {}{more}{bound}; \
         `find {path} -xdev ! -type d -links +1` shows them",
        named.join(", ")
    ))
}
