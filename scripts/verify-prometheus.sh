#!/bin/bash
# Holds what the daemon tells against a real Prometheus: scripts/verify-prometheus.sh SYVA_CORE.
# The alerts pass their tests, promtool finds nothing to say of the metrics, and Prometheus scrapes
# them from a running daemon (over the memory backend: it enforces nothing, and tells so).
set -euo pipefail

core=$1
tools=$(scripts/fetch-prometheus.sh)
temp=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$temp"
}
trap finish EXIT

fail() {
	echo "verify-prometheus: $*" >&2
	tail -n 20 "$temp"/*.log >&2 || true
	exit 1
}

"$tools/promtool" check rules deploy/prometheus/syva.rules.yml
"$tools/promtool" test rules deploy/prometheus/syva.test.yml

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
syva=127.0.0.1:$(port)
prometheus=127.0.0.1:$(port)

"$core" --backend memory --socket-path "$temp/core.sock" --state-dir "$temp/state" \
	--http-addr "$syva" 2>"$temp/core.log" &
pids+=($!)
for _ in $(seq 100); do
	curl --silent --fail "http://$syva/metrics" >"$temp/metrics" && break
	sleep 0.1
done
[ -s "$temp/metrics" ] || fail "the daemon does not serve /metrics"

# The one complaint: a name that other people's dashboards rest on.
known="syva_bpf_counter_read_errors_total metric name should not include type 'counter'"
said=$("$tools/promtool" check metrics <"$temp/metrics" 2>&1 || true)
[ "$(grep -vxF "$known" <<<"$said" || true)" = "" ] || fail "promtool check metrics: $said"

cat >"$temp/prometheus.yml" <<YML
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [$PWD/deploy/prometheus/syva.rules.yml]
scrape_configs:
  - { job_name: syva, static_configs: [{ targets: ["$syva"] }] }
YML
"$tools/prometheus" --config.file="$temp/prometheus.yml" --storage.tsdb.path="$temp/tsdb" \
	--web.listen-address="$prometheus" 2>"$temp/prometheus.log" &
pids+=($!)

query() { "$tools/promtool" query instant "http://$prometheus" "$1" 2>/dev/null || true; }
for _ in $(seq 150); do
	[ -n "$(query 'syva_core_up == 1')" ] && break
	sleep 0.2
done
[ -n "$(query 'syva_core_up == 1')" ] || fail "Prometheus did not scrape the daemon"
[ -n "$(query 'syva_health_state{state="unsafe"} == 1')" ] || fail "the state is not there"
[ -n "$(query 'syva_membership_updates_total{result="applied"} == 0')" ] || fail "no counters"
names=$(query 'count({__name__=~"syva_.+"}) by (__name__)' | wc -l)
echo "verify-prometheus: Prometheus scraped $names metrics of the daemon; the alerts' tests pass"
