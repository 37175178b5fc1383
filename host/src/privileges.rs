//! What this process may do: its capabilities, and how much memory it may lock.

use crate::{Finding, Host, unreadable};

/// Capabilities by their numbers (capabilities(7)).
const CAP_SYS_PTRACE: u64 = 1 << 19;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SYS_RESOURCE: u64 = 1 << 24;
const CAP_PERFMON: u64 = 1 << 38;
const CAP_BPF: u64 = 1 << 39;

const STATUS: &str = "proc/self/status";

/// The capabilities that a daemon needs: CAP_BPF and CAP_PERFMON, which CAP_SYS_ADMIN includes, to
/// load and attach; CAP_SYS_PTRACE to look paths up where the host's first process is.
pub fn capabilities(host: &Host) -> Finding {
    let name = "privileges";
    let status = match host.read(STATUS) {
        Ok(status) => status,
        Err(error) => return unreadable(name, STATUS, &error, "mount procfs on /proc"),
    };
    let Some(effective) = effective(&status) else {
        let found = format!("there is no CapEff line in /{STATUS}");
        return Finding::problem(name, found, "mount procfs on /proc");
    };
    let has = |set: u64| effective & set == set;
    let loads = has(CAP_SYS_ADMIN) || has(CAP_BPF | CAP_PERFMON);
    let lacks = match (loads, has(CAP_SYS_PTRACE)) {
        (true, true) => None,
        (false, _) => Some("CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN"),
        (true, false) => Some("CAP_SYS_PTRACE, to look up the host's paths below /proc/1/root"),
    };
    if let Some(lacks) = lacks {
        return Finding::problem(
            name,
            format!("this process lacks {lacks} (effective capabilities: {effective:#x})"),
            "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE",
        );
    }
    // In a user namespace of its own a process has capabilities that count for nothing here.
    let map = host.read("proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_whitespace().collect();
    if !words.is_empty() && words != ["0", "0", "4294967295"] {
        return Finding::problem(
            name,
            "this process is in a user namespace of its own, where its capabilities do not reach the \
             kernel's BPF",
            "run it in the host's user namespace",
        );
    }
    Finding::ok(
        name,
        "this process may load BPF programs and look up the host's paths",
    )
}

fn effective(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let hex = lines.find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

/// Kernels before 5.11 charge the maps to the memory that may be locked; the daemon raises that limit
/// itself, if it may.
pub fn memory_lock(host: &Host) -> Finding {
    let name = "memlock";
    let release = host.release().unwrap_or_default();
    if !release.starts_with("5.10.") {
        return Finding::ok(
            name,
            "this kernel does not charge maps to the memory lock limit",
        );
    }
    let limits = host.read("proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max locked memory"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    let status = host.read(STATUS).unwrap_or_default();
    match soft {
        Some("unlimited") => Finding::ok(name, "the memory lock limit is unlimited"),
        Some(limit) if effective(&status).is_some_and(|set| set & CAP_SYS_RESOURCE != 0) => {
            Finding::ok(
                name,
                format!("the limit is {limit} bytes, and the daemon may raise it"),
            )
        }
        Some(limit) => Finding::warning(
            name,
            format!(
                "this kernel charges maps to the memory lock limit, which is {limit} bytes, and this \
                 process may not raise it"
            ),
            "set LimitMEMLOCK=infinity, or give it CAP_SYS_RESOURCE",
        ),
        None => Finding::unknown(
            name,
            "no limit in /proc/self/limits",
            "mount procfs on /proc",
        ),
    }
}
