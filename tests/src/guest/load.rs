//! Suite `load`: this kernel accepts every program, alone and with the others, and the self-tests agree.

use std::path::PathBuf;

use syva_bpf::{LibbpfKernel, verify};
use syva_model::hook::Hook;
use syva_model::kernel::{Capacity, Kernel as _};

use super::{Checks, Failure};

/// Loads, attaches, compares, unloads, and loads once more.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let mut kernel = LibbpfKernel::new(PathBuf::from("/sys/fs/cgroup"));
    checks.that(
        "nothing can be had before loading",
        kernel.counters().is_err(),
        "counters were handed out",
    );
    for (name, outcome) in verify::each_alone()? {
        checks.check(format!("{name} loads and attaches alone"), outcome);
    }

    let capacity = Capacity::default();
    let loaded = kernel.load(&capacity)?;
    for hook in &loaded.hooks {
        checks.check(
            format!("{} is attached with the others", hook.hook.name()),
            hook.problem.clone().map_or(Ok(()), Err),
        );
    }
    checks.equal("nothing is missing", &loaded.missing, &Vec::new());
    checks.that("it says that it enforces", loaded.enforcing, "it says not");
    for test in &loaded.self_tests {
        checks.check(format!("self-test {}", test.name), test.outcome.clone());
    }
    check_maps(checks, &kernel, &capacity)?;
    for program in verify::programs(&kernel)? {
        checks.note(format!(
            "{}: {} instructions, {} verified",
            program.name, program.instructions, program.verified
        ));
    }

    let mut control = kernel.control()?;
    checks.check("the barrier lets writes settle", control.settle());
    let again = kernel.load(&capacity)?;
    checks.equal("a second load finds it loaded", &again.hooks, &loaded.hooks);
    drop(control);
    kernel.unload()?;
    checks.that(
        "nothing can be had after unloading",
        kernel.counters().is_err(),
        "counters were handed out",
    );
    let reloaded = kernel.load(&capacity)?;
    checks.that("it loads again", reloaded.enforcing, "it says not");
    Ok(())
}

/// The maps have their types, and the policy maps this node's capacity.
fn check_maps(
    checks: &mut Checks,
    kernel: &LibbpfKernel,
    capacity: &Capacity,
) -> Result<(), Failure> {
    let maps = verify::maps(kernel)?;
    for (name, kind, max_entries) in [
        ("zones", "Hash", capacity.zones),
        ("members", "Hash", capacity.members),
        ("member_filter", "Array", 65_536),
        ("claims", "Hash", capacity.claim_rows()),
        ("links", "Hash", capacity.claims),
        ("pulled", "Hash", 4096),
        ("pairs", "Hash", capacity.pairs),
        ("host_sockets", "Hash", capacity.host_sockets),
        ("control", "Array", 1),
        ("ipc_objects", "Hash", 65_536),
        ("zone_usage", "Hash", capacity.zones + 64),
        ("usage_by_daemon", "Hash", capacity.zones + 64),
        ("labels", "InodeStorage", 0),
        ("barrier", "ArrayOfMaps", 1),
        ("events", "RingBuf", 1 << 20),
        ("denials", "Hash", 16_384),
        ("hook_counters", "PercpuArray", Hook::ALL.len() as u32),
    ] {
        let found = maps
            .iter()
            .find(|map| map.name == name)
            .map(|map| (map.kind.as_str(), map.max_entries));
        checks.equal(format!("map {name}"), &found, &Some((kind, max_entries)));
    }
    Ok(())
}
