//! What a command's caller is told is what is so: in the journal, and in the maps (I1).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{
    Host, NEVER, allow, allow_socket, attach, claim, detach, done, entries, eventually, fold,
    reasons_are, register, register_with, submit, unclaim,
};
use syva_actors::engine::IN_HAND;
use syva_actors::memory::Fault;
use syva_actors::reconciler::BEHIND;
use syva_actors::writer::{Glance, JOURNAL};
use syva_actors::{CommandError, Engine, Request};
use syva_journal::store::memory::Call;
use syva_model::entry::Peer;
use syva_model::image::Table;
use tokio::task::JoinSet;

const EIO: i32 = 5;
/// What a kernel says to a write: no memory for the row, a full map, no permission (errno(3)).
const REFUSALS: [i32; 3] = [12, 7, 1];

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_command_is_in_the_journal_and_in_the_maps() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    let (shared, own) = (host.file("shared"), host.file("own"));
    let (first, second) = (host.cgroup("a"), host.cgroup("b"));
    let remove = Request::RemoveZone {
        zone: "web".into(),
        drain: true,
    };
    let commands = [
        register_with("web", &[&shared], &["db"]),
        register_with("db", &[], &["web"]),
        register("other"),
        claim("db", &own),
        allow("web", "other"),
        attach("c1", "web", first),
        attach("c2", "db", second),
        unclaim("db", &own),
        Request::DenyComm("web".into(), "other".into()),
        remove,
        detach("c1"),
    ];
    for (position, command) in commands.into_iter().enumerate() {
        let words = format!("{command:?}");
        // The boot entry is the first.
        assert_eq!(done(&engine, command).await, position as u64 + 2, "{words}");
        assert!(host.agrees_with(&engine.journal()), "{words}");
    }
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_epoch_advances_with_claims_and_with_nothing_else() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let (file, cgroup) = (host.file("f"), host.cgroup("a"));
    let epoch = || host.kernel.control_row().epoch;
    for (command, advances) in [
        (register("web"), false),
        (claim("web", &file), true),
        (claim("web", &file), false), // is so already
        (unclaim("web", &file), true),
        (claim("web", &file), true),
        (attach("c1", "web", cgroup), false),
        (register_with("web", &[], &["host"]), false),
        (register_with("web", &[&file], &["host"]), false), // wanted twice now, the row is the same
    ] {
        let (before, words) = (epoch(), format!("{command:?}"));
        done(&engine, command).await;
        assert_eq!(epoch() > before, advances, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_refuses_a_write_is_told_and_mended_by_comparison() {
    let tables = Table::ALL.into_iter();
    let cases = tables.flat_map(|table| REFUSALS.map(|errno| (table, errno, errno == 12)));
    for (table, errno, by_timer) in cases {
        let mut host = Host::new();
        host.interval = if by_timer {
            Duration::from_millis(50)
        } else {
            NEVER
        };
        let engine = host.start_in_memory().await;
        let file = host.file("f");
        done(&engine, register_with("db", &[], &["web"])).await;
        done(&engine, register("web")).await;
        host.kernel.set_fault(Some(Fault::Refuse(table, errno)));
        let words = std::io::Error::from_raw_os_error(errno).to_string();
        let command = match table {
            Table::Zones | Table::Control => register("new"),
            Table::Members => attach("c1", "web", host.cgroup("a")),
            Table::Claims => claim("web", &file),
            Table::Pairs => allow("web", "db"),
            Table::HostSockets => allow_socket("web", "@name"),
        };
        for _ in 0..2 {
            // The second time it is unchanged, and still not in force.
            let told = submit(&engine, command.clone()).await;
            let Err(CommandError::NotEnforced { seq: 4, said }) = told else {
                panic!("{table:?}: {told:?}");
            };
            let system = said.contains(&words) || said.contains("does not hold");
            assert!(system, "{table:?}: {said}");
        }
        reasons_are(&engine, &[BEHIND]).await;
        assert_eq!(entries(&engine.journal()).len(), 4, "{table:?}");
        let asked = engine.ask(|glance| (glance.state.seq(), glance.applied));
        assert_eq!(asked.await.expect("answers"), (4, 3), "{table:?}");

        host.kernel.set_fault(None);
        if !by_timer {
            engine.reconcile().await.expect("mended");
        }
        reasons_are(&engine, &[]).await;
        assert!(host.agrees_with(&engine.journal()), "{table:?}");
        assert_eq!(done(&engine, command).await, 0, "{table:?}");
        assert_eq!(engine.drift_repaired(), 0, "what was behind is no drift");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_flush_delays_its_commands_and_nothing_else() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    done(&engine, register("web")).await;
    let slow = Duration::from_millis(1500);
    host.disk.slow_flush(slow);
    host.disk.take_calls();
    let begun = std::time::Instant::now();
    let mut answers = spawn_all(&engine, [register("db")]);
    eventually("the flush is under way", || {
        !host.disk.take_calls().is_empty()
    })
    .await;
    // Maps are compared and repaired meanwhile, and only the writer is not to be reached.
    host.kernel.tamper(|image| image.zones.clear());
    assert_eq!(engine.reconcile().await.expect("repairs").repaired(), 1);
    let patience = Duration::from_millis(50);
    assert_eq!(
        engine.alive(patience).await,
        Err(syva_actors::engine::Silent("writer", patience))
    );
    assert!(begun.elapsed() < slow, "all that was in time");
    assert_eq!(engine.journal().head().seq, 2, "nothing is shown before");
    let answer = answers.join_next().await.expect("one").expect("ends");
    assert_eq!(answer.expect("is done").seq, Some(3));
    assert!(
        begun.elapsed() >= slow,
        "acknowledged before it was durable"
    );
    host.disk.slow_flush(Duration::ZERO);
    assert_eq!(engine.alive(Duration::from_secs(10)).await, Ok(()));
    reasons_are(&engine, &[]).await;
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_behind_is_tried_again_before_the_timer() {
    let host = Host::new(); // its timer never comes
    let engine = host.start_in_memory().await;
    host.kernel
        .set_fault(Some(Fault::Refuse(Table::Zones, EIO)));
    assert!(submit(&engine, register("web")).await.is_err());
    // Health hears of it a little later than the caller.
    reasons_are(&engine, &[BEHIND]).await;
    host.kernel.set_fault(None);
    reasons_are(&engine, &[]).await;
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_command_is_not_done_while_drift_could_not_be_repaired() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    host.kernel.tamper(|image| image.zones.clear());
    host.kernel
        .set_fault(Some(Fault::Refuse(Table::Zones, EIO)));
    assert!(engine.reconcile().await.is_err());
    let told = submit(&engine, register("web")).await;
    assert!(
        matches!(told, Err(CommandError::NotEnforced { seq: 2, .. })),
        "{told:?}"
    );
    host.kernel.set_fault(None);
    engine.reconcile().await.expect("mended");
    assert_eq!(done(&engine, register("web")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_takes_no_command_answers_reads_and_is_over_when_there_is_room() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    let before = (host.kernel.image(), engine.journal().head());
    host.disk.set_available(Some(1024 * 1024));
    host.disk.take_calls();
    for name in ["db", "db", "cache"] {
        let told = submit(&engine, register(name)).await;
        let said = told.expect_err("there is no room").to_string();
        assert!(said.contains("nothing has changed"), "{said}");
        assert!(said.contains("make room"), "{said}");
    }
    assert_eq!(
        submit(&engine, register("web"))
            .await
            .expect("so already")
            .seq,
        None
    );
    assert_eq!((host.kernel.image(), engine.journal().head()), before);
    assert_eq!(host.disk.take_calls(), [], "the store was not touched");
    reasons_are(&engine, &[JOURNAL]).await;
    let zones = engine.ask(|glance| glance.state.zones.len()).await;
    assert_eq!(zones, Ok(1), "reads are answered");
    host.disk.set_available(Some(1024 * 1024 * 1024));
    let zones = engine.ask(|glance| glance.state.zones.len()).await;
    assert_eq!(zones, Ok(1));
    reasons_are(&engine, &[]).await;
    assert_eq!(done(&engine, register("db")).await, 3);
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_did_not_become_durable_has_changed_nothing() {
    let failures = [
        syva_journal::Memory::fail_next_append,
        syva_journal::Memory::fail_next_flush,
        syva_journal::Memory::fail_next_flush_but_keep,
        syva_journal::Memory::fail_next_anchor,
    ];
    for fail in failures {
        let host = Host::new();
        let engine = host.start_in_memory().await;
        done(&engine, register("web")).await;
        let before = (host.kernel.image(), engine.journal().head());
        fail(&host.disk);
        let told = submit(&engine, register("db")).await;
        assert!(
            matches!(told, Err(CommandError::NotJournaled(_))),
            "{told:?}"
        );
        assert_eq!((host.kernel.image(), engine.journal().head()), before);
        reasons_are(&engine, &[JOURNAL]).await;
        let zones = engine.ask(|glance| glance.state.zones.len()).await;
        assert_eq!(zones, Ok(1));
        assert_eq!(done(&engine, register("db")).await, 3);
        reasons_are(&engine, &[]).await;
        assert!(host.agrees_with(&engine.journal()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_durable_although_its_flush_failed_is_acknowledged() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    host.disk.fail_next_anchor_but_keep();
    assert_eq!(done(&engine, register("web")).await, 2);
    reasons_are(&engine, &[]).await;
    assert_eq!(fold(&engine.journal()).zones.len(), 1);
    assert!(host.agrees_with(&engine.journal()));
}

fn spawn_all(
    engine: &Arc<Engine>,
    requests: impl IntoIterator<Item = Request>,
) -> JoinSet<Result<syva_actors::Done, CommandError>> {
    let mut set = JoinSet::new();
    for request in requests {
        let engine = Arc::clone(engine);
        set.spawn(async move { engine.submit(request, Peer::default()).await });
    }
    set
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_commands_share_flushes_and_all_are_answered() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    host.disk.slow_flush(Duration::from_millis(10));
    let many = 200;
    let answers = spawn_all(&engine, (0..many).map(|n| register(&format!("z{n}"))));
    let done = common::assert_all(answers.join_all().await);
    let seqs: BTreeSet<u64> = done.iter().filter_map(|done| done.seq).collect();
    assert!(seqs.into_iter().eq(2..many + 2), "dense, and each once");
    let calls = host.disk.take_calls();
    let flushes = calls.iter().filter(|c| **c == Call::MakeDurable).count();
    let appended: usize = calls
        .iter()
        .filter_map(|call| match call {
            Call::Append(records) => Some(records),
            _ => None,
        })
        .sum();
    assert_eq!(appended as u64, many);
    assert!(flushes < 20, "{flushes} flushes for {many} commands");
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_wait_for_the_batch_and_do_not_cut_it_short() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    host.disk.slow_flush(Duration::from_millis(10));
    let many = 200;
    let (mut done, mut seen) = (JoinSet::new(), JoinSet::new());
    for n in 0..many {
        let (commanding, asking) = (Arc::clone(&engine), Arc::clone(&engine));
        let request = register(&format!("z{n}"));
        done.spawn(async move { commanding.submit(request, Peer::default()).await });
        seen.spawn(async move {
            let journal = asking.journal();
            let both = move |glance: &Glance<'_>| (glance.state.seq(), journal.head().seq);
            asking.ask(both).await.expect("answered")
        });
    }
    common::assert_all(done.join_all().await);
    for (state, durable) in seen.join_all().await {
        assert_eq!(state, durable, "shown what may not last");
    }
    let calls = host.disk.take_calls();
    let flushes = calls.iter().filter(|c| **c == Call::MakeDurable).count();
    assert!(flushes < 20, "{flushes} flushes for {many} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beyond_the_bound_are_refused_and_none_of_the_others_is_lost() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    host.disk.slow_flush(Duration::from_millis(500));
    let many = IN_HAND + 300;
    let answers = spawn_all(&engine, (0..many).map(|n| register(&format!("z{n}"))));
    let answers = answers.join_all().await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Err(CommandError::Busy(IN_HAND))))
        .count();
    assert_eq!(taken + busy, many);
    assert!(busy > 0, "more than the bound were in hand");
    assert_eq!(fold(&engine.journal()).zones.len(), taken);
    // The permits are back.
    host.disk.slow_flush(Duration::ZERO);
    assert!(submit(&engine, register("after")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gives_up_leaves_its_command_and_its_place_behind() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    host.disk.slow_flush(Duration::from_millis(50));
    let mut set = spawn_all(&engine, [register("web")]);
    let journal = engine.journal();
    eventually("the flush is under way", || {
        host.disk
            .take_calls()
            .iter()
            .any(|c| matches!(c, Call::Append(_)))
    })
    .await;
    set.abort_all();
    while set.join_next().await.is_some() {}
    eventually("the command is in force", || {
        journal.head().seq == 2 && host.agrees_with(&journal)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_sees_what_was_acknowledged_before_it_and_waits_for_the_batch() {
    let host = Host::new();
    let engine = Arc::new(host.start_in_memory().await);
    host.disk.slow_flush(Duration::from_millis(20));
    let set = spawn_all(&engine, (0..20).map(|n| register(&format!("z{n}"))));
    let mut seen = 0;
    while seen < 20 {
        let asked = engine.ask(|glance| (glance.state.seq(), glance.state.zones.len()));
        let (seq, zones) = asked.await.expect("answers");
        assert!(
            engine.journal().head().seq >= seq,
            "nothing undurable is shown"
        );
        assert!(zones >= seen);
        seen = zones;
    }
    common::assert_all(set.join_all().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_taken_back_whatever_has_become_of_its_path() {
    let host = Host::new();
    let engine = host.start().await.expect("starts");
    let (gone, stays) = (host.file("gone"), host.file("stays"));
    done(&engine, register("web")).await;
    done(&engine, claim("web", &gone)).await;
    done(&engine, claim("web", &stays)).await;
    std::fs::remove_file(&gone).expect("removed");
    // As people type it: the spelling is made even, the disk is not asked.
    done(&engine, unclaim("web", &format!("/{gone}//"))).await;
    assert!(host.agrees_with(&engine.journal()));
    let claims = engine.ask(|glance| {
        let paths = glance.state.claims.values().map(|claim| claim.path.clone());
        paths.collect::<Vec<_>>()
    });
    assert_eq!(claims.await.expect("answers"), [stays]);
    let twice = submit(&engine, unclaim("web", &gone)).await;
    let said = twice.expect_err("refused").to_string();
    assert!(said.contains("nothing is claimed"), "{said}");
    engine.stop().await;
}
