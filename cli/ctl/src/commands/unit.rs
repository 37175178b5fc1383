//! Which cgroup is meant: by its id, by its directory, or by the systemd unit it is of.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::exit::Failure;

/// The three ways to say it, of which one is needed.
#[derive(Debug, Args)]
pub struct Which {
    #[command(flatten)]
    named: Named,
    /// Where cgroup v2 is mounted: units are looked for below it
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/cgroup")]
    cgroup_root: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Named {
    /// The cgroup-v2 id: the inode number of the cgroup's directory
    #[arg(long, value_name = "N")]
    cgroup_id: Option<u64>,
    /// The cgroup's directory
    #[arg(long, value_name = "DIR")]
    cgroup_path: Option<PathBuf>,
    /// The systemd unit that the cgroup is of, as it runs now; its id is the generation, if none is
    /// given: a unit started again has a newer one
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,
}

/// A cgroup that was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: u64,
    /// The generation that goes with it; 0: none.
    pub generation: u64,
}

impl Which {
    /// Finds the cgroup.
    ///
    /// # Errors
    /// [`Failure::Cgroup`], in words.
    pub fn find(self) -> Result<Found, Failure> {
        let Named {
            cgroup_id,
            cgroup_path,
            unit,
        } = self.named;
        if let Some(unit) = unit {
            let id = inode(&of_unit(&unit, &self.cgroup_root)?)?;
            // A cgroup's id only grows, and a unit gets a new cgroup at each start: so a start is
            // newer than the one before, whose end nobody need have noticed yet.
            let generation = id;
            return Ok(Found { id, generation });
        }
        let id = match (cgroup_id, cgroup_path) {
            (Some(id), _) => id,
            (None, Some(path)) => inode(&path)?,
            // The command line asks for one of the three.
            (None, None) => 0,
        };
        Ok(Found { id, generation: 0 })
    }
}

fn inode(directory: &Path) -> Result<u64, Failure> {
    let shown = directory.display();
    let found = fs::metadata(directory)
        .map_err(|said| Failure::Cgroup(format!("looking at the cgroup {shown} said: {said}")))?;
    if !found.is_dir() {
        return Err(Failure::Cgroup(format!(
            "{shown} is not a directory, so it is no cgroup"
        )));
    }
    Ok(found.ino())
}

/// The unit's cgroup: systemd's word if it can be had, else the one directory of that name.
fn of_unit(unit: &str, root: &Path) -> Result<PathBuf, Failure> {
    if unit.is_empty() || unit.contains('/') {
        return Err(Failure::Cgroup(format!(
            "{unit:?} is not the name of a systemd unit"
        )));
    }
    if let Some(path) = said_by_systemd(unit) {
        return Ok(root.join(path.trim_start_matches('/')));
    }
    let mut found = Vec::new();
    search(root, unit, &mut found).map_err(|said| {
        Failure::Cgroup(format!(
            "looking for the cgroup of {unit} below {} said: {said}",
            root.display()
        ))
    })?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Cgroup(format!(
            "unit {unit} has no cgroup below {}: is it running? (systemctl status {unit})",
            root.display()
        ))),
        several => {
            let shown = several.iter().map(|path| path.display().to_string());
            let shown = shown.collect::<Vec<_>>().join(", ");
            Err(Failure::Cgroup(format!(
                "several cgroups are called {unit} ({shown}): say which with --cgroup-path"
            )))
        }
    }
}

/// What `systemctl` says; nothing if there is none, or the unit does not run.
fn said_by_systemd(unit: &str) -> Option<String> {
    let asked = Command::new("systemctl")
        .args(["show", "--property=ControlGroup", "--value", "--", unit])
        .output();
    let said = String::from_utf8(asked.ok()?.stdout).ok()?;
    let path = said.trim();
    (path.starts_with('/') && path != "/").then(|| path.to_owned())
}

fn search(directory: &Path, name: &str, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name() == name {
            found.push(entry.path());
        }
        match search(&entry.path(), name, found) {
            // Cgroups come and go. What a container puts deeper than paths reach is no unit of systemd's.
            Err(error) if is_gone_or_too_deep(&error) => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn is_gone_or_too_deep(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotFound};
    matches!(error.kind(), NotFound | InvalidFilename)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_too_deep_for_a_path_keep_no_unit_from_being_found() {
        let root = tempfile::tempdir().expect("a directory");
        let unit = "syva-test-of-the-cli@2.service";
        let place = root.path().join("system.slice").join(unit);
        fs::create_dir_all(&place).expect("made");
        let deep = root.path().join("deep");
        fs::create_dir(&deep).expect("made");
        // Each is made at the root, where the path is short, and moved around what is there already.
        for _ in 0..20 {
            let (outer, name) = (root.path().join("outer"), "d".repeat(255));
            fs::create_dir(&outer).expect("made");
            fs::rename(&deep, outer.join(name)).expect("moved");
            fs::rename(&outer, &deep).expect("moved");
        }
        assert_eq!(of_unit(unit, root.path()).expect("found"), place);
    }

    #[test]
    fn a_unit_is_found_by_its_directory_if_there_is_one_of_the_name() {
        let root = tempfile::tempdir().expect("a directory");
        let unit = "syva-test-of-the-cli@1.service";
        let place = root.path().join("system.slice/system-a.slice").join(unit);
        let none = of_unit(unit, root.path()).expect_err("there is none");
        assert!(none.to_string().contains("is it running"), "{none}");
        fs::create_dir_all(&place).expect("made");
        assert_eq!(of_unit(unit, root.path()).expect("found"), place);
        fs::create_dir_all(root.path().join("machine.slice").join(unit)).expect("made");
        let several = of_unit(unit, root.path()).expect_err("two");
        assert!(several.to_string().contains("--cgroup-path"), "{several}");
        assert!(of_unit("../x", root.path()).is_err());
    }

    #[test]
    fn what_is_no_directory_is_no_cgroup() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert!(inode(file.path()).is_err());
        assert!(inode(Path::new("/no/such/cgroup")).is_err());
    }
}
