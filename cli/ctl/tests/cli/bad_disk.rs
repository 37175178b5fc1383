//! `journal … --path` where the disk is full or may not be written. Needs to mount a tmpfs; where that is
//! not permitted the tests say that they were skipped.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use crate::offline::{Offline, made};
use crate::{Run, command, finished};

/// A small file system; unmounted when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new(size: &str) -> Option<Mount> {
        let dir = tempfile::tempdir().expect("a directory");
        let options = format!("size={size}");
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no tmpfs can be mounted here");
            return None;
        }
        Some(Mount(dir))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn remount_read_only(&self) {
        let done = Program::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.0.path())
            .status();
        assert!(done.expect("runs").success());
    }

    /// Takes all the room there is, into a file.
    fn fill(&self) -> PathBuf {
        let path = self.path("filler");
        let mut file = fs::File::create(&path).expect("makes");
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
        path
    }

    fn names(&self) -> Vec<PathBuf> {
        let items = fs::read_dir(self.0.path()).expect("lists");
        items.map(|item| item.expect("lists").path()).collect()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn on(dir: &Path, line: &str, temporary: &Path) -> Run {
    let mut command = command(Path::new("/none"), line);
    command.arg("--path").arg(dir).env("TMPDIR", temporary);
    finished(command.output().expect("runs"))
}

#[test]
fn without_room_for_the_copy_the_export_or_the_import_it_says_so_and_leaves_nothing() {
    let journal = made(200);
    let Some(full) = Mount::new("64k") else {
        return;
    };
    let read = on(&journal.dir(), "journal verify", full.0.path());
    assert_eq!(read.exit, 4, "{}", read.err);
    assert!(read.err.contains("No space left"), "{}", read.err);
    assert!(read.err.contains("TMPDIR"), "{}", read.err);
    let filler = full.fill();
    let line = format!("journal export {}", full.path("export").display());
    let export = on(&journal.dir(), &line, &std::env::temp_dir());
    assert_eq!(export.exit, 4, "{}", export.err);
    assert_eq!(full.names(), [filler.as_path()], "nothing is left");
    fs::remove_file(&filler).expect("removes");
    let kept = journal.file("kept");
    let line = format!("journal export {}", kept.display());
    assert_eq!(journal.run(&line).exit, 0);
    let line = format!("journal import {}", kept.display());
    let import = on(&full.path("new"), &line, &std::env::temp_dir());
    assert_eq!(import.exit, 4, "{}", import.err);
    assert_eq!(full.names(), Vec::<PathBuf>::new(), "nothing is left");
}

#[test]
fn a_journal_on_a_read_only_file_system_is_read_and_not_changed() {
    let Some(mount) = Mount::new("16m") else {
        return;
    };
    let journal = made(5);
    let kept = journal.file("kept");
    let line = format!("journal export {}", kept.display());
    assert_eq!(journal.run(&line).exit, 0);
    let Offline { home, .. } = &journal;
    let dir = mount.path("state");
    fs::create_dir(&dir).expect("makes");
    for item in fs::read_dir(home.path().join("state")).expect("lists") {
        let item = item.expect("lists");
        if item.path().is_file() {
            fs::copy(item.path(), dir.join(item.file_name())).expect("copies");
        }
    }
    mount.remount_read_only();
    let temporary = std::env::temp_dir();
    let read = on(&dir, "journal verify", &temporary);
    assert_eq!(read.exit, 0, "{}", read.err);
    let prune = on(
        &dir,
        "journal prune --before 3 --without-export",
        &temporary,
    );
    assert_eq!(prune.exit, 1, "{}", prune.err);
    assert!(prune.err.contains("not writable"), "{}", prune.err);
    let line = format!("journal import {}", kept.display());
    let import = on(&mount.path("new"), &line, &temporary);
    assert_eq!(import.exit, 1, "{}", import.err);
    assert_eq!(on(&dir, "journal verify", &temporary).exit, 0);
}
