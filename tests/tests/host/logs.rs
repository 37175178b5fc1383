//! Where log lines go must not matter to what the daemon does.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;

use crate::home::Home;

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let home = Home::new();
    let fifo = home.path("log");
    // Open at both ends, and read by nobody: what is written once it is full waits for ever.
    let script = format!(
        "mkfifo {0} && exec 9<>{0} && exec \"$0\" \"$@\" 2>&9",
        fifo.display()
    );
    let setup = home.setup().variable("RUST_LOG", "trace");
    let daemon = setup
        .under(&["sh", "-c", &script])
        .start()
        .expect("started");
    for round in 0..30 {
        let zone = format!("round-{round}");
        daemon.done(&["zones", "register", &zone]).expect("done");
    }
    let full = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&fifo)
        .and_then(|mut fifo| fifo.write(&[b'x'; 4096]));
    let refused = full.expect_err("the log is full");
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    let ended = daemon.terminate().expect("ended");
    assert!(ended.success(), "{ended}");
}
