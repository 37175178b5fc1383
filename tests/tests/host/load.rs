//! SIGKILL under load, again and again: no acknowledged command is ever missing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use syva_e2e::daemon::{Setup, eventually};
use syva_rpc::client::connect;
use syva_rpc::v1;

use crate::home::Home;

const CYCLES: usize = 24;
const CLIENTS: usize = 4;
/// How many acknowledgements a cycle waits for before it kills; different in each.
const fn patience(cycle: usize) -> usize {
    1 + cycle * 7 % 40
}

/// Once all clients are connected, registers zones one after the other until the daemon is lost; returns
/// those that were acknowledged.
#[tokio::main(flavor = "current_thread")]
async fn register(
    socket: &Path,
    prefix: &str,
    connected: &Barrier,
    acknowledged: &AtomicUsize,
) -> Vec<String> {
    let mut client = connect(socket, "load").await.expect("connected");
    connected.wait();
    let mut names = Vec::new();
    for number in 0.. {
        let zone_name = format!("{prefix}-{number}");
        let request = v1::RegisterZoneRequest {
            zone_name: zone_name.clone(),
            policy: None,
        };
        if client.register_zone(request).await.is_err() {
            break;
        }
        names.push(zone_name);
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    names
}

fn zones(setup: &Setup) -> BTreeSet<String> {
    let listed = setup.cli(&["zones", "list"]).expect("run").json()["zones"].clone();
    let listed = listed.as_array().expect("a list").iter();
    listed
        .map(|zone| zone["name"].as_str().expect("a name").to_owned())
        .collect()
}

#[test]
fn no_acknowledged_command_is_missing_after_a_kill_under_load() {
    let home = Home::new();
    let setup = home.setup().args(&["--max-zones", "1000000"]);
    let mut expected = BTreeSet::new();
    for cycle in 0..CYCLES {
        let daemon = setup.start().expect("it starts again");
        let held = zones(&setup);
        assert!(
            held.is_superset(&expected),
            "cycle {cycle}: missing {:?}",
            &expected - &held
        );
        daemon.digest().expect("the journal's replay is the state");
        expected = held;

        let (connected, count) = (Barrier::new(CLIENTS), AtomicUsize::new(0));
        let acknowledged = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (setup, connected, count) = (&setup, &connected, &count);
                    let prefix = format!("z{cycle}-{client}");
                    scope.spawn(move || register(setup.socket(), &prefix, connected, count))
                })
                .collect();
            let enough = || Ok(count.load(Ordering::Relaxed) >= patience(cycle));
            eventually("acknowledgements", enough).expect("they come");
            daemon.kill().expect("killed");
            let names = clients
                .into_iter()
                .map(|client| client.join().expect("no panic"));
            names.collect::<Vec<_>>().concat()
        });
        expected.extend(acknowledged);
    }
    let _daemon = setup.start().expect("it starts again");
    assert!(zones(&setup).is_superset(&expected), "after the last cycle");
    assert!(
        expected.len() >= (0..CYCLES).map(patience).sum(),
        "there was load"
    );
}
