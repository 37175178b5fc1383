//! Can this machine enforce anything? Each thing it may lack is an error of its own (I10).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use syva_model::kernel::KernelError;

use crate::error::here;
use crate::vantage;

/// The floor: before 5.10 there is no BPF LSM with inode storage.
const FLOOR: (u32, u32) = (5, 10);
/// Numbers of capabilities(7). CAP_SYS_ADMIN includes the last two.
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Where to look. The paths are parameters so that tests can make a machine up.
#[derive(Debug)]
pub(crate) struct Host {
    lsm: PathBuf,
    btf: PathBuf,
    mountinfo: PathBuf,
    status: PathBuf,
    osrelease: PathBuf,
    cgroup_root: PathBuf,
}

impl Host {
    /// This machine, with its cgroups at that path.
    pub(crate) fn of_this_process(cgroup_root: &Path) -> Host {
        Host::below(Path::new("/"), cgroup_root)
    }

    fn below(root: &Path, cgroup_root: &Path) -> Host {
        Host {
            lsm: root.join("sys/kernel/security/lsm"),
            btf: root.join("sys/kernel/btf/vmlinux"),
            mountinfo: root.join(vantage::MOUNTS),
            status: root.join("proc/self/status"),
            osrelease: root.join("proc/sys/kernel/osrelease"),
            cgroup_root: cgroup_root.to_owned(),
        }
    }

    /// The kernel's release (`uname -r`).
    pub(crate) fn release(&self) -> Result<String, KernelError> {
        Ok(read("read the kernel's release from", &self.osrelease)?
            .trim()
            .to_owned())
    }

    /// Everything loading needs, the likeliest cause of a refusal first.
    pub(crate) fn check(&self) -> Result<(), KernelError> {
        self.check_release()?;
        self.check_privileges()?;
        self.check_btf()?;
        self.check_lsm()?;
        self.check_cgroups()
    }

    fn check_release(&self) -> Result<(), KernelError> {
        let release = self.release()?;
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < FLOOR {
            return Err(here(
                "use kernel",
                &release,
                format!("it is older than {}.{}", FLOOR.0, FLOOR.1),
                "boot a newer one",
            ));
        }
        Ok(())
    }

    fn check_privileges(&self) -> Result<(), KernelError> {
        let status = read("read capabilities from", &self.status)?;
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
        match effective {
            Some(set) => capable(set),
            None => Err(here(
                "read capabilities from",
                self.status.display().to_string(),
                "there is no CapEff line",
                "mount procfs on /proc",
            )),
        }
    }

    fn check_btf(&self) -> Result<(), KernelError> {
        if self.btf.exists() {
            return Ok(());
        }
        Err(here(
            "find the kernel's types in",
            self.btf.display().to_string(),
            "it is not there",
            "mount sysfs on /sys, or use a kernel built with CONFIG_DEBUG_INFO_BTF",
        ))
    }

    fn check_lsm(&self) -> Result<(), KernelError> {
        let on = self.lsm.display().to_string();
        let list = fs::read_to_string(&self.lsm).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => here(
                "find the active security modules in",
                &on,
                "it is not there: securityfs is not mounted",
                "mount -t securityfs securityfs /sys/kernel/security",
            ),
            _ => crate::error::from_io("read", &on, &e),
        })?;
        let list = list.trim();
        if list.split(',').any(|module| module == "bpf") {
            return Ok(());
        }
        Err(here(
            "enforce with BPF LSM on",
            "this kernel",
            format!("bpf is not among its active security modules ({list})"),
            format!("add lsm={list},bpf to the kernel's command line and restart"),
        ))
    }

    fn check_cgroups(&self) -> Result<(), KernelError> {
        let mounts = read("read mounts from", &self.mountinfo)?;
        let mounts = || mounts.lines().filter_map(mount_of);
        // On a hybrid host the memberships of tasks are spread over hierarchies, and what a v1 one
        // delegates is outside what the hooks see.
        if let Some((point, _)) = mounts().find(|(_, kind)| *kind == "cgroup") {
            return Err(here(
                "use the cgroups of",
                "this host",
                format!("it is hybrid: a cgroup v1 hierarchy is mounted on {point}"),
                "boot with systemd.unified_cgroup_hierarchy=1, so that cgroup v2 is alone",
            ));
        }
        let root = self.cgroup_root.to_string_lossy();
        // The last mount on a place hides those before.
        let over = mounts().rfind(|(point, _)| *point == root);
        match over {
            Some((_, "cgroup2")) => Ok(()),
            Some((_, kind)) => Err(no_cgroups(&root, &format!("a {kind} is mounted there"))),
            None => Err(no_cgroups(&root, "nothing is mounted there")),
        }
    }
}

/// Programs of type LSM take CAP_BPF and CAP_PERFMON; to look paths up where PID 1 is takes
/// CAP_SYS_PTRACE.
fn capable(set: u64) -> Result<(), KernelError> {
    let has = |capability: u32| set & 1 << capability != 0;
    let loads = has(CAP_SYS_ADMIN) || (has(CAP_BPF) && has(CAP_PERFMON));
    let (operation, on, lacks) = match (loads, has(CAP_SYS_PTRACE)) {
        (true, true) => return Ok(()),
        (false, _) => (
            "load BPF programs",
            "this kernel",
            "CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN",
        ),
        (true, false) => (
            "look up the host's paths below",
            vantage::ROOT,
            "CAP_SYS_PTRACE",
        ),
    };
    Err(here(
        operation,
        on,
        format!("this process lacks {lacks} (effective capabilities: {set:#x})"),
        "run it as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE",
    ))
}

fn no_cgroups(root: &str, said: &str) -> KernelError {
    here(
        "find cgroup v2 on",
        root,
        said,
        format!("mount -t cgroup2 cgroup2 {root}, or name the place where it is mounted"),
    )
}

/// A mountinfo line's mount point and file-system type (proc_pid_mountinfo(5)). Points with spaces
/// stay escaped: none of ours has any.
fn mount_of(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    Some((before.split(' ').nth(4)?, after.split(' ').next()?))
}

fn read(operation: &'static str, path: &Path) -> Result<String, KernelError> {
    fs::read_to_string(path)
        .map_err(|e| crate::error::from_io(operation, path.display().to_string(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that has everything, in a folder.
    fn machine() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("sys/kernel/security/lsm", "lockdown,capability,bpf\n"),
            ("sys/kernel/btf/vmlinux", ""),
            (
                "proc/1/mountinfo",
                "22 1 0:20 / /sys rw - sysfs sysfs rw\n\
                 29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
            ),
            ("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n"),
            ("proc/sys/kernel/osrelease", "6.1.0-32-cloud-amd64\n"),
        ] {
            put(&dir, path, text);
        }
        dir
    }

    fn put(dir: &tempfile::TempDir, path: &str, text: &str) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn check(dir: &tempfile::TempDir) -> Result<(), KernelError> {
        Host::below(dir.path(), Path::new("/sys/fs/cgroup")).check()
    }

    fn refusal(dir: &tempfile::TempDir) -> String {
        check(dir).unwrap_err().to_string()
    }

    #[test]
    fn a_machine_that_has_everything_is_accepted() {
        check(&machine()).unwrap();
    }

    #[test]
    fn an_old_kernel_is_refused() {
        let dir = machine();
        put(&dir, "proc/sys/kernel/osrelease", "5.4.0-1-amd64");
        assert!(refusal(&dir).contains("older than 5.10"));
        put(&dir, "proc/sys/kernel/osrelease", "5.10.0-32-cloud-amd64");
        check(&dir).unwrap();
    }

    #[test]
    fn a_process_without_privileges_is_told_which() {
        let dir = machine();
        put(&dir, "proc/self/status", "CapEff:\t0000000000000000\n");
        assert!(refusal(&dir).contains("CAP_SYS_ADMIN"));
        put(&dir, "proc/self/status", "CapEff:\t0000000000280000\n");
        check(&dir).unwrap();
        put(&dir, "proc/self/status", "CapEff:\t000000c000080000\n");
        check(&dir).unwrap();
        put(&dir, "proc/self/status", "CapEff:\t000000c000000000\n");
        assert!(refusal(&dir).contains("CAP_SYS_PTRACE"));
    }

    #[test]
    fn a_kernel_without_btf_is_refused() {
        let dir = machine();
        fs::remove_file(dir.path().join("sys/kernel/btf/vmlinux")).unwrap();
        assert!(refusal(&dir).contains("CONFIG_DEBUG_INFO_BTF"));
    }

    #[test]
    fn a_kernel_without_bpf_lsm_is_told_the_boot_parameter() {
        let dir = machine();
        put(&dir, "sys/kernel/security/lsm", "capability,landlock\n");
        assert!(refusal(&dir).contains("lsm=capability,landlock,bpf"));
        fs::remove_file(dir.path().join("sys/kernel/security/lsm")).unwrap();
        assert!(refusal(&dir).contains("mount -t securityfs"));
    }

    #[test]
    fn cgroup_v2_must_be_mounted_where_it_is_said_to_be() {
        let dir = machine();
        put(
            &dir,
            "proc/1/mountinfo",
            "22 1 0:20 / /sys rw - sysfs sysfs rw\n",
        );
        assert!(refusal(&dir).contains("nothing is mounted there"));
        put(
            &dir,
            "proc/1/mountinfo",
            "29 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n",
        );
        assert!(refusal(&dir).contains("a tmpfs is mounted there"));
    }

    #[test]
    fn a_hybrid_host_is_refused() {
        let dir = machine();
        put(
            &dir,
            "proc/1/mountinfo",
            "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
             30 22 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
        );
        assert!(refusal(&dir).contains("hybrid"));
    }
}
