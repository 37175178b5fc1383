//! Suite `harness`: a kernel enforces a BPF LSM program of ours, and only where it should.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};

use super::actor::{act, make_cgroup};
use super::deny_open::DenyOpenSkelBuilder;
use super::{Checks, Failure};

/// Denies one file to one cgroup, and tries that file and its twins before, during and after.
pub fn run(checks: &mut Checks) -> Result<(), Failure> {
    let lsms = fs::read_to_string("/sys/kernel/security/lsm")?;
    checks.that(
        "bpf is an active security module",
        lsms.split(',').any(|m| m == "bpf"),
        &lsms,
    );

    let (confined, free) = (
        make_cgroup("harness/confined")?,
        make_cgroup("harness/free")?,
    );
    let (secret, public) = (Path::new("/tmp/secret"), Path::new("/tmp/public"));
    fs::write(secret, "secret")?;
    fs::write(public, "public")?;

    checks.allowed(
        "before loading, the confined cgroup opens it",
        &act(&confined, "open", &[secret]),
    );

    let mut storage = MaybeUninit::uninit();
    let mut open = DenyOpenSkelBuilder::default().open(&mut storage)?;
    let rodata = open
        .maps
        .rodata_data
        .as_deref_mut()
        .ok_or("the program has no constants")?;
    // A cgroup's id is its folder's inode number.
    rodata.denied_cgroup = fs::metadata(&confined)?.ino();
    let file = fs::metadata(secret)?;
    rodata.denied_ino = file.ino();
    rodata.denied_dev = kernel_device(file.dev());
    let mut loaded = open.load()?;
    loaded.attach()?;

    checks.denied(
        "the confined cgroup is denied the file",
        &act(&confined, "open", &[secret]),
    );
    checks.denied(
        "writing is denied as well",
        &act(&confined, "write", &[secret]),
    );
    checks.allowed(
        "the confined cgroup opens another file",
        &act(&confined, "open", &[public]),
    );
    checks.allowed(
        "another cgroup opens the file",
        &act(&free, "open", &[secret]),
    );

    drop(loaded);
    checks.allowed(
        "after detaching, the confined cgroup opens it",
        &act(&confined, "open", &[secret]),
    );
    Ok(())
}

/// A device number as the kernel has it in `super_block.s_dev`, which is not how stat(2) packs it.
fn kernel_device(device: u64) -> u32 {
    (rustix::fs::major(device) << 20) | rustix::fs::minor(device)
}
