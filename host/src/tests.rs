//! Machines made up of files, and what is found on them.

use std::fs;
use std::path::Path;

use super::*;

/// A machine that has everything, in a folder.
fn machine() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (path, text) in [
        ("sys/kernel/security/lsm", "lockdown,capability,bpf\n"),
        (
            "sys/kernel/security/lockdown",
            "[none] integrity confidentiality\n",
        ),
        ("sys/kernel/btf/vmlinux", ""),
        (
            "proc/1/mountinfo",
            "1 0 8:1 / / rw - ext4 /dev/vda rw\n\
             22 1 0:20 / /sys rw - sysfs sysfs rw\n\
             29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n\
             30 22 0:27 / /sys/fs/bpf rw - bpf bpffs rw\n",
        ),
        ("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n"),
        ("proc/self/uid_map", "         0          0 4294967295\n"),
        ("proc/sys/kernel/osrelease", "6.1.0-32-cloud-amd64\n"),
        ("proc/uptime", "71.50 12.03\n"),
    ] {
        put(&dir, path, text);
    }
    dir
}

fn put(dir: &tempfile::TempDir, path: &str, text: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

fn host(dir: &tempfile::TempDir) -> Host {
    Host::below(dir.path(), Path::new("/sys/fs/cgroup"))
}

fn finding(dir: &tempfile::TempDir, name: &str) -> Finding {
    let found = host(dir).examine().into_iter().find(|f| f.name == name);
    found.expect(name)
}

/// It is the one thing that keeps the machine from enforcing, and says so.
fn prevents(dir: &tempfile::TempDir, name: &str, says: &[&str]) {
    let problem = host(dir).check().expect_err(name);
    assert_eq!(problem.name, name, "{problem:?}");
    let words = format!("{}; {}", problem.found, problem.advice);
    for say in says {
        assert!(words.contains(say), "{say:?} in {words}");
    }
    let others = host(dir).examine();
    let others = others.iter().filter(|other| other.name != name);
    assert!(
        others.clone().all(|other| other.state != State::Problem),
        "{:?}",
        others.collect::<Vec<_>>()
    );
}

fn warns(dir: &tempfile::TempDir, name: &str, says: &str) {
    let found = finding(dir, name);
    assert_eq!(found.state, State::Warning, "{found:?}");
    assert!(found.found.contains(says), "{found:?}");
    assert!(!found.advice.is_empty(), "{found:?}");
    host(dir).check().expect("it can enforce all the same");
}

#[test]
fn a_machine_that_has_everything_is_well() {
    let dir = machine();
    host(&dir).check().expect("it can enforce");
    for finding in host(&dir).examine() {
        assert_eq!(finding.state, State::Ok, "{finding:?}");
        assert!(finding.advice.is_empty(), "{finding:?}");
    }
}

#[test]
fn a_kernel_below_the_floor_is_refused_by_what_says_its_version() {
    let dir = machine();
    let release = "proc/sys/kernel/osrelease";
    put(&dir, release, "5.4.0-1-amd64");
    prevents(&dir, "kernel", &["older than 5.10.162"]);
    put(&dir, release, "5.10.161-custom");
    prevents(&dir, "kernel", &["patch level 161", "io_uring"]);
    put(&dir, release, "5.10.162");
    host(&dir).check().expect("the floor itself");
    // Debian's releases stay at 5.10.0; its banner tells.
    put(&dir, release, "5.10.0-32-cloud-amd64");
    warns(&dir, "kernel", "does not say its patch level");
    let banner = |level| {
        format!("Linux version 5.10.0-32-cloud-amd64 (x) (gcc 10.2) #1 SMP Debian 5.10.{level}-1")
    };
    put(&dir, "proc/version", &banner(140));
    prevents(&dir, "kernel", &["patch level 140"]);
    put(&dir, "proc/version", &banner(223));
    assert_eq!(finding(&dir, "kernel").state, State::Ok);
    fs::remove_file(dir.path().join(release)).expect("removed");
    prevents(&dir, "kernel", &["osrelease", "mount procfs"]);
}

#[test]
fn a_process_without_privileges_is_told_which() {
    let dir = machine();
    put(&dir, "proc/self/status", "CapEff:\t0000000000000000\n");
    prevents(
        &dir,
        "privileges",
        &[
            "lacks CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN",
            "run it as root",
        ],
    );
    put(&dir, "proc/self/status", "CapEff:\t0000000000280000\n");
    host(&dir).check().expect("it is enough");
    put(&dir, "proc/self/uid_map", "0 100000 65536\n");
    prevents(&dir, "privileges", &["user namespace"]);
}

#[test]
fn a_kernel_without_btf_is_refused() {
    let dir = machine();
    fs::remove_file(dir.path().join("sys/kernel/btf/vmlinux")).expect("removed");
    prevents(
        &dir,
        "btf",
        &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"],
    );
}

#[test]
fn a_kernel_without_bpf_lsm_is_told_the_boot_parameter() {
    let dir = machine();
    put(&dir, "sys/kernel/security/lsm", "capability,landlock\n");
    prevents(&dir, "bpf_lsm", &["lsm=capability,landlock,bpf"]);
    let config = "boot/config-6.1.0-32-cloud-amd64";
    put(&dir, config, "CONFIG_BPF_LSM=y\n");
    prevents(&dir, "bpf_lsm", &["lsm=capability,landlock,bpf"]);
    // Then no parameter helps.
    put(&dir, config, "# CONFIG_BPF_LSM is not set\n");
    prevents(
        &dir,
        "bpf_lsm",
        &["built without", "use a kernel built with it"],
    );
    fs::remove_file(dir.path().join("sys/kernel/security/lsm")).expect("removed");
    prevents(
        &dir,
        "bpf_lsm",
        &["securityfs is not mounted", "mount -t securityfs"],
    );
}

#[test]
fn lockdown_prevents_it_in_its_stricter_mode_only() {
    let dir = machine();
    let path = "sys/kernel/security/lockdown";
    put(&dir, path, "none integrity [confidentiality]\n");
    prevents(&dir, "lockdown", &["confidentiality", "lockdown=integrity"]);
    put(&dir, path, "none [integrity] confidentiality\n");
    assert_eq!(finding(&dir, "lockdown").state, State::Ok);
    fs::remove_file(dir.path().join(path)).expect("removed");
    assert_eq!(finding(&dir, "lockdown").state, State::Ok);
}

#[test]
fn cgroup_v2_must_be_alone_and_where_it_is_said_to_be() {
    let dir = machine();
    let mounts = "proc/1/mountinfo";
    let root = "1 0 8:1 / / rw - ext4 /dev/vda rw\n";
    put(&dir, mounts, root);
    prevents(
        &dir,
        "cgroups",
        &["nothing is mounted there", "mount -t cgroup2"],
    );
    let other = format!("{root}29 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n");
    put(&dir, mounts, &other);
    prevents(&dir, "cgroups", &["a tmpfs is mounted there"]);
    let hybrid = format!(
        "{root}29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
         30 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    );
    put(&dir, mounts, &hybrid);
    prevents(
        &dir,
        "cgroups",
        &["it is hybrid", "unified_cgroup_hierarchy"],
    );
    fs::remove_file(dir.path().join(mounts)).expect("removed");
    prevents(&dir, "cgroups", &["mountinfo", "mount procfs"]);
}

#[test]
fn a_mount_point_that_is_no_text_hides_none_of_the_others() {
    let dir = machine();
    let mounts = dir.path().join("proc/1/mountinfo");
    let mut bytes = fs::read(&mounts).expect("there");
    bytes.extend_from_slice(b"40 1 0:41 / /mnt/\xff rw - tmpfs tmpfs rw\n");
    fs::write(&mounts, bytes).expect("written");
    host(&dir).check().expect("it can enforce");
    assert_eq!(finding(&dir, "cgroups").state, State::Ok);
}

#[test]
fn what_limits_it_is_a_warning() {
    let dir = machine();
    let mounts = "proc/1/mountinfo";
    let cgroups = "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let over = format!(
        "1 0 0:40 / / rw - overlay overlay rw\n2 1 8:2 / /srv rw - xfs /dev/vdb rw\n{cgroups}"
    );
    put(&dir, mounts, &over);
    warns(
        &dir,
        "file_systems",
        "/srv (xfs); they are refused on / (overlay)",
    );
    warns(&dir, "bpffs", "not mounted");
    put(&dir, "sys/kernel/security/lsm", "capability,selinux,bpf\n");
    assert_eq!(finding(&dir, "other_lsms").state, State::Ok);
    put(&dir, "sys/fs/selinux/enforce", "1");
    warns(&dir, "other_lsms", "SELinux enforces");
}

#[test]
fn an_old_kernel_charges_maps_to_a_limit() {
    let dir = machine();
    put(&dir, "proc/sys/kernel/osrelease", "5.10.223");
    let limits = "proc/self/limits";
    put(
        &dir,
        limits,
        "Max locked memory         65536                65536                bytes\n",
    );
    assert_eq!(
        finding(&dir, "memlock").state,
        State::Ok,
        "root may raise it"
    );
    put(&dir, "proc/self/status", "CapEff:\t0000000000280000\n");
    warns(&dir, "memlock", "65536 bytes");
    put(
        &dir,
        limits,
        "Max locked memory         unlimited            unlimited            bytes\n",
    );
    assert_eq!(finding(&dir, "memlock").state, State::Ok);
}
