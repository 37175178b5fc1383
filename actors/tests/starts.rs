//! What a start finds, what it writes, and what an end leaves (D12, I4).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;

use common::{
    BOOT, Host, attach, claim, done, entries, fold, last_command, reasons, reasons_are, register,
    register_with,
};
use syva_actors::StartError;
use syva_actors::memory::Fault;
use syva_actors::reconciler::BEHIND;
use syva_journal::JournalError;
use syva_model::command::{BootId, Command};
use syva_model::image::{Mode, Table};

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_maps_that_are_right_writes_the_control_row_and_nothing_else() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    let (file, cgroup) = (host.file("f"), host.cgroup("a/b"));
    done(&engine, register_with("web", &[&file], &["host"])).await;
    done(&engine, attach("c1", "web", cgroup)).await;
    engine.stop().await;
    let (image, control) = (host.kernel.image(), host.kernel.control_row());

    host.kernel.record();
    let before = host.kernel.writes();
    let engine = host.start().await.expect("starts again");
    assert_eq!(host.kernel.writes() - before, 2, "it begins and it ends");
    assert_eq!(
        host.kernel.recorded(),
        [],
        "nothing is cleared and filled again"
    );
    assert_eq!(host.kernel.image(), image);
    assert_eq!(
        host.kernel.control_row(),
        control,
        "no cached label is stale"
    );
    assert_eq!(engine.journal().head().seq, 3, "the same boot is no entry");
    assert_eq!(engine.drift_repaired(), 0);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_repairs_what_differs_and_calls_it_no_drift() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    done(&engine, register("web")).await;
    engine.stop().await;
    host.kernel.tamper(|image| image.zones.clear());
    let engine = host.start().await.expect("starts again");
    assert!(host.agrees_with(&engine.journal()));
    assert_eq!(engine.drift_repaired(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_boot_is_an_entry_that_voids_memberships_and_looks_claims_up_again() {
    let mut host = Host::new();
    let engine = host.start().await.expect("starts");
    let files = ["stays", "moves", "is replaced"].map(|name| host.file(name));
    let [stays, moves, replaced] = &files;
    done(&engine, register("web")).await;
    for file in &files {
        done(&engine, claim("web", file)).await;
    }
    done(&engine, attach("c1", "web", host.cgroup("a/b"))).await;
    engine.stop().await;
    let before = host.kernel.image();

    fs::rename(moves, format!("{moves}-away")).expect("moves");
    fs::rename(replaced, format!("{replaced}-away")).expect("moves");
    fs::write(replaced, "another").expect("replaced");
    host.boot = BootId([2; 16]);
    let engine = host.start().await.expect("starts again");
    assert!(matches!(last_command(&engine), Command::Boot { claims, .. } if claims.len() == 3));
    let state = fold(&engine.journal());
    assert_eq!(state.boot, Some(host.boot));
    assert!(state.members.is_empty());
    assert!(state.lost.keys().eq([moves]), "{:?}", state.lost);
    let (kept, _) = state.claim_at(stays).expect("kept");
    assert!(before.claims.contains_key(kept), "the same object");
    let (new, _) = state.claim_at(replaced).expect("found again");
    assert!(!before.claims.contains_key(new), "what is there now");
    assert!(host.agrees_with(&engine.journal()));
    assert!(host.kernel.image().members.is_empty(), "those below it too");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mode_asked_for_is_an_entry_once() {
    let mut host = Host::new();
    for (mode, expected) in [
        (None, 1),                // boot
        (Some(Mode::Audit), 2),   // and the mode
        (Some(Mode::Audit), 2),   // so already
        (None, 2),                // it stays
        (Some(Mode::Enforce), 3), // changed back
    ] {
        host.mode = mode;
        let engine = host.start().await.expect("starts");
        assert_eq!(engine.journal().head().seq, expected, "{mode:?}");
        let recorded = fold(&engine.journal()).mode;
        assert_eq!(recorded, mode.unwrap_or(recorded));
        assert_eq!(host.kernel.control_row().mode, recorded);
        assert_eq!(entries(&engine.journal())[0].entry.boot, BOOT);
        engine.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_kernel_that_refuses_writes_says_so_in_health() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    done(&engine, register("web")).await;
    engine.stop().await;
    host.kernel.tamper(|image| image.zones.clear());
    host.kernel.set_fault(Some(Fault::Refuse(Table::Zones, 5)));
    let engine = host.start().await.expect("starts all the same");
    reasons_are(&engine, &[BEHIND]).await;
    host.kernel.set_fault(None);
    reasons_are(&engine, &[]).await;
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_lasts_as_long_as_the_engine_and_no_longer() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    let second = host.start().await;
    let Err(StartError::Journal(JournalError::Locked { .. })) = second else {
        panic!("two daemons run");
    };
    assert_eq!(reasons(&engine), [""; 0], "the first does not notice");
    engine.stop().await;
    for _ in 0..5 {
        host.start().await.expect("the lock is free").stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    let host = Host::new();
    host.kernel.set_fault(Some(Fault::FailLoad));
    let Err(StartError::Kernel(error)) = host.start().await else {
        panic!("nothing is loaded");
    };
    assert_eq!(error.operation, "load");
    host.kernel.set_fault(None);
    host.start().await.expect("the lock is free").stop().await;
}

#[tokio::test]
async fn a_runtime_of_one_thread_is_refused_in_words() {
    let host = Host::new();
    let Err(error) = host.start().await else {
        panic!("it would panic later");
    };
    assert!(error.to_string().contains("multi-threaded"), "{error}");
    assert!(!host.journal_dir().exists(), "nothing was touched");
}
