//! Accepting loss: the one way past a journal that is refused.

use super::*;

#[test]
fn accepted_loss_is_refused_again_until_an_entry_about_it_is_durable() {
    let disk = disk_with(&["a", "b", "c"]);
    let acknowledged = anchored(&disk);
    disk.shorten(1);
    for _ in 0..2 {
        let (journal, loss) = disk.open_accepting_loss().expect("opens");
        assert_eq!((loss.anchored, loss.head.seq), (Some(acknowledged), 1));
        assert!(!loss.is_nothing());
        assert_eq!(texts(&journal), ["a"]);
        drop(journal);
        assert!(matches!(disk.open(), Err(JournalError::Short { .. })));
    }
    let (mut journal, _) = disk.open_accepting_loss().expect("opens");
    append(&mut journal, &["b and c were lost"]).expect("appends");
    drop(journal);
    let (journal, recovery) = disk.open().expect("opens");
    assert_eq!(recovery.head.seq, 2);
    assert_eq!(texts(&journal), ["a", "b and c were lost"]);
}

#[test]
fn accepting_loss_where_nothing_is_lost_says_so() {
    let disk = disk_with(&["a"]);
    let (_, loss) = disk.open_accepting_loss().expect("opens");
    assert!(loss.is_nothing(), "{loss:?}");
}

#[test]
fn accepting_loss_cuts_a_damaged_entry_and_all_behind_it() {
    let disk = disk_with(&["a", "b", "c"]);
    let mut raw = Store::read(&disk, 2, 1).expect("reads").remove(0);
    raw.payload.truncate(3);
    disk.put(raw);
    let (journal, loss) = disk.open_accepting_loss().expect("opens");
    let cut = loss.cut.expect("is cut");
    assert_eq!((cut.from, cut.records), (2, 2));
    assert_eq!(texts(&journal), ["a"]);
}
