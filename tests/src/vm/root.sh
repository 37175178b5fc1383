#!/bin/bash
# Builds the root of guests that run systemd: root.sh RELEASE SOURCES IMAGE. vmtest runs it; this text
# is the cache's key, so that any change of it, the list of packages too, builds another image.
# Needs neither mount(2) nor mknod(2), so that a container may run it.
set -euo pipefail

release=$1 sources=$2 image=$3

packages=(
	# What a container host has.
	systemd systemd-sysv udev dbus podman crun
	# What suites use: users, mounts, processes, file systems, a program for container images.
	mount iproute2 procps kmod e2fsprogs busybox-static curl
	# What suites run as ordinary programs: servers, a compiler, a package manager.
	postgresql nginx-light gcc libc6-dev make apt passwd
	# The libraries that syva-core is linked to.
	libelf1 zlib1g libgcc-s1
)

temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

# Without the right to mount, mmdebstrap goes on without; as another user it needs user namespaces.
mode=root as_root=()
if [ "$(id -u)" -ne 0 ]; then mode=unshare as_root=(fakeroot); fi
list=$(IFS=,; echo "${packages[*]}")
mmdebstrap --mode="$mode" --variant=essential --include="$list" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
	--aptopt='Acquire::Retries "1"' --aptopt='Acquire::http::Timeout "20"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	"$release" "$temp/root.tar" "$sources"

# Nothing that has no use in a guest that lives for a minute, and nothing that waits for a terminal.
cat >"$temp/adapt" <<'ADAPT'
set -eu
root=$1
tar --extract --file "$2" --directory "$root" --exclude './dev/*'
units=$root/etc/systemd/system
for unit in systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	proc-sys-fs-binfmt_misc.automount systemd-binfmt.service e2scrub_reap.service e2scrub_all.timer \
	fstrim.timer systemd-tmpfiles-clean.timer dpkg-db-backup.timer podman-auto-update.timer \
	podman-auto-update.service podman-restart.service podman.service podman.socket getty@.service \
	serial-getty@.service systemd-pcrphase.service systemd-pcrphase-sysinit.service \
	systemd-timesyncd.service systemd-networkd.service systemd-resolved.service; do
	ln -sf /dev/null "$units/$unit"
done
# Servers start when a suite starts them.
rm -f "$units/multi-user.target.wants/nginx.service" "$units/multi-user.target.wants/postgresql.service"
mkdir -p "$units/../system-generators"
ln -sf /dev/null "$units/../system-generators/systemd-getty-generator"
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
# An empty file would make every boot a first one, which presets every unit.
echo 5f1a0000000040008000000000000001 >"$root/etc/machine-id"
echo syva-guest >"$root/etc/hostname"
echo '127.0.0.1 localhost syva-guest' >"$root/etc/hosts"
mkdir -p "$root/opt/syva-test"
truncate --size 4G "$3"
/sbin/mke2fs -q -t ext4 -F -L syva-root -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$3"
ADAPT
mkdir "$temp/root"
"${as_root[@]}" sh "$temp/adapt" "$temp/root" "$temp/root.tar" "$image"
