//! What is mounted: control groups, bpffs, the file systems that claims lie on.

use syva_model::file_system;

use crate::{Finding, Host, unreadable};

/// The host's mounts are those of its first process; the daemon may have a namespace of its own.
const MOUNTINFO: &str = "proc/1/mountinfo";

/// The host's mounts. Whoever may not look there sees what this process sees, which is the same
/// unless it is in a container.
fn mountinfo(host: &Host) -> std::io::Result<String> {
    host.read(MOUNTINFO)
        .or_else(|_| host.read("proc/self/mountinfo"))
}

/// Kinds that hold nothing one would claim.
const PSEUDO: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// How many mount points a finding names.
const NAMED: usize = 4;

/// A mountinfo line's mount point and file-system type (proc_pid_mountinfo(5)). Points with spaces
/// stay escaped: none of those looked for has any.
fn mount_of(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    Some((before.split(' ').nth(4)?, after.split(' ').next()?))
}

fn mounts(text: &str) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    text.lines().filter_map(mount_of)
}

/// Control groups of version 2, alone. On a hybrid host the memberships of tasks are spread over
/// hierarchies, and what a v1 one delegates is outside what the hooks see.
pub fn cgroups(host: &Host) -> Finding {
    let name = "cgroups";
    let text = match mountinfo(host) {
        Ok(text) => text,
        Err(error) => return unreadable(name, MOUNTINFO, &error, "mount procfs on /proc"),
    };
    if let Some((point, _)) = mounts(&text).find(|(_, kind)| *kind == "cgroup") {
        return Finding::problem(
            name,
            format!("it is hybrid: a cgroup v1 hierarchy is mounted on {point}"),
            "boot with systemd.unified_cgroup_hierarchy=1, so that cgroup v2 is alone",
        );
    }
    let root = host.cgroup_root();
    // The last mount on a place hides those before.
    let found = match mounts(&text).rfind(|(point, _)| *point == root) {
        Some((_, "cgroup2")) => return Finding::ok(name, format!("cgroup v2 is alone, on {root}")),
        Some((_, kind)) => format!("there is no cgroup v2 on {root}: a {kind} is mounted there"),
        None => format!("there is no cgroup v2 on {root}: nothing is mounted there"),
    };
    let advice = format!("mount -t cgroup2 cgroup2 {root}, or name the place where it is mounted");
    Finding::problem(name, found, advice)
}

/// Where programs and maps are pinned, which keeps them without a process. A daemon can be told another
/// place, or to pin nothing, so this alone prevents nothing.
pub fn bpffs(host: &Host) -> Finding {
    let (name, place) = ("bpffs", "/sys/fs/bpf");
    let text = mountinfo(host).unwrap_or_default();
    match mounts(&text).rfind(|(point, _)| *point == place) {
        Some((_, "bpf")) => Finding::ok(name, format!("bpffs is mounted on {place}")),
        _ => Finding::warning(
            name,
            format!(
                "bpffs is not mounted on {place}: the daemon pins its programs there and does not \
                 start without, unless --pin-dir names another place or is off"
            ),
            format!("mount -t bpf bpffs {place}"),
        ),
    }
}

/// Where paths can be claimed and where not.
pub fn file_systems(host: &Host) -> Finding {
    let name = "file_systems";
    let text = mountinfo(host).unwrap_or_default();
    let claimable = |kind: &str| {
        file_system::CLAIMABLE
            .iter()
            .any(|(_, known)| *known == kind)
    };
    let real = mounts(&text).filter(|(_, kind)| !PSEUDO.contains(kind));
    let (can, cannot): (Vec<_>, Vec<_>) = real.partition(|(_, kind)| claimable(kind));
    let mut found = match can.is_empty() {
        true => "no path can be claimed".to_owned(),
        false => format!("paths can be claimed on {}", listed(&can)),
    };
    if !cannot.is_empty() {
        found.push_str(&format!(
            "; they are refused on {}, where the engine cannot identify objects yet",
            listed(&cannot)
        ));
    }
    // An initramfs is a tmpfs or ramfs that mountinfo calls rootfs.
    let root = mounts(&text).rfind(|(point, _)| *point == "/");
    match root {
        Some((_, kind)) if !claimable(kind) && kind != "rootfs" => Finding::warning(
            name,
            found,
            format!(
                "the root file system is {kind}: keep what is to be claimed on one of {}",
                file_system::claimable()
            ),
        ),
        _ => Finding::ok(name, found),
    }
}

fn listed(mounts: &[(&str, &str)]) -> String {
    let mut words: Vec<String> = mounts
        .iter()
        .take(NAMED)
        .map(|(point, kind)| format!("{point} ({kind})"))
        .collect();
    if mounts.len() > NAMED {
        words.push(format!("{} more", mounts.len() - NAMED));
    }
    words.join(", ")
}
