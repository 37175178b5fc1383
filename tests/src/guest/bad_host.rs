//! Suites `bad-host*`: what a host lacks is said in words of its own, and the daemon does not start.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::stage::setup;
use super::{Checks, Failure, binary};
use crate::daemon::{Daemon, Setup};

/// An unprivileged user.
const USER: u32 = 1000;

/// Checks that the daemon ends by itself with a failure that says all this, and leaves no socket.
fn refuses(checks: &mut Checks, what: &str, setup: &Setup, says: &[&str]) -> Result<(), Failure> {
    let ended = setup.end()?;
    let missing: Vec<_> = says
        .iter()
        .filter(|part| !ended.log.contains(**part))
        .collect();
    checks.that(
        format!("{what} is said so"),
        ended.status.code() == Some(1) && missing.is_empty(),
        format!("{}, without {missing:?}: {}", ended.status, ended.log),
    );
    checks.that(
        format!("{what} leaves no socket behind"),
        !setup.socket().exists(),
        "it is there",
    );
    Ok(())
}

/// Checks that the doctor names exactly these problems of the host, with exit 1; none, with exit 0.
fn diagnosed(
    checks: &mut Checks,
    what: &str,
    setup: &Setup,
    wrapper: &[&str],
    problems: &[&str],
) -> Result<(), Failure> {
    let mut words = wrapper.iter().copied();
    let cli = binary("syva-cli")?;
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(cli);
            command
        }
        None => Command::new(cli),
    };
    let output = command
        .args(["--format", "json", "doctor", "--socket"])
        .arg(setup.socket())
        .output()?;
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let findings = said["findings"].as_array().cloned().unwrap_or_default();
    let found: Vec<&str> = findings
        .iter()
        .filter(|finding| finding["state"] == "problem")
        .filter_map(|finding| finding["name"].as_str())
        .collect();
    let unadvised = findings
        .iter()
        .filter(|finding| finding["state"] != "ok" && finding["advice"] == "");
    checks.that(
        format!("the doctor finds {what}"),
        output.status.code() == Some(i32::from(!problems.is_empty()))
            && found == problems
            && findings.len() > 10
            && unadvised.count() == 0,
        format!("{} {said}", output.status),
    );
    Ok(())
}

/// What runs its last argument in a mount namespace of its own, in which a script has run.
fn namespace(script: &str) -> [String; 5] {
    let script = format!("{script} && exec \"$0\" \"$@\"");
    ["unshare", "-m", "sh", "-c", &script].map(str::to_owned)
}

/// `setup` in a mount namespace of its own, in which a script has run.
fn in_namespace(setup: &Setup, script: &str) -> Setup {
    setup.clone().under(&namespace(script))
}

/// One thing after the other is taken away, on a host that has everything.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let setup = setup(&[])?;
    let hide = "mount -t tmpfs none /sys/kernel/btf";
    let btf = [
        "/sys/kernel/btf/vmlinux",
        "not there",
        "CONFIG_DEBUG_INFO_BTF",
    ];
    refuses(checks, "no BTF", &in_namespace(&setup, hide), &btf)?;
    let unmount = "umount /sys/kernel/security";
    let securityfs = ["securityfs is not mounted", "mount -t securityfs"];
    refuses(
        checks,
        "no securityfs",
        &in_namespace(&setup, unmount),
        &securityfs,
    )?;
    let bpffs = [
        "it is not on a BPF file system",
        "mount -t bpf bpf /sys/fs/bpf",
        "--pin-dir off",
    ];
    let unmount = in_namespace(&setup, "umount /sys/fs/bpf");
    refuses(checks, "no bpffs", &unmount, &bpffs)?;
    // Not by unmounting it in a namespace of its own: where it is mounted is asked of the host's.
    let nowhere = setup.clone().args(&["--cgroup-root", "/mnt"]);
    let cgroups = [
        "cgroup v2 on /mnt",
        "nothing is mounted",
        "mount -t cgroup2",
    ];
    refuses(checks, "no cgroup v2", &nowhere, &cgroups)?;
    let elsewhere = setup.clone().args(&["--cgroup-root", "/tmp"]);
    let cgroups = ["cgroup v2 on /tmp", "a tmpfs is mounted there"];
    refuses(checks, "a wrong --cgroup-root", &elsewhere, &cgroups)?;

    doctor(checks, &setup)?;

    let home = PathBuf::from("/run/user");
    fs::create_dir(&home)?;
    chown(&home, Some(USER), Some(USER))?;
    let user = setup.clone().as_user(USER);
    let own = user
        .clone()
        .at_socket(home.join("core.sock"))
        .with_state(home.join("state"));
    let caps = ["lacks CAP_BPF and CAP_PERFMON", "run it as root"];
    refuses(checks, "no privileges", &own, &caps)?;
    refuses(
        checks,
        "a socket that may not be made",
        &user,
        &["bind the socket", "Permission denied", "--socket-path"],
    )?;
    let private = Path::new("/run/private");
    fs::create_dir(private)?;
    fs::set_permissions(private, fs::Permissions::from_mode(0o700))?;
    let not_mine = own.clone().with_state(private.join("state"));
    let not_writable = ["/run/private/state", "not writable", "Permission denied"];
    refuses(
        checks,
        "a state directory of another's",
        &not_mine,
        &not_writable,
    )?;
    let read_only = "mkdir -p /mnt/ro/state && mount -t tmpfs -o ro none /mnt/ro";
    let on_it = setup.clone().with_state("/mnt/ro/state".into());
    let says = ["/mnt/ro/state", "not writable", "Read-only file system"];
    refuses(
        checks,
        "a read-only state directory",
        &in_namespace(&on_it, read_only),
        &says,
    )?;

    let daemon = setup.start()?;
    well(checks, &daemon)?;
    let attached = daemon.done(&["status"])?.json()["attached"].clone();
    checks.equal(
        "where nothing is missing it starts",
        &attached,
        &true.into(),
    );
    let status = daemon.terminate()?;
    checks.equal("and ends", &status.code(), &Some(0));
    Ok(())
}

/// The doctor names the same, and nothing else.
fn doctor(checks: &mut Checks, setup: &Setup) -> Result<(), Failure> {
    for (script, what, problem) in [
        (
            "mount -t tmpfs none /sys/kernel/btf",
            "that BTF is missing",
            "btf",
        ),
        (
            "umount /sys/kernel/security",
            "that securityfs is missing",
            "bpf_lsm",
        ),
    ] {
        // What is mounted is asked of the host's first process: see without_cgroups and hybrid.
        let wrapper = namespace(script);
        let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        diagnosed(checks, what, setup, &words, &[problem])?;
    }
    diagnosed(checks, "nothing where nothing is missing", setup, &[], &[])
}

/// With the daemon running not even a warning is left.
fn well(checks: &mut Checks, daemon: &Daemon) -> Result<(), Failure> {
    let said = daemon.done(&["doctor"])?;
    let findings = said.json()["findings"].as_array().cloned();
    let findings = findings.unwrap_or_default();
    let well = findings.iter().all(|finding| finding["state"] == "ok");
    let of_daemon = findings.iter().any(|finding| finding["name"] == "daemon");
    checks.that(
        "with the daemon running the doctor finds everything well",
        well && of_daemon,
        said.json(),
    );
    Ok(())
}

/// Booted without bpf among the security modules.
pub fn without_bpf(checks: &mut Checks) -> Result<(), Failure> {
    let says = [
        "bpf is not among its active security modules",
        "add lsm=lockdown,capability,bpf to the kernel's command line",
    ];
    let setup = setup(&[])?;
    refuses(checks, "no bpf among the security modules", &setup, &says)?;
    diagnosed(
        checks,
        "that bpf is no active security module",
        &setup,
        &[],
        &["bpf_lsm"],
    )
}

/// Booted with the kernel's memory locked against BPF programs.
pub fn locked_down(checks: &mut Checks) -> Result<(), Failure> {
    let says = ["lockdown is in mode confidentiality", "lockdown=integrity"];
    let setup = setup(&[])?;
    refuses(checks, "a kernel that is locked down", &setup, &says)?;
    diagnosed(checks, "the lockdown", &setup, &[], &["lockdown"])
}

/// Booted with control groups of both versions.
pub fn hybrid(checks: &mut Checks) -> Result<(), Failure> {
    let says = ["it is hybrid", "systemd.unified_cgroup_hierarchy=1"];
    let plain = setup(&[])?;
    refuses(checks, "a hybrid host", &plain, &says)?;
    diagnosed(checks, "that it is hybrid", &plain, &[], &["cgroups"])?;
    let unified = setup(&["--cgroup-root", "/sys/fs/cgroup/unified"])?;
    refuses(checks, "its unified part", &unified, &says)
}

/// Booted without control groups.
pub fn without_cgroups(checks: &mut Checks) -> Result<(), Failure> {
    let says = ["cgroup v2", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"];
    let setup = setup(&[])?;
    refuses(checks, "no control groups at all", &setup, &says)?;
    diagnosed(
        checks,
        "that there are no control groups",
        &setup,
        &[],
        &["cgroups"],
    )
}
