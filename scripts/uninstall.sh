#!/bin/bash
# Stops and removes what install.sh installed, with the same PREFIX and DESTDIR. Enforcement ends: what the
# daemon left pinned, whether it runs or not, is removed before the program that can remove it.
#   PURGE=1  removes the journal as well, which is the node's history, and what was set in /etc
set -euo pipefail

prefix=${PREFIX:-/usr/local}
destdir=${DESTDIR:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/scripts/install-paths.sh"

state=$destdir/var/lib/syva
settings=("$destdir/etc/default/syva-core" "$destdir/etc/systemd/system/syva-core.service.d")

# Ends enforcement. --pin-dir in a drop-in is not known here: docs/operations.md.
unload() {
	local core=$prefix/bin/syva-core set=
	if [ -n "$destdir" ]; then return; fi
	if [ -r /etc/default/syva-core ]; then
		set=$(sed -n 's/^SYVA_PIN_DIR=//p' /etc/default/syva-core | tail -n 1 | tr -d "\"'")
	fi
	set=${set:-/sys/fs/bpf/syva}
	if [ ! -e "$set" ]; then return; fi
	if [ ! -x "$core" ]; then
		echo "uninstall: programs are pinned in $set, and there is no $core to remove them: install it again first" >&2
		exit 1
	fi
	SYVA_PIN_DIR=$set "$core" --unload
}

live=
if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then live=yes; fi
if [ "$live" ] && [ -e "$units/syva-core.service" ]; then
	systemctl disable --now --quiet syva-core.service
fi
unload
rm -f "$destdir$units/syva-core.service"
if [ "$units" != /etc/systemd/system ] && [ -d "$destdir$units" ]; then
	# Made for the unit, unless something else is in them.
	rmdir --ignore-fail-on-non-empty "$destdir$units"
	if [ ! -d "$destdir$units" ]; then rmdir --ignore-fail-on-non-empty "$destdir${units%/*}"; fi
fi
for program in "${programs[@]}" "$alias_of_cli"; do rm -f "$destdir$prefix/bin/$program"; done
if [ "$live" ]; then
	systemctl daemon-reload
	systemctl reset-failed syva-core.service 2>/dev/null || true
fi
if [ "${PURGE:-}" = 1 ]; then
	rm -rf "$state" "${settings[@]}"
	echo "removed the programs, the unit, the journal and the settings"
	exit 0
fi
echo "removed the programs and the unit"
for left in "$state" "${settings[@]}"; do
	if [ -e "$left" ]; then echo "left $left (PURGE=1 removes it)"; fi
done
