#!/usr/bin/env bash
# Checks the endpoint of `--observe` with real Prometheus: promtool checks the text of /metrics, and
# a Prometheus server scrapes it and answers a query. With --picture, writes the screen of
# `server-demo top` that the docs show instead.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/observe.sh [options]
  --picture     only write asyncfd/src/docs/top.svg, the screen of `server-demo top` under load
  --no-build    use the existing build
  -h, --help    this text
Needs prometheus and promtool (Debian: prometheus), which PROMETHEUS and PROMTOOL may name, and curl;
--picture needs none of them.
EOT
}

build=yes picture=no
while (($# > 0)); do
	case $1 in
	--picture) picture=yes && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

scratch=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	exit 1
}

run() {
	echo "+ $*" >&2
	timeout --kill-after=5 120 "$@"
}

# address LOG PATTERN: waits for the line in a server's log and prints what follows the pattern.
address() {
	local found
	for _ in {1..100}; do
		found=$(sed -n "s/.*$2//p" "$1" | head -1)
		[[ -z $found ]] || break
		sleep 0.1
	done
	[[ -n $found ]] || die "nothing like '$2' in $1"
	echo "$found"
}

promtool=${PROMTOOL:-promtool} prometheus=${PROMETHEUS:-prometheus}
[[ $picture == yes ]] || command -v "$promtool" "$prometheus" curl >/dev/null ||
	die "promtool, prometheus or curl is missing"
if [[ $build == yes ]]; then
	run cargo build --release --locked --package server-demo --package loadgen --bins
	[[ $picture == no ]] || run cargo build --release --locked --package server-demo --example screenshot
fi
bin=$(realpath "${CARGO_TARGET_DIR:-target}/${OBSERVE_PROFILE:-release}")

at=127.0.0.1:0
[[ $picture == no ]] || at=./demo.sock
(cd "$scratch" && exec timeout 120 "$bin/server-demo" work --listen 127.0.0.1:0 --shards 2 --pin none \
	--observe $at >out 2>err) &
pids+=($!)
target=$(address "$scratch/out" 'listening on ')
observe=$(address "$scratch/err" 'observe on ')
timeout 120 "$bin/loadgen" "$target" --work 50us --connections 40 --rate 4000 \
	--warmup 0s --duration 60s >"$scratch/load" 2>&1 &
pids+=($!)
sleep 2

if [[ $picture == yes ]]; then
	(cd "$scratch" && run "$bin/examples/screenshot" top.svg 24 150 4 "$bin/server-demo" top "$at")
	mv "$scratch/top.svg" asyncfd/src/docs/top.svg
	echo "wrote asyncfd/src/docs/top.svg"
	exit
fi

curl --fail --silent --max-time 10 "http://$observe/metrics" >"$scratch/metrics"
run "$promtool" check metrics <"$scratch/metrics"

cat >"$scratch/prometheus.yml" <<EOT
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: demo
    static_configs: [{ targets: ["$observe"] }]
EOT
timeout 120 "$prometheus" --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data" \
	--web.listen-address=127.0.0.1:19090 >"$scratch/prometheus.log" 2>&1 &
pids+=($!)
query() {
	curl --fail --silent --max-time 10 --get http://127.0.0.1:19090/api/v1/query \
		--data-urlencode "query=$1" || true
}
for _ in {1..60}; do
	answer=$(query 'sum(rate(reactor_events_total[5s])) > 0')
	[[ $answer != *'"value"'* ]] || break
	sleep 0.5
done
[[ $answer == *'"value"'* ]] || die "Prometheus has no events: $answer; $(tail -3 "$scratch/prometheus.log")"
echo "events per second, as Prometheus computes them: $answer"
p99=$(query 'histogram_quantile(0.99, sum by (le) (rate(reactor_wake_to_poll_seconds_bucket[5s])))')
[[ $p99 == *'"value"'* ]] || die "Prometheus has no quantile: $p99"
echo "99th percentile from wake to poll: $p99"

echo "Prometheus reads the endpoint"
