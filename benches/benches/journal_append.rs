//! Durable appends a second, one entry a flush and 64, beside a bare write and fdatasync of the same
//! bytes on the same disk: what sled, the chain and the head anchor cost above the disk.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros and a benchmark's liberty"
)]

use std::fs::File;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use syva_journal::{Head, Journal};
use syva_model::command::{Attach, BootId, Command, Pod};
use syva_model::entry::Peer;
use syva_model::image::CgroupId;
use syva_model::name::ZoneName;

const BATCHES: [usize; 2] = [1, 64];

/// An attachment as an orchestrator makes it: the commonest entry.
fn payload(head: Head) -> Vec<u8> {
    let command = Command::AttachContainer(Attach {
        container: format!("containerd://{:064x}", head.seq),
        zone: ZoneName::new("web").expect("is a name"),
        cgroup: CgroupId(head.seq),
        cgroup_path: format!(
            "/kubepods.slice/kubepods-pod{:032x}.slice/{:064x}",
            1, head.seq
        ),
        pod: Pod::default(),
        source: "syva-k8s".to_owned(),
        generation: 1,
        unit_sockets: Vec::new(),
    });
    let peer = Peer {
        uid: 0,
        gid: 0,
        pid: 4242,
        adapter: "syva-k8s".to_owned(),
    };
    head.next(1_764_000_000_000_000_000, BootId([7; 16]), peer, command)
        .encode()
        .expect("encodes")
}

fn batch(mut head: Head, size: usize) -> Vec<Vec<u8>> {
    (0..size)
        .map(|_| {
            let payload = payload(head);
            head = head.after(&payload);
            payload
        })
        .collect()
}

fn journal_append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal_append");
    for size in BATCHES {
        // Below the build directory: /tmp may be memory.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        group.throughput(Throughput::Elements(size as u64));
        let (mut journal, _) = Journal::open(&dir.path().join("journal")).expect("creates");
        group.bench_function(format!("journal/{size}"), |bencher| {
            bencher.iter(|| {
                let payloads = batch(journal.head(), size);
                journal.append(&payloads).expect("appends")
            });
        });
        let mut file = File::create(dir.path().join("raw")).expect("creates");
        let bytes = batch(Head::EMPTY, size).concat();
        group.bench_function(format!("write+fdatasync/{size}"), |bencher| {
            bencher.iter(|| {
                file.write_all(&bytes).expect("writes");
                file.sync_data().expect("syncs");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, journal_append);
criterion_main!(benches);
