//! Says whether the kernel this runs on can enforce anything, and if not, what it lacks.

use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::skel::{OpenSkel as _, SkelBuilder as _};

use super::deny_open::DenyOpenSkelBuilder;

/// Everything this kernel or this user lacks, a sentence each; empty if all is there.
pub fn lacking() -> Vec<String> {
    let mut lacking = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacking.push(String::from(
            "this is not root: loading programs needs it; use sudo",
        ));
    }
    let list = Path::new("/sys/kernel/security/lsm");
    match fs::read_to_string(list) {
        Ok(lsms) if lsms.trim().split(',').any(|lsm| lsm == "bpf") => {}
        Ok(lsms) => lacking.push(format!(
            "bpf is not among the active security modules ({}): append it to lsm= on the kernel's \
             command line and restart",
            lsms.trim()
        )),
        Err(error) => lacking.push(format!(
            "reading {}: {error}; mount securityfs on /sys/kernel/security",
            list.display()
        )),
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        lacking.push(String::from(
            "no /sys/kernel/btf/vmlinux: use a kernel built with BTF",
        ));
    }
    // Only loaded, never attached: nothing on this machine changes. Tried last, since whatever is
    // said above is the likelier cause of a refusal.
    libbpf_rs::set_print(None);
    let mut storage = MaybeUninit::uninit();
    let loaded = DenyOpenSkelBuilder::default()
        .open(&mut storage)
        .and_then(|open| open.load().map(drop));
    if let Err(error) = loaded {
        lacking.push(format!(
            "loading a BPF LSM program: {error:#}; a virtual machine or container may forbid it"
        ));
    }
    lacking
}
