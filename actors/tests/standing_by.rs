//! A journal that is refused (D11): what is enforced stays, questions are answered, commands are not
//! taken. And one whose history turns out to be damaged after the start took it on trust.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{BOOT, Host, attach, claim, done, eventually, reasons, reasons_are, register, submit};
use syva_actors::health::{Grade, UNPROVEN};
use syva_actors::history::DAMAGED;
use syva_actors::memory::MemoryKernel;
use syva_actors::writer::REFUSED;
use syva_actors::{CommandError, Engine};
use syva_journal::store::Store as _;
use syva_journal::{Journal, JournalError};
use syva_model::command::{BootId, Command};
use syva_model::entry::Peer;
use syva_model::image::Image;
use syva_model::project::project;

/// A node that was stopped after this, with a snapshot of it all: a zone with a claim and a container.
async fn stopped() -> (Host, String) {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let file = host.file("f");
    done(&engine, register("web")).await;
    done(&engine, claim("web", &file)).await;
    done(&engine, attach("c1", "web", host.cgroup("a"))).await;
    engine.stop().await;
    (host, file)
}

async fn zones(engine: &Engine) -> Vec<String> {
    let named = |glance: &syva_actors::writer::Glance<'_>| {
        let zones = glance.state.zones.keys();
        zones.map(ToString::to_string).collect()
    };
    engine.ask(named).await.expect("answers")
}

async fn takes_nothing(engine: &Engine) {
    let told = submit(engine, register("other")).await;
    let Err(CommandError::NotJournaled(why)) = told else {
        panic!("{told:?}");
    };
    assert!(why.contains("was acknowledged"), "{why}");
    let read = engine.journal().read(1, 1);
    assert!(matches!(read, Err(JournalError::Refused { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kernel_holds_stays_and_questions_are_answered_from_the_snapshot() {
    let (host, _) = stopped().await;
    let (image, control) = (host.kernel.image(), host.kernel.control_row());
    let writes = host.kernel.writes();
    host.disk.shorten(2);
    let engine = host.start_in_memory().await;
    reasons_are(&engine, &[REFUSED]).await;
    takes_nothing(&engine).await;
    assert_eq!(zones(&engine).await, ["web"]);
    let applied = engine.ask(|glance| glance.applied).await.expect("answers");
    assert_eq!(applied, control.applied);
    // Whoever asks for the state again gets nothing that would change a map.
    assert!(engine.reconcile().await.is_err());
    assert_eq!(reasons(&engine), [REFUSED]);
    assert_eq!(host.kernel.writes(), writes, "no map was touched");
    assert_eq!(host.kernel.image(), image);
    engine.stop().await;
    assert_eq!(host.kernel.writes(), writes);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_the_snapshot_is_enforced_and_the_node_claims_nothing() {
    let (mut host, file) = stopped().await;
    let saved = host.disk.snapshots().load().expect("reads").expect("one");
    host.disk.shorten(2);
    host.kernel = MemoryKernel::new();
    host.boot = BootId([2; 16]);
    // The second start finds what the first enforced, and takes it for no more than that.
    for _ in 0..2 {
        let engine = host.start_in_memory().await;
        reasons_are(&engine, &[REFUSED, UNPROVEN]).await;
        assert_eq!(engine.health().borrow().grade(), Grade::Unsafe);
        takes_nothing(&engine).await;
        assert_eq!(zones(&engine).await, ["web"]);
        let held = host.kernel_rows();
        assert!(held.members.is_empty(), "cgroup ids are another boot's");
        let mut expected = project(&saved);
        expected.members.clear();
        assert_eq!(held, expected, "{file} is claimed again");
        let claims = held.claims.values().filter(|row| row.labels());
        assert_eq!(claims.count(), 1);
        let control = host.kernel.control_row();
        assert_eq!((control.applied, control.applying), (0, 0), "by no entry");
        engine.stop().await;
        let kept = host.disk.snapshots().load().expect("reads");
        assert_eq!(kept.as_ref(), Some(&saved), "the snapshot is as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_snapshot_nothing_is_enforced_and_that_is_said() {
    let (mut host, _) = stopped().await;
    host.disk.shorten(2);
    host.kernel = MemoryKernel::new();
    host.disk.forget_snapshot();
    let engine = host.start_in_memory().await;
    reasons_are(&engine, &[REFUSED, UNPROVEN]).await;
    let words = engine.health().borrow().reasons[UNPROVEN].clone();
    assert!(words.contains("nothing is enforced"), "{words}");
    assert_eq!(zones(&engine).await, [""; 0]);
    assert_eq!(host.kernel.image(), Image::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_follows_and_does_not_fold_is_refused_in_the_same_way() {
    let host = Host::new();
    host.start().await.expect("starts").stop().await;
    let (mut journal, _) = Journal::open(&host.journal_dir()).expect("opens");
    let nothing = Command::DetachContainer {
        container: "nobody".into(),
        source: String::new(),
        generation: 0,
    };
    let entry = journal.head().next(0, BOOT, Peer::default(), nothing);
    journal
        .append(&[entry.encode().expect("encodes")])
        .expect("appends");
    drop(journal);
    let engine = host.start().await.expect("stands by");
    reasons_are(&engine, &[REFUSED]).await;
    let words = engine.health().borrow().reasons[REFUSED].clone();
    assert!(words.contains("cannot be folded"), "{words}");
    assert!(host.journal_is_locked());
    // Who only reads the directory is let in.
    syva_journal::Offline::open(&host.journal_dir()).expect("reads");
    engine.stop().await;
    assert!(!host.journal_is_locked());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_start_does_not_meet_is_found_and_named_while_commands_are_taken() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    for n in 0..300 {
        done(&engine, register(&format!("zone{n}"))).await;
    }
    engine.stop().await;
    // Whole, there is nothing to say.
    let engine = host.start_in_memory().await;
    let mut read = 0;
    eventually("all of the history is read", || {
        read += host.disk.take_records_read();
        read > 300
    })
    .await;
    engine.stop().await;
    // Of 301 entries a start looks at 65, the first and the fifth among them.
    let mut raw = host.disk.read(3, 1).expect("reads").remove(0);
    raw.payload[20] ^= 1;
    host.disk.put(raw);
    let engine = host.start_in_memory().await;
    reasons_are(&engine, &[DAMAGED]).await;
    let words = engine.health().borrow().reasons[DAMAGED].clone();
    assert!(words.contains("entry 3 "), "{words}");
    let seq = done(&engine, register("more")).await;
    assert_eq!(seq, 302, "commands are taken");
    assert_eq!(zones(&engine).await.len(), 301);
    engine.stop().await;

    // The history can be let go of, and what it led to is kept.
    let (mut journal, loss) = host.disk.open_accepting_loss().expect("opens");
    journal
        .accept(
            loss,
            "its history is damaged",
            &Peer::default(),
            1,
            &mut |_| (),
        )
        .expect("is accepted");
    drop(journal);
    let engine = host.start_in_memory().await;
    reasons_are(&engine, &[]).await;
    assert_eq!(zones(&engine).await.len(), 301);
    done(&engine, register("again")).await;
    assert!(engine.journal().verify().is_ok());
}
