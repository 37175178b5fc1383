//! `journal export` and `journal import`.

use serde_json::json;

use super::*;
use crate::run;

#[test]
fn what_is_exported_from_the_daemon_is_imported_as_the_same_journal() {
    let (entries, running) = journal();
    let daemon = daemon(entries.clone(), running);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("export");
    let line = format!("journal export {} --format json", file.display());
    let done = run(&daemon.socket, &line);
    assert_eq!(done.exit, 0, "{}", done.out);
    let answer = done.json();
    assert_eq!(
        (&answer["entries"], &answer["last_seq"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(
        answer["bytes"],
        std::fs::metadata(&file).expect("there").len()
    );
    let again = run(&daemon.socket, &line);
    assert_eq!(again.exit, 1, "an export replaces nothing");
    assert!(again.out.contains("it exists"), "{}", again.out);
    let piped = crate::command(&daemon.socket, "journal export -")
        .output()
        .expect("runs");
    assert_eq!(piped.stdout, std::fs::read(&file).expect("there"));
    let new = dir.path().join("new");
    let line = format!("journal import {} --path {}", file.display(), new.display());
    let made = run(&daemon.socket, &line);
    assert_eq!(made.exit, 0, "{}", made.err);
    let line = format!("journal inspect --path {} --format json", new.display());
    let offline = run(&daemon.socket, &line);
    let live = run(&daemon.socket, "journal inspect --format json");
    assert_eq!(offline.out, live.out);
}

#[test]
fn a_broken_journal_is_not_exported_and_leaves_no_file() {
    let (mut entries, running) = journal();
    entries[2].payload[40] ^= 1;
    let daemon = daemon(entries, running);
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("export");
    let failed = run(
        &daemon.socket,
        &format!("journal export {}", file.display()),
    );
    assert_eq!(failed.exit, 4);
    assert!(
        failed.err.contains("entry 3 of the export"),
        "{}",
        failed.err
    );
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
}
