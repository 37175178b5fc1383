//! The docs' table of hooks is generated from the one list of hooks; this compares them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::Path;

use syva_model::hook::{Hook, ObjectKind};

fn table() -> String {
    let mut text = String::from(
        "# Hooks\n\nGenerated from `core/src/hook.rs` (`UPDATE_DOCS=1 cargo test -p syva-model --test docs`); do not edit.\n\n\
         | hook | what is refused | the object's zone is found by |\n|---|---|---|\n",
    );
    for hook in Hook::ALL {
        let found = match hook.object_kind() {
            ObjectKind::File => {
                "the nearest claim above it on its file system; in POSIX queues and `/dev/shm` else the zone that made it; \
                 other unclaimed files are free"
            }
            ObjectKind::Task => "the task's cgroup; a task in no zone is the host's",
            ObjectKind::Socket => {
                "the claim it is bound in, else the cgroup that made it; in no zone it is the host's"
            }
            ObjectKind::Node => "a cgroup's zone; all else is the host's",
            ObjectKind::Ipc => {
                "the cgroup of the task that made it, or its zone then; in no zone it is the host's"
            }
        };
        writeln!(text, "| `{}` | {} | {found} |", hook.name(), hook.denies()).unwrap();
    }
    text
}

#[test]
fn the_docs_table_of_hooks_is_what_the_list_generates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hooks.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        held,
        table(),
        "run: UPDATE_DOCS=1 cargo test -p syva-model --test docs"
    );
}
