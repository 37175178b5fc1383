#!/bin/bash
# Installs what building and testing Syvä needs on Debian 12 or later; idempotent, and quick when
# nothing is missing. A Rust toolchain is not installed, only asked for.
set -euo pipefail

packages=(
	# The BPF programs and libbpf, which libbpf-sys builds from source.
	clang llvm libelf-dev zlib1g-dev make gcc pkgconf
	# The virtual machines: the emulator, the guest's userland, the kernel's modules.
	qemu-system-x86 busybox-static kmod xz-utils binutils
	# The Debian that some guests run: built without privileges to mount, or as another user than root.
	mmdebstrap e2fsprogs fakeroot uidmap
	# File systems that guests find on their disks.
	btrfs-progs xfsprogs
	# The C style.
	clang-format
	# What takes the telemetry in the tests: pip fetches rotel, curl asks beside Prometheus.
	python3 python3-pip curl
)
# rotel is linked to the Python of Debian 12; other releases do not have it.
if [ "$(. /etc/os-release && echo "${ID:-}${VERSION_ID:-}")" = debian12 ]; then
	packages+=(libpython3.11)
fi

say() { echo "install-deps: $*" >&2; }

missing=()
for package in "${packages[@]}"; do
	# dpkg -s also succeeds for packages that were removed but left their configuration.
	case "$(dpkg -s "$package" 2>/dev/null)" in
	*'Status: install ok installed'*) ;;
	*) missing+=("$package") ;;
	esac
done

if [ ${#missing[@]} -gt 0 ]; then
	install="apt-get install --yes --quiet --no-install-recommends ${missing[*]}"
	if [ "$(id -u)" -ne 0 ]; then
		say "missing packages; install them with"
		say "  sudo $install"
		exit 1
	fi
	say "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	# The lists may be absent or too old; only then are they fetched.
	if ! $install >"$log" 2>&1; then
		if ! { apt-get update --quiet && $install; } >"$log" 2>&1; then
			tail -n 20 "$log" >&2
			say "\`$install\` failed as shown above: check that apt's mirror can be reached, then run it again"
			exit 1
		fi
	fi
fi

if ! command -v cargo >/dev/null; then
	say "no cargo on PATH; install a Rust toolchain with"
	say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
	exit 1
fi
# Through rustup, cargo is there although the toolchain that rust-toolchain.toml pins is not.
if ! said=$(cargo --version 2>&1); then
	channel=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
	say "cargo does not start: $said"
	say "install the pinned toolchain with"
	say "  rustup toolchain install $channel"
	exit 1
fi
