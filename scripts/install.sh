#!/bin/bash
# Installs the programs and the systemd unit: scripts/install.sh BUILT, the folder of the built programs.
#   PREFIX=/usr/local  where to; programs go to $PREFIX/bin
#   DESTDIR=           put before every path, for packages; systemd is not told then
set -euo pipefail

built=$1
prefix=${PREFIX:-/usr/local}
destdir=${DESTDIR:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/scripts/install-paths.sh"

for program in "${programs[@]}"; do
	if [ ! -x "$built/$program" ]; then
		echo "install: there is no $built/$program: build it first, as yourself, with \`make release\`" >&2
		exit 1
	fi
done
for program in "${programs[@]}"; do
	install -D --mode 755 "$built/$program" "$destdir$prefix/bin/$program"
done
ln -sf syva-cli "$destdir$prefix/bin/$alias_of_cli"
unit=$(mktemp)
trap 'rm -f "$unit"' EXIT
sed "s|@BINDIR@|$prefix/bin|" "$here/deploy/systemd/syva-core.service" >"$unit"
install -D --mode 644 "$unit" "$destdir$units/syva-core.service"
echo "installed ${programs[*]} in $destdir$prefix/bin, syva-core.service in $destdir$units"
# Without systemd running there is nothing to tell.
if [ -z "$destdir" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	echo "start it, now and at every boot: systemctl enable --now syva-core"
fi
