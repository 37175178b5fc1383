//! A container whose root file system is a whole Debian, in which packages are installed, by podman with its
//! own cgroups.

use std::fs;
use std::path::Path;

use super::{shell, undisturbed};
use crate::daemon::Setup;
use crate::guest::{Checks, Failure};

/// A package with all that makes dpkg work: files, a configuration file, scripts.
const PACKAGE: &str = "
mkdir -p /opt/package/{DEBIAN,usr/local/bin,etc}
cd /opt/package
printf 'Package: tool\\nVersion: 1\\nArchitecture: all\\nMaintainer: nobody <root@localhost>\\nDescription: tool\\n' >DEBIAN/control
echo /etc/tool.conf >DEBIAN/conffiles
printf '#!/bin/sh\\nset -e\\nid tool >/dev/null 2>&1 || useradd --system tool\\nldconfig\\nchown tool /etc/tool.conf\\n' >DEBIAN/postinst
printf '#!/bin/sh\\necho works\\n' >usr/local/bin/tool
echo setting >etc/tool.conf
chmod 755 DEBIAN/postinst; chmod 4755 usr/local/bin/tool
mkdir -p /opt/repository
dpkg-deb --build --root-owner-group . /opt/repository/tool.deb >/dev/null
cd /opt/repository
{
    dpkg-deb --field tool.deb
    echo Filename: ./tool.deb
    echo Size: $(stat --format %s tool.deb)
    echo SHA256: $(sha256sum tool.deb | cut --delimiter ' ' --fields 1)
} >Packages
";

/// The host makes the overlay and the container, as runtimes do, and then attaches it.
pub fn run(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    shell(PACKAGE)?;
    shell(
        "mkdir -p /opt/root/{upper,work,merged}
         mount -t overlay overlay -o lowerdir=/,upperdir=/opt/root/upper,workdir=/opt/root/work /opt/root/merged
         cp --recursive /opt/repository /opt/root/merged/repository
         rm -f /opt/root/merged/etc/apt/sources.list.d/*
         echo 'deb [trusted=yes] file:/repository ./' >/opt/root/merged/etc/apt/sources.list",
    )?;
    shell(
        "podman run --detach --name packages --network none --rootfs /opt/root/merged sleep infinity >/dev/null",
    )?;
    let pid = shell("podman inspect --format '{{.State.Pid}}' packages")?;
    let path = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = path.trim().trim_start_matches("0::/");
    // crun puts the processes into a cgroup of their own, below the container's.
    let path = path.trim_end_matches("/container");
    let cgroup = Path::new("/sys/fs/cgroup").join(path);
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(cgroup)?).to_string();
    core.done(&["zones", "register", "packages"])?;
    core.done(&[
        "containers",
        "attach",
        "packages",
        "packages",
        "--cgroup-id",
        &id,
    ])?;
    let inside = |script: &str| shell(&format!("podman exec packages bash -euc '{script}'"));
    undisturbed(
        checks,
        core,
        "a package is installed in a container",
        || inside("dpkg --install /repository/tool.deb; tool | grep --quiet works").map(drop),
    )?;
    undisturbed(checks, core, "it is removed again", || {
        inside("dpkg --purge tool; test ! -e /etc/tool.conf").map(drop)
    })?;
    undisturbed(
        checks,
        core,
        "and by apt from a repository, with its sandbox",
        || {
            inside("apt-get --quiet update; apt-get --quiet --yes install tool; tool | grep --quiet works")
            .map(drop)
        },
    )?;
    undisturbed(checks, core, "a shell in it has a terminal", || {
        let inside =
            "tty; echo one >$(tty); echo two >/dev/tty; sh -c \"exec 3<>$(tty); echo three >&3\"";
        let asked = format!("podman exec --tty packages sh -euc '{inside}'");
        let command = asked.replace('\'', "'\\''");
        let said = shell(&format!(
            "script --quiet --return --command '{command}' /dev/null </dev/null"
        ))?;
        let missing = ["/dev/pts/", "one", "two", "three"]
            .into_iter()
            .find(|word| !said.contains(word));
        missing.map_or(Ok(()), |word| Err(format!("no {word} in {said:?}").into()))
    })?;
    undisturbed(checks, core, "the container stops", || {
        shell("podman rm --force --time 5 packages").map(drop)
    })
}
