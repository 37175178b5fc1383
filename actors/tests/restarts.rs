//! Every actor may fail while commands flow: the rest goes on, it comes back with its resource, and
//! nothing that was acknowledged is lost (D13).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    Host, allow, allow_socket, attach, claim, detach, done, event, eventually, fold, insist,
    last_command, reasons_are, register, submit,
};
use syva_actors::engine::Silent;
use syva_actors::memory::Fault;
use syva_actors::reconciler::BEHIND;
use syva_actors::rig::Failure;
use syva_actors::{CommandError, Engine, Role};
use syva_model::command::Command;
use syva_model::image::Table;

const LANES: usize = 3;
const ROUNDS: usize = 5;

/// Commands that touch every map, each acknowledged before the next is sent.
async fn flow(host: &Host, engine: &Arc<Engine>) -> usize {
    let lane = |lane: usize| {
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|round| {
                let name = format!("z{lane}-{round}");
                (name.clone(), host.file(&name), host.cgroup(&name))
            })
            .collect();
        let engine = Arc::clone(engine);
        async move {
            for (name, file, cgroup) in rounds {
                insist(&engine, register(&name)).await;
                insist(&engine, claim(&name, &file)).await;
                insist(&engine, attach(&name, &name, cgroup)).await;
                insist(&engine, allow(&name, "base")).await;
                insist(&engine, allow_socket(&name, "@name")).await;
            }
        }
    };
    insist(engine, register("base")).await;
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..LANES {
        lanes.spawn(lane(number));
    }
    while let Some(ended) = lanes.join_next().await {
        ended.expect("every command is acknowledged in the end");
    }
    LANES * ROUNDS
}

async fn survives(role: Role, what: &str, break_it: impl FnOnce(&Host, &Engine)) {
    let host = Host::new();
    let engine = Arc::new(host.start().await.expect("starts"));
    break_it(&host, &engine);
    host.kernel.emit(event(1));
    let zones = flow(&host, &engine).await;
    eventually(&format!("{what}: it is back"), || {
        engine.health().borrow().restarts >= 1
    })
    .await;
    reasons_are(&engine, &[]).await;
    eventually(&format!("{what}: the maps agree"), || {
        host.agrees_with(&engine.journal())
    })
    .await;
    assert_eq!(engine.health().borrow().restarts, 1, "{what}");
    let state = fold(&engine.journal());
    let held = (state.zones.len(), state.members.len(), state.claims.len());
    assert_eq!(held, (zones + 1, zones, zones), "{what}");
    assert!(
        host.journal_is_locked(),
        "{what}: the lock was never let go"
    );
    // A second load attaches what is missing and nothing else.
    let again = host.kernel.loads() - 1;
    assert_eq!(
        again > 0,
        role == Role::Loader,
        "{what}: {again} more loads"
    );
    // It does its work again.
    host.kernel.emit(event(2));
    let mut events = engine.subscribe(true).await.expect("the fan-out is there");
    assert!(events.recv().await.is_some(), "{what}");
    insist(&engine, register("after")).await;
    Arc::into_inner(engine).expect("ours").stop().await;
    assert!(
        !host.journal_is_locked(),
        "{what}: the lock goes with the engine"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_actor_comes_back_from_any_failure_with_nothing_lost() {
    let failures = [
        Failure::Panic,
        Failure::ErrAfter,
        Failure::PanicAfter,
        Failure::PanicAndNotStart,
    ];
    // The ring reader's messages are its failures: see below.
    let roles = Role::ORDER.into_iter().filter(|role| *role != Role::Ring);
    for role in roles {
        for failure in failures {
            let break_it = |_: &Host, engine: &Engine| engine.fail(role, failure);
            survives(role, &format!("{role:?} {failure:?}"), break_it).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_panics_inside_a_write_and_a_ring_that_cannot_be_read_are_survived() {
    let faults = [
        (Role::Map(Table::Zones), Fault::PanicOnce(Table::Zones)),
        (Role::Map(Table::Members), Fault::PanicOnce(Table::Members)),
        (Role::Map(Table::Claims), Fault::PanicOnce(Table::Claims)),
        (Role::Map(Table::Pairs), Fault::PanicOnce(Table::Pairs)),
        (
            Role::Map(Table::HostSockets),
            Fault::PanicOnce(Table::HostSockets),
        ),
        (Role::Control, Fault::PanicOnce(Table::Control)),
        (Role::Ring, Fault::FailPollOnce),
        (Role::Ring, Fault::PanicPollOnce),
    ];
    for (role, fault) in faults {
        let break_it = |host: &Host, _: &Engine| host.kernel.set_fault(Some(fault));
        survives(role, &format!("{fault:?}"), break_it).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_panics_in_the_writer_is_read_again() {
    for failure in [Failure::Panic, Failure::PanicAfter] {
        let host = Host::new();
        let engine = host.start_in_memory().await;
        done(&engine, register("web")).await;
        host.disk.fail_next_flush();
        engine.fail(Role::Writer, failure);
        let told = submit(&engine, register("db")).await;
        assert!(
            matches!(
                told,
                Err(CommandError::Interrupted(_) | CommandError::NotJournaled(_))
            ),
            "{told:?}"
        );
        insist(&engine, register("db")).await;
        assert_eq!(fold(&engine.journal()).zones.len(), 2);
        assert!(host.agrees_with(&engine.journal()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciler_that_is_back_has_the_desired_image_before_its_timer() {
    let host = Host::new(); // its timer never comes
    let engine = host.start_in_memory().await;
    done(&engine, register("web")).await;
    engine.fail(Role::Reconciler, Failure::Panic);
    let told = engine.reconcile().await;
    assert!(told.is_err(), "{told:?}");
    // That it was down is too short to be sure to see.
    eventually("it is back", || engine.health().borrow().restarts == 1).await;
    reasons_are(&engine, &[]).await;
    host.kernel.tamper(|image| image.zones.clear());
    let begun = std::time::Instant::now();
    while engine.reconcile().await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert!(host.agrees_with(&engine.journal()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_maps_are_compared_when_an_owner_of_one_is_back() {
    for role in [
        Role::Map(Table::Zones),
        Role::Control,
        Role::Membership,
        Role::Loader,
    ] {
        let mut tries = 0..50;
        while !is_compared_when_back(role).await {
            assert!(
                tries.next().is_some(),
                "{role:?} was never down for long enough"
            );
        }
    }
}

/// Has an owner fail, and the maps changed while it is down; false if it was back before that, which says
/// nothing.
async fn is_compared_when_back(role: Role) -> bool {
    let host = Host::new(); // its timer never comes
    let engine = host.start_in_memory().await;
    let cgroup = host.cgroup("a");
    done(&engine, register("web")).await;
    engine.fail(role, Failure::PanicAfter);
    // Each of them has a part in it, and the answer may be that it is gone.
    let _ = submit(&engine, attach("c1", "web", cgroup)).await;
    let _ = submit(&engine, register("db")).await;
    host.kernel.tamper(|image| image.zones.clear());
    if engine.health().borrow().restarts > 0 {
        return false;
    }
    eventually(&format!("{role:?} is back and the maps agree"), || {
        engine.health().borrow().restarts == 1 && host.agrees_with(&engine.journal())
    })
    .await;
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn health_forgets_no_actor_that_came_back_while_it_was_down_itself() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    // It stays away for two pauses, the other for one.
    engine.fail(Role::Health, Failure::PanicAndNotStart);
    engine.fail(Role::Map(Table::Zones), Failure::Panic);
    insist(&engine, register("web")).await;
    eventually("both are back", || engine.health().borrow().restarts >= 1).await;
    insist(&engine, register("db")).await;
    reasons_are(&engine, &[]).await;
    engine.fail(Role::Writer, Failure::Panic);
    let _ = submit(&engine, detach("nobody")).await;
    reasons_are(&engine, &["actor_down:journal_writer"]).await;
    reasons_are(&engine, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_fails_between_the_journal_and_the_maps_enforces_what_it_wrote() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    // The batch is durable when the reconciler is asked, and the answer never comes.
    engine.fail(Role::Reconciler, Failure::Panic);
    let told = submit(&engine, register("web")).await;
    assert!(
        matches!(told, Err(CommandError::NotEnforced { seq: 2, .. })),
        "{told:?}"
    );
    assert!(matches!(
        last_command(&engine),
        Command::RegisterZone { .. }
    ));
    let journal = engine.journal();
    eventually("it is enforced", || host.agrees_with(&journal)).await;
}

/// Long enough for one that answers, and waited for by one that does not.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_hangs_is_noticed_and_one_that_is_degraded_is_alive() {
    for (role, name) in [(Role::Writer, "writer"), (Role::Reconciler, "reconciler")] {
        let host = Host::new();
        let engine = host.start().await.expect("starts");
        assert_eq!(engine.alive(PATIENCE).await, Ok(()), "{name}");
        host.kernel.set_fault(Some(Fault::Refuse(Table::Zones, 5)));
        let _ = submit(&engine, register("web")).await;
        reasons_are(&engine, &[BEHIND]).await;
        assert_eq!(engine.alive(PATIENCE).await, Ok(()), "{name}, degraded");
        engine.fail(role, Failure::Hang);
        assert_eq!(engine.alive(PATIENCE).await, Err(Silent(name, PATIENCE)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_that_fails_is_told_to_whoever_waits() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let mut ended = Box::pin(engine.ended());
    // Its twin: while it runs nobody is told.
    let early = tokio::time::timeout(Duration::from_millis(50), &mut ended).await;
    assert!(early.is_err(), "told before it failed");
    engine.kill_supervisor();
    let told = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(told.is_ok(), "never told");
}
