#![allow(clippy::expect_used)]

use std::fs;

use syva_model::image::ObjectKey;
use tempfile::TempDir;

use super::*;

fn command(path: &Path, scope: Scope) -> Command {
    let path = path.to_str().expect("UTF-8").to_owned();
    Command::RegisterHostPath {
        zone: syva_model::name::ZoneName::new("web").expect("valid"),
        claim: ClaimFacts {
            asked: path.clone(),
            path,
            object: ObjectKey {
                dev: 1,
                ino: 1,
                subvol: 0,
            },
            generation: 0,
            scope,
            above: Vec::new(),
        },
    }
}

fn notes_of(path: &Path, scope: Scope) -> Vec<String> {
    notes(&Vantage::own(), &command(path, scope))
}

/// A directory to claim, with a file in it.
fn scene() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let claimed = dir.path().canonicalize().expect("there").join("claimed");
    fs::create_dir_all(claimed.join("sub")).expect("made");
    fs::write(claimed.join("sub/file"), "").expect("written");
    (dir, claimed)
}

#[test]
fn names_outside_are_told_and_names_inside_are_not() {
    let (dir, claimed) = scene();
    let file = claimed.join("sub/file");
    assert_eq!(notes_of(&claimed, Scope::Subtree), [""; 0]);
    fs::hard_link(&file, claimed.join("beside")).expect("linked");
    assert_eq!(notes_of(&claimed, Scope::Subtree), [""; 0], "both inside");
    fs::hard_link(&file, dir.path().join("outside")).expect("linked");
    let told = notes_of(&claimed, Scope::Subtree);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("not the zone's: 1, "), "{told:?}");
    for scope in [Scope::Subtree, Scope::Exact] {
        let itself = notes_of(&file, scope).concat();
        let expected = "has 3 names, and is the zone's by all of them";
        assert!(itself.ends_with(expected), "{itself}");
    }
    assert_eq!(notes_of(&claimed, Scope::Exact), [""; 0], "not looked into");
}

#[test]
fn a_few_are_named_and_the_look_is_bounded() {
    let (dir, claimed) = scene();
    for n in 0..NAMED + 2 {
        let file = claimed.join(format!("file-{n}"));
        fs::write(&file, "").expect("written");
        fs::hard_link(&file, dir.path().join(format!("outside-{n}"))).expect("linked");
    }
    let told = notes_of(&claimed, Scope::Subtree).concat();
    assert!(told.contains(": 5, "), "{told}");
    assert!(
        told.contains("file-2") && !told.contains("file-3"),
        "{told}"
    );
    let Command::RegisterHostPath { claim, .. } = command(&claimed, Scope::Subtree) else {
        unreachable!()
    };
    let mut left = 0;
    assert_eq!(note(&Vantage::own(), &claim, &mut left), None);
    let mut left = 1000;
    assert!(note(&Vantage::own(), &claim, &mut left).is_some());
    assert!(left > 900, "{left}");
}
