//! `journal accept-loss`: a refused journal starts again, and says what it lost.

use std::fs;

use serde_json::json;
use syva_journal::Journal;

use crate::offline::{Offline, made};

const ACCEPT: &str = "journal accept-loss --format json";

fn starts(journal: &Offline) -> bool {
    Journal::open(&journal.dir()).is_ok()
}

#[test]
fn where_nothing_is_lost_there_is_nothing_to_accept() {
    let journal = made(3);
    let run = journal.run("journal accept-loss");
    assert_eq!(run.exit, 1, "{}", run.err);
    assert!(run.err.contains("nothing is lost"), "{}", run.err);
    assert_eq!(journal.run("journal verify").exit, 0, "nor was it changed");
    let open = Journal::open(&journal.dir()).expect("opens");
    let run = journal.run("journal accept-loss");
    assert_eq!(run.exit, 1, "{}", run.err);
    assert!(run.err.contains("open"), "{}", run.err);
    drop(open);
    let none = made(1);
    fs::remove_dir_all(none.dir()).expect("removes");
    assert_eq!(none.run("journal accept-loss").exit, 1);
    assert!(!none.dir().exists(), "nothing was made");
}

#[test]
fn a_lost_store_leaves_what_the_snapshot_says_and_without_one_nothing() {
    for snapshot in [true, false] {
        let journal = made(3);
        if snapshot {
            journal.save_snapshot();
        }
        fs::remove_file(journal.dir().join("db")).expect("removes");
        assert!(!starts(&journal));
        let run = journal.run(ACCEPT);
        assert_eq!(run.exit, 0, "{}", run.err);
        let told = run.json()["result"].clone();
        assert_eq!(told["acknowledged"], json!(4));
        let kept = if snapshot { 4 } else { 0 };
        assert_eq!(
            (&told["kept_to"], &told["entry"]),
            (&json!(kept), &json!(kept + 1 + u64::from(snapshot)))
        );
        assert_eq!(
            told["history_to"],
            if snapshot { json!(4) } else { json!(null) }
        );
        assert!(starts(&journal));
        let replayed = journal.run("journal replay --state --format json").json();
        let zones = replayed["state"]["zones"].as_array().map_or(0, Vec::len);
        assert_eq!(zones, if snapshot { 3 } else { 0 });
        let inspected = journal.run("journal inspect --kind accept_loss");
        assert!(
            inspected.out.contains("entry 4 had been acknowledged"),
            "{}",
            inspected.out
        );
    }
}

#[test]
fn a_journal_whose_anchor_is_gone_or_damaged_is_taken_as_it_is_with_a_word() {
    type Harm = fn(&Offline);
    let harms: [Harm; 2] = [
        |journal| fs::write(journal.dir().join("anchor"), [0; 8192]).expect("writes"),
        |journal| fs::remove_file(journal.dir().join("anchor")).expect("removes"),
    ];
    for harm in harms {
        let journal = made(3);
        harm(&journal);
        assert!(!starts(&journal));
        let run = journal.run("journal accept-loss");
        assert_eq!(run.exit, 0, "{}", run.err);
        assert!(
            run.out
                .contains("whatever came after entry 4 is lost; entry 5 says so"),
            "{}",
            run.out
        );
        assert!(starts(&journal));
    }
}
