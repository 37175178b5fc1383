//! What a reader sees, beside a writer.

use std::time::{Duration, Instant};

use super::*;
use crate::record::Fault;

#[test]
fn a_reader_names_the_first_bad_entry_and_reads_what_is_good() {
    let disk = disk_with(&["a", "b", "c", "d"]);
    let (journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    let mut raw = Store::read(&disk, 3, 1).expect("reads").remove(0);
    raw.payload[30] ^= 1;
    disk.put(raw);
    assert_eq!(reader.read(1, 2).expect("reads").len(), 2);
    for from in [1, 3, 4] {
        assert!(
            matches!(
                reader.read(from, 9),
                Err(JournalError::BadEntry { seq: 3, .. })
            ),
            "from {from}"
        );
    }
    assert!(matches!(
        journal.verify(),
        Err(JournalError::BadEntry { seq: 3, .. })
    ));
    assert_eq!(
        reader.read_raw(0, 9).expect("reads").len(),
        4,
        "export takes all"
    );
    disk.shorten(2);
    assert!(matches!(
        journal.verify(),
        Err(JournalError::BadEntry {
            seq: 3,
            fault: Fault::Missing { next: None },
            ..
        })
    ));
    assert!(reader.read(5, 9).expect("past the end").is_empty());
}

#[test]
fn a_slow_flush_stops_no_reader_and_shows_it_nothing_early() {
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    disk.slow_flush(Duration::from_millis(400));
    let writer = std::thread::spawn(move || {
        append(&mut journal, &["b"]).expect("appends");
        journal
    });
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(reader.read(1, 9).expect("reads").len(), 1);
    assert!(begun.elapsed() < Duration::from_millis(200));
    let _journal = writer.join().expect("ends");
    assert_eq!(reader.read(1, 9).expect("reads").len(), 2);
}

#[test]
fn a_reader_outlives_a_reopening_and_not_the_journal() {
    fn shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    let disk = disk_with(&["a"]);
    let (mut journal, _) = disk.open().expect("opens");
    let reader = journal.reader();
    shareable(&reader);
    journal.reopen().expect("reopens");
    assert_eq!(reader.read(1, 9).expect("reads").len(), 1);
    drop(journal);
    assert!(matches!(reader.read(1, 9), Err(JournalError::Closed)));
}
