//! The pure part of a command's way, without disk and kernel: encoding, folding, planning, replay.
#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "criterion's macros and a benchmark's liberty"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use syva_bench::{Bench, allow, attach, claim, deny, detach, history, register, remove, replay};
use syva_model::entry::Entry;
use syva_model::project::project;

/// Entries of the journal that is folded.
const HISTORY: usize = 100_000;
/// What a large node holds: zones, members, claims.
const LARGE: (usize, usize, usize) = (10_000, 60_000, 100_000);
/// Numbers that the large node does not use.
const NEW: usize = 1_000_000;

/// How long a start takes to know its state.
fn replay_journal(criterion: &mut Criterion) {
    let payloads = history(HISTORY);
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    group.throughput(Throughput::Elements(payloads.len() as u64));
    group.bench_function("hash+decode+fold", |b| b.iter(|| replay(&payloads)));
    let state = replay(&payloads);
    group.bench_function("digest", |b| b.iter(|| state.digest().expect("encodes")));
    group.bench_function("project", |b| b.iter(|| project(&state)));
    group.finish();
}

/// What one command costs on a large node, and the one that undoes it: admission, entry, fold,
/// projection and plan.
fn one_command(criterion: &mut Criterion) {
    let (zones, members, claims) = LARGE;
    let mut bench = Bench::with(zones, members, claims);
    let mut group = criterion.benchmark_group("command");
    group.throughput(Throughput::Elements(2));
    group.bench_function("attach, detach", |b| {
        b.iter(|| {
            black_box(bench.run(attach(NEW, 5)));
            black_box(bench.run(detach(NEW)))
        });
    });
    group.bench_function("deny, allow", |b| {
        b.iter(|| {
            black_box(bench.run(deny(5, 6)));
            black_box(bench.run(allow(5, 6)))
        });
    });
    group.throughput(Throughput::Elements(3));
    group.bench_function("register, claim, remove", |b| {
        b.iter(|| {
            black_box(bench.run(register(NEW)));
            black_box(bench.run(claim(NEW, NEW)));
            black_box(bench.run(remove(NEW)))
        });
    });
    group.finish();
}

/// The commonest entry's encoding.
fn encoding(criterion: &mut Criterion) {
    let mut bench = Bench::default();
    bench.run(register(0));
    let (entry, payload) = bench.entry(attach(0, 0));
    let mut group = criterion.benchmark_group("entry");
    group.throughput(Throughput::Bytes(payload.len() as u64));
    group.bench_function("encode", |b| b.iter(|| entry.encode().expect("encodes")));
    group.bench_function("decode", |b| {
        b.iter(|| Entry::decode(black_box(&payload)).expect("decodes"));
    });
    group.finish();
}

criterion_group!(benches, encoding, one_command, replay_journal);
criterion_main!(benches);
