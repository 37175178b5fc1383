//! The kernel: its version, what it was built with, the security modules it was booted with.

use std::io;

use crate::{Finding, Host, unreadable};

/// The floor. Before 5.10 there is no BPF LSM with inode storage; before 5.10.162 io_uring's workers
/// are kernel threads outside the submitter's cgroup.
const FLOOR: (u32, u32) = (5, 10);
const FLOOR_PATCH: u32 = 162;

const LSM: &str = "sys/kernel/security/lsm";

/// Its version.
pub fn version(host: &Host) -> Finding {
    let name = "kernel";
    let release = match host.release() {
        Ok(release) => release,
        Err(error) => {
            let path = "proc/sys/kernel/osrelease";
            return unreadable(name, path, &error, "mount procfs on /proc");
        }
    };
    let floor = format!("{}.{}.{FLOOR_PATCH}", FLOOR.0, FLOOR.1);
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let (series, patch) = ((next(), next()), next());
    if series > FLOOR {
        return Finding::ok(name, format!("{release} (at least {floor} is needed)"));
    }
    if series < FLOOR {
        let found = format!("{release} is older than {floor}");
        return Finding::problem(name, found, "boot a newer kernel");
    }
    // Distributions stop counting in the release; the banner goes on (`Debian 5.10.237-1`).
    let banner = host.read("proc/version").unwrap_or_default();
    let patch = match patch {
        0 => patch_in(&banner),
        patch => Some(patch),
    };
    match patch {
        Some(patch) if patch >= FLOOR_PATCH => {
            Finding::ok(name, format!("{release} (patch level {patch})"))
        }
        Some(patch) => Finding::problem(
            name,
            format!(
                "{release} has patch level {patch}, older than {floor}: io_uring's workers leave the \
                 cgroup of who submitted the work, and so its zone"
            ),
            "install the distribution's update, or boot a newer kernel",
        ),
        None => Finding::warning(
            name,
            format!("{release} does not say its patch level; {floor} is needed"),
            "see that the kernel is up to date",
        ),
    }
}

/// The highest patch level of the floor's series in a kernel's banner.
fn patch_in(banner: &str) -> Option<u32> {
    let series = format!("{}.{}.", FLOOR.0, FLOOR.1);
    let after = banner.match_indices(&series).filter_map(|(at, _)| {
        let rest = &banner[at + series.len()..];
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    });
    after.max()
}

/// The types of its structures.
pub fn btf(host: &Host) -> Finding {
    let path = "sys/kernel/btf/vmlinux";
    if host.path(path).exists() {
        return Finding::ok("btf", format!("/{path} is there"));
    }
    Finding::problem(
        "btf",
        format!("the kernel's types: /{path} is not there"),
        "mount sysfs on /sys, or use a kernel built with CONFIG_DEBUG_INFO_BTF",
    )
}

/// Whether BPF programs are asked before an operation.
pub fn bpf_lsm(host: &Host) -> Finding {
    let name = "bpf_lsm";
    let list = match host.read(LSM) {
        Ok(list) => list.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::problem(
                name,
                format!(
                    "the list of security modules /{LSM} is not there: securityfs is not mounted"
                ),
                "mount -t securityfs securityfs /sys/kernel/security",
            );
        }
        Err(error) => return unreadable(name, LSM, &error, "run it as root"),
    };
    if list.split(',').any(|module| module == "bpf") {
        return Finding::ok(name, format!("bpf is an active security module ({list})"));
    }
    let found = format!("bpf is not among its active security modules ({list})");
    if built_without(host, "CONFIG_BPF_LSM") {
        let found = format!("{found}, and this kernel is built without CONFIG_BPF_LSM");
        return Finding::problem(name, found, "use a kernel built with it");
    }
    let advice = format!("add lsm={list},bpf to the kernel's command line and restart");
    Finding::problem(name, found, advice)
}

/// Whether the kernel's configuration is known and lacks an option.
fn built_without(host: &Host, option: &str) -> bool {
    let Ok(release) = host.release() else {
        return false;
    };
    let set = format!("{option}=y");
    host.read(&format!("boot/config-{release}"))
        .is_ok_and(|config| !config.lines().any(|line| line == set))
}

/// Lockdown forbids BPF programs to read the kernel's memory in its stricter mode.
pub fn lockdown(host: &Host) -> Finding {
    let name = "lockdown";
    let path = "sys/kernel/security/lockdown";
    let modes = match host.read(path) {
        Ok(modes) => modes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && host.path(LSM).exists() => {
            return Finding::ok(name, "lockdown is not an active security module");
        }
        Err(error) => {
            let found = format!("reading /{path} said: {error}");
            return Finding::unknown(name, found, "mount securityfs, and run it as root");
        }
    };
    let chosen = |mode: &str| modes.contains(&format!("[{mode}]"));
    if chosen("confidentiality") {
        return Finding::problem(
            name,
            "lockdown is in mode confidentiality: BPF programs may not read the kernel's memory",
            "boot with lockdown=integrity, or without it",
        );
    }
    let mode = if chosen("integrity") {
        "integrity"
    } else {
        "none"
    };
    Finding::ok(name, format!("lockdown mode {mode} allows BPF programs"))
}

/// Security modules that decide beside Syvä.
pub fn other_modules(host: &Host) -> Finding {
    let name = "other_lsms";
    let list = match host.read(LSM) {
        Ok(list) => list,
        Err(error) => {
            let found = format!("reading /{LSM} said: {error}");
            return Finding::unknown(name, found, "mount securityfs, and run it as root");
        }
    };
    let plain = [
        "",
        "capability",
        "lockdown",
        "bpf",
        "integrity",
        "ima",
        "evm",
    ];
    let others: Vec<&str> = list
        .trim()
        .split(',')
        .filter(|module| !plain.contains(module))
        .collect();
    if others.is_empty() {
        return Finding::ok(name, "no other security module refuses operations");
    }
    let found = format!(
        "active too: {}; each may refuse what Syvä allows, and what one of them refuses before bpf is \
         asked is not among Syvä's denials",
        others.join(", ")
    );
    let enforcing = host.read("sys/fs/selinux/enforce");
    if enforcing.is_ok_and(|text| text.trim() == "1") {
        return Finding::warning(
            name,
            format!("{found}; SELinux enforces"),
            "if the daemon is refused, see `ausearch -m avc`: its domain needs the class bpf \
             (map_create, map_read, map_write, prog_load, prog_run)",
        );
    }
    Finding::ok(name, found)
}

/// io_uring: a second way to many operations.
pub fn io_uring(host: &Host) -> Finding {
    let name = "io_uring";
    let found = match host.read("proc/sys/kernel/io_uring_disabled") {
        Ok(text) => match text.trim() {
            "2" => "io_uring is disabled",
            "1" => "io_uring is for privileged processes only",
            _ => "io_uring is available",
        },
        // The switch came with 6.6.
        Err(_) => "io_uring is available, if the kernel has it",
    };
    Finding::ok(
        name,
        format!(
            "{found}; its workers are in the cgroup of who submits, so what is mediated is mediated \
             for it too"
        ),
    )
}

/// How long ago it was booted.
pub fn boot(host: &Host) -> Finding {
    let uptime = host.read("proc/uptime").unwrap_or_default();
    let seconds = uptime.split(['.', ' ']).next();
    match seconds.and_then(|text| text.parse::<u64>().ok()) {
        Some(seconds) => Finding::ok(
            "boot",
            format!("booted {seconds} s ago; memberships of earlier boots are void"),
        ),
        None => Finding::unknown("boot", "no time in /proc/uptime", "mount procfs on /proc"),
    }
}
