//! The table of suites: what each claims, where it runs and how it is booted.
//!
//! To add one: write `guest/NAME.rs` with `pub fn run(checks: &mut Checks) -> Result<(), Failure>`,
//! name the module in `guest/mod.rs`, and add an entry here.

use crate::guest::{self, Checks, Failure};
use crate::selftest;
use crate::vm::qemu::{Boot, Cgroups, Cpu};

/// One suite.
#[derive(Debug)]
pub struct Suite {
    /// Its name on the command line.
    pub name: &'static str,
    /// What a pass proves, in one sentence.
    pub claims: &'static str,
    /// The kernels it is meant for, by the names of [`crate::vm::kernels::ALL`].
    pub kernels: &'static [&'static str],
    /// The kernels `make test` runs it on; none for what only `make test-long` has time for.
    pub gate: &'static [&'static str],
    /// Seconds after which the guest is killed and the suite has failed.
    pub limit: u64,
    /// Seconds it should take; more is a warning.
    pub budget: u64,
    /// How its guest is booted.
    pub boot: Boot,
    /// Binaries of this workspace that it needs in the guest, besides `syva-guest`.
    pub pack: &'static [&'static str],
    /// What it must keep, a line each, printed before it is run; every line needs a passed check that
    /// is called the same.
    pub contract: fn() -> Vec<String>,
    /// The suite itself, run in the guest.
    pub run: fn(&mut Checks) -> Result<(), Failure>,
}

/// Every kernel.
pub const EVERY: &[&str] = &["5.10", "6.1", "6.12", "latest"];

/// The kernels most suites are run on by `make test`.
pub const USUAL: &[&str] = &["6.1", "6.12"];

/// What suites of the real daemon pack.
pub const DAEMON: &[&str] = &["syva-core", "syva-cli"];

/// What an entry need not say: every kernel, the usual gate, two minutes at most.
pub const SUITE: Suite = Suite {
    name: "",
    claims: "",
    kernels: EVERY,
    gate: USUAL,
    limit: 120,
    budget: 30,
    boot: Boot::DEFAULT,
    pack: &[],
    contract: Vec::new,
    run: |_| Ok(()),
};

/// An NVMe disk of zeroes.
const NVME: &[&str] = &[
    "-drive",
    "if=none,id=nvme,driver=null-co,size=16M,read-zeroes=on",
    "-device",
    "nvme,serial=syva,drive=nvme",
];

/// Every suite, in the order they run.
pub const ALL: &[Suite] = &[
    Suite {
        name: "harness",
        claims: "this kernel enforces a BPF LSM program, for one cgroup and one inode only",
        gate: EVERY,
        run: guest::harness::run,
        ..SUITE
    },
    Suite {
        name: "load",
        claims: "this kernel accepts every program, alone and with the others",
        gate: EVERY,
        limit: 600,
        budget: 180,
        run: guest::load::run,
        ..SUITE
    },
    Suite {
        name: "decide",
        claims: "this kernel's decision is the reference model's, over every question of a small world",
        gate: EVERY,
        run: guest::decide::run,
        ..SUITE
    },
    Suite {
        name: "demo",
        claims: "the picture of the README: what crosses zones is blocked, what does not works",
        // `make demo` runs it by itself.
        gate: &[],
        limit: 300,
        budget: 60,
        pack: &["syva-core", "syva-cli"],
        run: guest::demo::run,
        ..SUITE
    },
    Suite {
        name: "runtime",
        claims: "the object loads, every hook is attached, the self-tests pass, and something is blocked",
        limit: 300,
        budget: 60,
        pack: DAEMON,
        contract: guest::verify::runtime::contract,
        run: guest::verify::runtime::run,
        ..SUITE
    },
    Suite {
        name: "integration",
        claims: "two zones of plain processes keep the contract that it prints first",
        limit: 300,
        budget: 60,
        pack: DAEMON,
        contract: guest::verify::integration::contract,
        run: guest::verify::integration::run,
        ..SUITE
    },
    Suite {
        name: "podman",
        claims: "podman's containers keep the contract that it prints first: apart, and each as usual in its zone",
        limit: 400,
        budget: 120,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        contract: guest::podman::contract,
        run: guest::podman::run,
        ..SUITE
    },
    Suite {
        name: "podman-crowd",
        claims: "fifty containers come and go, some of them while they are attached, and leave nothing behind",
        gate: &["6.12"],
        limit: 600,
        budget: 200,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        run: guest::podman::crowd::run,
        ..SUITE
    },
    Suite {
        name: "ordinary",
        claims: "PostgreSQL, nginx, a compiler, shells and a package manager run in zones, and nothing is denied to them",
        gate: &["6.12"],
        limit: 700,
        budget: 300,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        run: guest::ordinary::run,
        ..SUITE
    },
    Suite {
        name: "docs",
        claims: "the commands of the README and of docs/api.md do what they say",
        gate: &["6.1"],
        pack: &["syva-core", "syva-cli"],
        run: guest::docs::run,
        ..SUITE
    },
    Suite {
        name: "enforce",
        claims: "zones are kept apart: files, programs, signals, ptrace, sockets, nested cgroups, renames, overlays",
        limit: 300,
        budget: 90,
        boot: Boot {
            modules: &["overlay"],
            ..Boot::DEFAULT
        },
        run: guest::enforce::run,
        ..SUITE
    },
    Suite {
        name: "mutate",
        claims: "what is another zone's is not changed by any call, and opened by none",
        limit: 300,
        budget: 120,
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "ext4"],
            disk: 16,
            ..Boot::DEFAULT
        },
        run: guest::enforce::mutate,
        ..SUITE
    },
    Suite {
        name: "attack",
        claims: "root in a zone reaches nothing of another zone, of the engine or of the host",
        limit: 1200,
        budget: 240,
        boot: Boot {
            modules: &[
                "virtio_pci",
                "virtio_blk",
                "ext4",
                "overlay",
                "dm_mod",
                "evdev",
                "softdog",
                "msr",
                "loop",
                "serport",
                "uinput",
            ],
            disk: 64,
            qemu_args: NVME,
            ..Boot::DEFAULT
        },
        pack: DAEMON,
        run: guest::attack::run,
        ..SUITE
    },
    Suite {
        name: "tasks",
        claims: "another zone's task, or the host's, is not changed and not signalled by any call",
        limit: 300,
        budget: 90,
        run: guest::enforce::change_tasks,
        ..SUITE
    },
    Suite {
        name: "ipc",
        claims: "Unix sockets, System V objects, POSIX queues and shared memory are of the zone that made them",
        limit: 500,
        budget: 200,
        run: guest::enforce::ipc,
        ..SUITE
    },
    Suite {
        name: "failures",
        claims: "what fails in the kernel is counted by site and hook, and degrades the node by name if it opens something",
        limit: 300,
        budget: 90,
        pack: DAEMON,
        run: guest::enforce::failures,
        ..SUITE
    },
    Suite {
        name: "quota",
        claims: "a zone that takes all it may of what all zones share keeps no other from its own",
        limit: 500,
        budget: 200,
        pack: DAEMON,
        run: guest::quota::run,
        ..SUITE
    },
    Suite {
        name: "engine",
        claims: "a zoned root leaves its zone by no way, does not touch the engine, and does not become the host's root",
        limit: 600,
        budget: 150,
        boot: Boot {
            modules: &[
                "virtio_pci",
                "virtio_blk",
                "ext4",
                "nfsd",
                "dm_mod",
                "evdev",
            ],
            disk: 16,
            qemu_args: NVME,
            ..Boot::DEFAULT
        },
        run: guest::engine::run,
        ..SUITE
    },
    Suite {
        name: "selinux",
        claims: "beside SELinux, a zone changes neither its policy nor whether it enforces, and may ask it",
        boot: Boot {
            lsm: "lockdown,capability,selinux,bpf",
            kernel_args: &["selinux=1", "enforcing=0"],
            ..Boot::DEFAULT
        },
        gate: &["6.12"],
        run: guest::engine::selinux,
        ..SUITE
    },
    Suite {
        name: "apparmor",
        claims: "beside AppArmor, a zone does not change its policy, and may ask it",
        boot: Boot {
            lsm: "lockdown,capability,apparmor,bpf",
            kernel_args: &["apparmor=1"],
            ..Boot::DEFAULT
        },
        gate: &["6.12"],
        run: guest::engine::apparmor,
        ..SUITE
    },
    Suite {
        name: "engine-daemon",
        claims: "the daemon's own files are out of a zone's reach, what a zone pulls in is given back, escapes are told of, no cgroup is too strange or too deep",
        limit: 300,
        budget: 120,
        pack: DAEMON,
        run: guest::engine::daemon::run,
        ..SUITE
    },
    Suite {
        name: "daemon",
        claims: "a daemon keeps zones apart over restarts, drift, a new boot and cgroups that come and go",
        limit: 400,
        budget: 120,
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "ext4", "overlay"],
            disk: 16,
            ..Boot::DEFAULT
        },
        pack: DAEMON,
        run: guest::life::run,
        ..SUITE
    },
    Suite {
        name: "links",
        claims: "what the host links out of a claim stays its zone's by all names, whatever becomes of the daemon",
        limit: 300,
        budget: 120,
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "ext4"],
            disk: 16,
            ..Boot::DEFAULT
        },
        pack: DAEMON,
        run: guest::links::run,
        ..SUITE
    },
    Suite {
        name: "xfs",
        claims: "claims hold on XFS, and its own ways to files by handle are closed",
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "xfs"],
            disk: 320,
            // What the oldest kernel knows.
            format: &["mkfs.xfs", "-q", "-m", "bigtime=0,inobtcount=0,reflink=0"],
            ..Boot::DEFAULT
        },
        pack: DAEMON,
        run: guest::file_systems::xfs,
        ..SUITE
    },
    Suite {
        name: "ramfs",
        claims: "claims hold on ramfs",
        gate: &["6.12"],
        pack: DAEMON,
        run: guest::file_systems::ramfs,
        ..SUITE
    },
    Suite {
        name: "btrfs",
        claims: "claims on Btrfs are refused with a word why, and what lies there is used like every unclaimed file",
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "btrfs"],
            disk: 256,
            format: &["mkfs.btrfs", "-q"],
            ..Boot::DEFAULT
        },
        gate: &["6.12"],
        pack: DAEMON,
        run: guest::file_systems::btrfs,
        ..SUITE
    },
    Suite {
        name: "reresolve",
        claims: "claims follow their paths while the daemon runs, and what was there stays their zone's",
        limit: 400,
        budget: 200,
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "ext4"],
            disk: 16,
            ..Boot::DEFAULT
        },
        pack: DAEMON,
        run: guest::reresolve::run,
        ..SUITE
    },
    Suite {
        name: "systemd",
        claims: "a real systemd starts, watches, restarts and stops the daemon that make install installed",
        limit: 600,
        budget: 240,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        run: guest::systemd::run,
        ..SUITE
    },
    Suite {
        name: "zoned-service",
        claims: "a systemd service in a zone starts, logs to journald and stops, and has no more of the host than that",
        limit: 400,
        budget: 150,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        run: guest::systemd::zoned::run,
        ..SUITE
    },
    Suite {
        name: "docs-operations",
        claims: "the commands of docs/operations.md do what it says, faults and all",
        gate: &["6.1"],
        limit: 500,
        budget: 200,
        boot: Boot::DEBIAN,
        pack: DAEMON,
        run: guest::operations::run,
        ..SUITE
    },
    Suite {
        name: "silent",
        claims: "a daemon that does not answer is asked through the kernel, with what it has counted meanwhile",
        budget: 60,
        pack: DAEMON,
        run: guest::silent::run,
        ..SUITE
    },
    Suite {
        name: "host-sockets",
        claims: "single host sockets can be given to zones, and a service unit's zone has those it needs",
        limit: 300,
        budget: 90,
        pack: DAEMON,
        run: guest::host_sockets::run,
        ..SUITE
    },
    Suite {
        name: "crash",
        claims: "a daemon that dies between journal and maps ends in maps that enforce the journal",
        limit: 400,
        budget: 120,
        pack: &["syva-core", "syva-core-failpoints", "syva-cli"],
        run: guest::crash::run,
        ..SUITE
    },
    Suite {
        name: "crash-cycles",
        claims: "a daemon killed under load, and one that dies at each step, loses nothing acknowledged",
        gate: &["6.1"],
        limit: 400,
        budget: 120,
        pack: &["syva-core", "syva-core-failpoints", "syva-cli"],
        run: guest::crash::cycles::some,
        ..SUITE
    },
    // What `make test-long` runs beside everything else: no change has to wait for it.
    Suite {
        name: "crash-cycles-long",
        claims: "the same, again and again",
        gate: &[],
        limit: 3000,
        budget: 1500,
        pack: &["syva-core", "syva-core-failpoints", "syva-cli"],
        run: guest::crash::cycles::many,
        ..SUITE
    },
    Suite {
        name: "disk-full",
        claims: "a full disk stops commands and nothing else, and is over when there is room",
        limit: 300,
        budget: 90,
        pack: &["syva-core", "syva-core-failpoints", "syva-cli"],
        run: guest::disk_full::run,
        ..SUITE
    },
    Suite {
        name: "gapless",
        claims: "enforcement outlives the daemon: killed, stopped, refused a start, started over and over",
        limit: 1200,
        budget: 120,
        boot: Boot {
            modules: &["overlay"],
            ..Boot::DEFAULT
        },
        pack: &["syva-core", "syva-core-next", "syva-cli"],
        run: guest::gapless::run,
        ..SUITE
    },
    Suite {
        name: "gapless-long",
        claims: "the same, started fifty times in a row",
        gate: &[],
        limit: 2400,
        budget: 500,
        boot: Boot {
            modules: &["overlay"],
            ..Boot::DEFAULT
        },
        pack: &["syva-core", "syva-core-next", "syva-cli"],
        run: guest::gapless::run_long,
        ..SUITE
    },
    Suite {
        name: "bad-host",
        claims: "what a host lacks is said by name, and the daemon does not start",
        pack: DAEMON,
        run: guest::bad_host::run,
        ..SUITE
    },
    Suite {
        name: "bad-host-lsm",
        claims: "without bpf among the security modules the daemon says so",
        boot: Boot {
            lsm: "lockdown,capability",
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        pack: DAEMON,
        run: guest::bad_host::without_bpf,
        ..SUITE
    },
    Suite {
        name: "bad-host-lockdown",
        claims: "where lockdown keeps BPF programs from the kernel's memory the daemon says so",
        boot: Boot {
            kernel_args: &["lockdown=confidentiality"],
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        pack: DAEMON,
        run: guest::bad_host::locked_down,
        ..SUITE
    },
    Suite {
        name: "bad-host-hybrid",
        claims: "with control groups of both versions the daemon says so",
        boot: Boot {
            cgroups: Cgroups::Hybrid,
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        pack: DAEMON,
        run: guest::bad_host::hybrid,
        ..SUITE
    },
    Suite {
        name: "bad-host-cgroups",
        claims: "without control groups the daemon says so",
        boot: Boot {
            cgroups: Cgroups::None,
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        pack: DAEMON,
        run: guest::bad_host::without_cgroups,
        ..SUITE
    },
    Suite {
        name: "count",
        claims: "the hooks cost an unzoned caller almost nothing, counted in instructions",
        gate: &["6.12"],
        limit: 600,
        budget: 120,
        boot: Boot::COUNT,
        run: guest::count::run,
        ..SUITE
    },
    Suite {
        name: "preempt",
        claims: "on a fully preemptible kernel no hook is skipped, and denials are counted exactly",
        gate: &["6.12"],
        limit: 300,
        budget: 60,
        boot: Boot {
            processors: 1,
            kernel_args: &["preempt=full"],
            ..Boot::DEFAULT
        },
        run: guest::preempt::run,
        ..SUITE
    },
    Suite {
        name: "option-hybrid",
        claims: "a guest can have control groups of both versions",
        boot: Boot {
            cgroups: Cgroups::Hybrid,
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        run: guest::options::hybrid,
        ..SUITE
    },
    Suite {
        name: "option-without-bpf",
        claims: "a guest can boot without bpf among its security modules",
        boot: Boot {
            lsm: "lockdown,capability",
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        run: guest::options::without_bpf,
        ..SUITE
    },
    Suite {
        name: "option-modules",
        claims: "a guest can have a disk, and file systems that are modules",
        boot: Boot {
            modules: &["virtio_pci", "virtio_blk", "overlay", "btrfs", "ext4"],
            disk: 16,
            ..Boot::DEFAULT
        },
        run: guest::options::modules,
        ..SUITE
    },
    Suite {
        name: "option-systemd",
        claims: "a guest can be a Debian that runs systemd and has podman, with cgroup v2 alone",
        boot: Boot::DEBIAN,
        budget: 60,
        run: guest::options::systemd,
        ..SUITE
    },
    Suite {
        name: "option-parallel",
        claims: "a guest can have processors that run at the same time",
        boot: Boot {
            cpu: Cpu::MultiThread,
            ..Boot::DEFAULT
        },
        gate: &["6.1"],
        run: guest::options::parallel,
        ..SUITE
    },
    Suite {
        name: "option-count",
        claims: "a guest's clock can count instructions, exactly",
        boot: Boot::COUNT,
        run: guest::options::count,
        ..SUITE
    },
];

/// The suite with that name.
pub fn named(name: &str) -> Option<&'static Suite> {
    let wrong = selftest::ALL.iter().map(|(suite, _)| suite);
    ALL.iter().chain(wrong).find(|suite| suite.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels;

    #[test]
    fn every_entry_is_coherent() {
        for (at, suite) in ALL.iter().enumerate() {
            let name = suite.name;
            assert!(
                ALL[at + 1..].iter().all(|other| other.name != name),
                "{name} is there twice"
            );
            assert!(
                suite.budget < suite.limit,
                "{name}: no time over its budget"
            );
            for kernel in suite.kernels.iter().chain(suite.gate) {
                assert!(kernels::named(kernel).is_ok(), "{name}: no kernel {kernel}");
            }
            assert!(
                suite.gate.iter().all(|k| suite.kernels.contains(k)),
                "{name}: gate"
            );
        }
    }
}
