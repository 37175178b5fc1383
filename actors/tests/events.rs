//! Every subscriber gets every event in order, or is told exactly how many it lost (I5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{Host, event, eventually, register};
use syva_actors::Role;
use syva_actors::fanout::Delivery;
use syva_actors::memory::{Fault, MemoryKernel};
use syva_actors::rig::Failure;
use tokio::sync::mpsc::Receiver;

/// More than one subscriber may be behind by.
const MANY: u64 = 20_000;

fn emit(kernel: &MemoryKernel, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| kernel.emit(event(number)));
}

async fn next(events: &mut Receiver<Delivery>) -> Option<Delivery> {
    let next = tokio::time::timeout(Duration::from_secs(20), events.recv());
    next.await.expect("in time")
}

/// Receives until event number `last`, and says how many came and how many it was told it lost.
/// What came and what was lost before it add up, at every event.
async fn receive(events: &mut Receiver<Delivery>, first: u64, last: u64) -> (u64, u64) {
    let (mut came, mut lost) = (0, 0);
    loop {
        let delivery = next(events).await.expect("the stream goes on");
        lost += delivery.lost_before;
        let number = delivery.denial.kernel.monotonic_ns;
        assert_eq!(
            number,
            first + came + lost,
            "in order, and none unaccounted for"
        );
        came += 1;
        if number == last {
            return (came, lost);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lagging_subscriber_is_told_what_it_lost_and_slows_nobody() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let mut quick = engine.subscribe(true).await.expect("there");
    let mut lagging = engine.subscribe(true).await.expect("there");
    let reader = tokio::spawn(async move { receive(&mut quick, 0, MANY - 1).await });
    for portion in 0..MANY / 1000 {
        emit(&host.kernel, portion * 1000..(portion + 1) * 1000);
        eventually("the quick one has them", || {
            host.kernel.events_waiting() == 0
        })
        .await;
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.await.expect("reads"), (MANY, 0));
    let dropped = engine.events_dropped();
    assert!(dropped > 0, "the lagging one was too far behind");
    // It reads again, and the next event tells it.
    let mut came = 0;
    while lagging.try_recv().is_ok_and(|d| d.lost_before == 0) {
        came += 1;
    }
    assert_eq!(came + dropped, MANY);
    host.kernel.emit(event(MANY));
    let told = next(&mut lagging).await.expect("goes on");
    assert_eq!(told.lost_before, dropped);
    assert_eq!(told.denial.kernel.monotonic_ns, MANY);
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_events_come_first_and_end_the_stream_unless_it_follows() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    common::done(&engine, register("web")).await;
    let mut following = engine.subscribe(true).await.expect("there");
    emit(&host.kernel, 0..5);
    receive(&mut following, 0, 4).await;
    let mut recent = engine.subscribe(false).await.expect("there");
    let mut both = engine.subscribe(true).await.expect("there");
    receive(&mut recent, 0, 4).await;
    assert!(next(&mut recent).await.is_none());
    emit(&host.kernel, 5..7);
    receive(&mut both, 0, 6).await;
    let told = &receive_one(&engine).await.denial;
    assert_eq!(
        (told.zone.as_str(), told.target.as_str()),
        ("web", "zone-2")
    );
}

async fn receive_one(engine: &syva_actors::Engine) -> Delivery {
    let mut recent = engine.subscribe(false).await.expect("there");
    next(&mut recent).await.expect("one")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_larger_than_all_that_may_be_under_way_is_delivered_or_counted() {
    let host = Host::new();
    let engine = host.start_in_memory().await;
    let burst = 3 * syva_actors::ring::IN_FLIGHT as u64;
    let mut events = engine.subscribe(true).await.expect("there");
    // All of it in one wait on the ring.
    host.kernel.emit_all((0..burst).map(event).collect());
    let (mut came, mut lost, mut emitted) = (0, 0, burst);
    loop {
        // The last of the burst may be lost: a later event tells.
        let quiet = Duration::from_millis(20);
        let Ok(delivery) = tokio::time::timeout(quiet, events.recv()).await else {
            host.kernel.emit(event(emitted));
            emitted += 1;
            continue;
        };
        let delivery = delivery.expect("goes on");
        lost += delivery.lost_before;
        let number = delivery.denial.kernel.monotonic_ns;
        assert_eq!(number, came + lost, "in order, and none unaccounted for");
        came += 1;
        if number >= burst {
            break;
        }
    }
    assert!(
        came >= 4096,
        "as many as a subscriber may be behind: {came}"
    );
    assert_eq!(engine.events_dropped(), lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_outlive_the_fan_out_and_are_told_what_went_with_it() {
    for failure in [Failure::Panic, Failure::PanicAfter] {
        let host = Host::new();
        let engine = host.start_in_memory().await;
        let mut events = engine.subscribe(true).await.expect("there");
        emit(&host.kernel, 0..10);
        receive(&mut events, 0, 9).await;
        engine.fail(Role::Fanout, failure);
        host.kernel.emit_all((10..20).map(event).collect());
        eventually("it is back", || engine.health().borrow().restarts == 1).await;
        host.kernel.emit(event(20));
        let (came, lost) = receive(&mut events, 10, 20).await;
        assert_eq!(came + lost, 11);
        assert_eq!(engine.events_dropped(), lost);
        let expected = if failure == Failure::Panic { 10 } else { 0 };
        assert_eq!(lost, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_ring_that_fails_or_panics_is_replaced_and_the_ring_keeps_its_events() {
    for fault in [Fault::FailPollOnce, Fault::PanicPollOnce] {
        let host = Host::new();
        let engine = host.start_in_memory().await;
        let mut events = engine.subscribe(true).await.expect("there");
        host.kernel.set_fault(Some(fault));
        emit(&host.kernel, 0..10);
        assert_eq!(receive(&mut events, 0, 9).await, (10, 0), "{fault:?}");
        eventually("it was restarted", || {
            engine.health().borrow().restarts == 1
        })
        .await;
    }
}
