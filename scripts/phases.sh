#!/bin/bash
# Runs make targets one after another, goes on after a failure, and ends with what each took, what
# failed and how many checks passed. `make test` and `make test-long` call it: scripts/phases.sh LOG_DIR TARGET...
set -euo pipefail

logs=$1
shift
results=$logs/results.tsv # a line for every suite run; vmtest writes it
mkdir -p "$logs"
rm -f "$results"
failed=()
report=()

for phase in "$@"; do
	echo "== $phase"
	start=$SECONDS
	if ${MAKE:-make} --no-print-directory "$phase" 2>&1 | tee "$logs/phase-$phase.log"; then
		verdict=passed
	else
		verdict=FAILED
		failed+=("$phase")
	fi
	report+=("$(printf '%-17s %s in %d s' "$phase" "$verdict" $((SECONDS - start)))")
done

for phase in "${failed[@]}"; do
	echo
	echo "== the end of $phase, which failed"
	tail -n 40 "$logs/phase-$phase.log"
done

echo
echo "== phases, $SECONDS s in all"
printf '%s\n' "${report[@]}"
if [ -s "$results" ]; then
	echo "== virtual machines"
	awk -F'\t' '{ printf "%-10s %-12s %s; %d passed, %d failed, %s s\n", $1, $2, $3, $4, $5, $6 }' "$results"
fi
# Unit tests as nextest or cargo test counts them.
sed -n 's/^ *Summary \[[^]]*\] */unit: /p; s/^test result: /unit: /p' "$logs/phase-unit.log" 2>/dev/null |
	grep -v ': ok\. 0 passed; 0 failed; 0 ignored' || true
# Tests that count something say so in a line of this kind.
sed -n 's/^ *\(crash cycles: .*\)/\1/p' "$logs/phase-unit.log" 2>/dev/null || true
# A suite that did not pass counts as one failure even if no check of its own failed.
{ cat "$results" 2>/dev/null || true; } | awk -F'\t' '
	{ kind = $2 == "demo" ? "demo" : "vm"; passed[kind] += $4; failed[kind] += $5 }
	$3 != "passed" && $5 == 0 { failed[kind]++ }
	END {
		for (i = split("vm demo", kinds, " "); i >= 1; i--)
			if (!(kinds[i] in passed)) missing[kinds[i]] = " (nothing ran)"
		printf "vm checks: %d passed, %d failed%s\n", passed["vm"], failed["vm"], missing["vm"]
		printf "demo: %d passed, %d failed%s\n", passed["demo"], failed["demo"], missing["demo"]
	}'
if [ ${#failed[@]} -gt 0 ]; then
	echo "FAILED: ${failed[*]}"
	exit 1
fi
echo "all phases passed"
