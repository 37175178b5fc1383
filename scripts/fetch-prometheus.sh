#!/bin/bash
# Fetches Prometheus and promtool from Debian's package (19 MB, nothing is installed) for the tests,
# and prints the folder they are in. It is kept in the cache, outside the checkout, and fetched once.
set -euo pipefail

cache=${SYVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/syva}
folder=$cache/prometheus

say() { echo "fetch-prometheus: $*" >&2; }

if [ ! -x "$folder/usr/bin/promtool" ]; then
	temp=$(mktemp -d)
	trap 'rm -rf "$temp"' EXIT
	cd "$temp"
	fetch="apt-get download prometheus"
	if ! $fetch >log 2>&1 && ! { apt-get update --quiet && $fetch; } >log 2>&1; then
		tail -n 5 log >&2
		say "\`$fetch\` failed as shown above: check that apt's mirror can be reached"
		exit 1
	fi
	dpkg --extract prometheus_*.deb unpacked
	rm -rf "$folder"
	mkdir -p "$cache"
	mv unpacked "$folder"
fi
echo "$folder/usr/bin"
