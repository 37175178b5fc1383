//! Durable commands a second over gRPC, of 1 client and of 64, to the real `syva-core` over the memory
//! backend, beside the rate at which the same disk takes a write and an fdatasync of as many bytes.
//! Build the daemon first (`make release`).
#![allow(missing_docs, clippy::expect_used, reason = "a benchmark's liberty")]

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use syva_bench::programs::{client, daemon};
use syva_rpc::client::Client;
use syva_rpc::v1::RegisterZoneRequest;

/// How long each rate is measured.
const LONG: Duration = Duration::from_secs(5);
/// About what an entry of these commands has.
const BYTES: usize = 300;

fn main() {
    // Below the build directory: /tmp may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    for clients in [1, 64] {
        let raw = raw(&dir.path().join(format!("raw-{clients}")));
        let commands = commands(&dir.path().join(format!("daemon-{clients}")), clients);
        println!("commands/{clients}: {commands:.0} durable commands a second");
        println!("write+fdatasync beside it: {raw:.0} a second");
    }
}

/// Writes with an fdatasync each, a second.
fn raw(path: &Path) -> f64 {
    let mut file = File::create(path).expect("creates");
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < LONG {
        file.write_all(&[7; BYTES]).expect("writes");
        file.sync_data().expect("syncs");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// Zones registered a second, by so many clients at once.
fn commands(dir: &Path, clients: usize) -> f64 {
    let mut daemon = daemon(dir);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let rate = runtime.block_on(async {
        let mut connected = Vec::new();
        for _ in 0..clients {
            connected.push(client(dir).await);
        }
        let begun = Instant::now();
        let tasks: Vec<_> = connected
            .into_iter()
            .enumerate()
            .map(|(n, client)| tokio::spawn(register(client, n)))
            .collect();
        let mut count = 0;
        for task in tasks {
            count += task.await.expect("no panic");
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    });
    daemon.kill().expect("kills");
    daemon.wait().expect("ends");
    rate
}

async fn register(mut client: Client, n: usize) -> u32 {
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < LONG {
        let request = RegisterZoneRequest {
            zone_name: format!("zone-of-client-{n}-{count}"),
            policy: None,
        };
        client.register_zone(request).await.expect("acknowledged");
        count += 1;
    }
    count
}
