//! Suites `option-*`: every way of booting a guest that another suite may rely on does what it says.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Checks, Failure};

/// With control groups of both versions.
pub fn hybrid(checks: &mut Checks) -> Result<(), Failure> {
    let root = Path::new("/sys/fs/cgroup");
    for (place, claim) in [
        ("unified/cgroup.procs", "cgroup2 is on unified"),
        ("cpu/tasks", "the cpu controller is version 1"),
        ("pids/tasks", "the pids controller is version 1"),
    ] {
        checks.that(
            claim,
            root.join(place).exists(),
            format!("no {place} in {}", root.display()),
        );
    }
    Ok(())
}

/// Without bpf among the security modules.
pub fn without_bpf(checks: &mut Checks) -> Result<(), Failure> {
    let lsms = fs::read_to_string("/sys/kernel/security/lsm")?;
    checks.that(
        "bpf is no active security module",
        !lsms.contains("bpf"),
        &lsms,
    );
    Ok(())
}

/// With modules and a disk.
pub fn modules(checks: &mut Checks) -> Result<(), Failure> {
    let known = fs::read_to_string("/proc/filesystems")?;
    for name in ["overlay", "btrfs", "ext4"] {
        let there = known.split_whitespace().any(|word| word == name);
        checks.that(
            format!("the file system {name} is there"),
            there,
            "not in /proc/filesystems",
        );
    }
    let disk = fs::read_to_string("/sys/block/vda/size").unwrap_or_default();
    checks.equal("the virtio disk has its 16 MiB", &disk.trim(), &"32768");
    let file = Path::new("/mnt/file");
    let mounted = Command::new("sh")
        .args([
            "-c",
            "mke2fs /dev/vda >/dev/null && mount -t ext4 /dev/vda /mnt",
        ])
        .status()?;
    checks.that("it can be mounted", mounted.success(), mounted);
    if mounted.success() {
        fs::write(file, "kept")?;
        checks.equal(
            "it keeps a file",
            &fs::read_to_string(file)?.as_str(),
            &"kept",
        );
    }
    Ok(())
}

/// With a Debian for its root.
pub fn systemd(checks: &mut Checks) -> Result<(), Failure> {
    let first = fs::read_to_string("/proc/1/comm")?;
    checks.equal("systemd is the first process", &first.trim(), &"systemd");
    let said = |program: &str, args: &[&str]| -> Result<String, Failure> {
        let output = Command::new(program).args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let state = said("systemctl", &["is-system-running", "--wait"])?;
    let failed = said("systemctl", &["--failed", "--plain", "--no-legend"])?;
    checks.that(
        "every unit has started",
        state == "running",
        format!("the system is {state}; failed: {failed:?}"),
    );
    let up = said("systemd-analyze", &["time"])?;
    checks.note(up.lines().next().unwrap_or_default());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let kinds = mounts.lines().filter_map(|line| {
        let (_, after) = line.split_once(" - ")?;
        after.split(' ').next()
    });
    let cgroups: Vec<&str> = kinds.filter(|kind| kind.starts_with("cgroup")).collect();
    checks.equal("cgroup v2 is alone", &cgroups, &vec!["cgroup2"]);
    let cgroup = fs::read_to_string("/proc/self/cgroup")?;
    checks.equal(
        "the suite runs in a unit of its own",
        &cgroup.trim(),
        &"0::/system.slice/syva-suite.service",
    );
    let script = "mkdir -p /tmp/image/bin && cp /bin/busybox /tmp/image/bin/sh && \
        tar -C /tmp/image -c . | podman import --quiet - busybox >/dev/null && \
        podman run --rm --network=none busybox sh -c 'echo inside'";
    let inside = Command::new("sh").args(["-c", script]).output()?;
    checks.that(
        "podman runs a container",
        inside.stdout == b"inside\n",
        format!("{inside:?}"),
    );
    let lsms = fs::read_to_string("/sys/kernel/security/lsm")?;
    checks.that(
        "bpf is an active security module",
        lsms.contains("bpf"),
        &lsms,
    );
    Ok(())
}

/// With two processors, each on a host thread of its own.
pub fn parallel(checks: &mut Checks) -> Result<(), Failure> {
    checks.equal(
        "there are two processors",
        &std::thread::available_parallelism()?.get(),
        &2,
    );
    Ok(())
}

/// With a clock that counts instructions.
pub fn count(checks: &mut Checks) -> Result<(), Failure> {
    // Each well within a timer tick, and often enough that most meet no other work of the kernel.
    let best = |rounds: u64| {
        let times = (0..200).map(|_| spin(rounds).as_nanos());
        times.min().unwrap_or_default()
    };
    let (once, again, double) = (best(5_000), best(5_000), best(10_000));
    checks.note(format!(
        "5,000 rounds: {once}, again {again}; 10,000 rounds: {double}"
    ));
    // A few instructions of difference remain: the reading of the clock itself is not always alike.
    let apart = again.abs_diff(once);
    checks.that(
        "the same work takes the same count",
        apart < once / 1000,
        format!("{apart} off"),
    );
    // Two instructions a round at the very least; real time would be a fraction of it.
    checks.that(
        "the count is of instructions",
        once >= 10_000,
        format!("{once}"),
    );
    let excess = double.abs_diff(2 * once);
    checks.that(
        "double the work takes double",
        excess < once / 100,
        format!("{excess} off"),
    );
    Ok(())
}

fn spin(rounds: u64) -> Duration {
    let start = Instant::now();
    for round in 0..rounds {
        std::hint::black_box(round);
    }
    start.elapsed()
}
