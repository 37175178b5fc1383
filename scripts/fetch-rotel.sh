#!/bin/bash
# Fetches rotel, a real OpenTelemetry collector, for the tests of the export, and prints the path of
# its program. It is kept in the cache, outside the checkout, and fetched once. Needs python3 with pip.
set -euo pipefail

version=0.0.1a15
sum=2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7
cache=${SYVA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/syva}
program=$cache/rotel/$version/rotel-agent

say() { echo "fetch-rotel: $*" >&2; }

if [ ! -x "$program" ]; then
	if [ "$(uname -m)" != x86_64 ]; then
		say "there is no build of rotel for $(uname -m) that is used here"
		exit 1
	fi
	temp=$(mktemp -d)
	trap 'rm -rf "$temp"' EXIT
	if ! python3 -m pip download --quiet --no-deps --only-binary=:all: \
		--python-version 3.11 --implementation cp --abi cp311 --platform manylinux_2_34_x86_64 \
		--dest "$temp" "rotel==$version" >"$temp/log" 2>&1; then
		tail -n 5 "$temp/log" >&2
		say "pip could not fetch rotel $version, as shown above: check that the package index can be reached"
		exit 1
	fi
	echo "$sum  $(ls "$temp"/rotel-*.whl)" | sha256sum --check --quiet >&2
	python3 -m zipfile --extract "$temp"/rotel-*.whl "$temp/wheel"
	mkdir -p "$(dirname "$program")"
	# Renamed into place, so that no half of it is ever found.
	install -m 755 "$temp/wheel/rotel/rotel-agent" "$program.$$"
	mv "$program.$$" "$program"
fi
if missing=$(ldd "$program" | grep 'not found'); then
	say "rotel does not start here, libraries are missing:$missing"
	say "on Debian 12: apt-get install libpython3.11"
	exit 1
fi
echo "$program"
