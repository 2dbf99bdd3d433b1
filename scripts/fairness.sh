#!/usr/bin/env bash
# Measures the effect of one connection that never stops on 9,000 quiet ones: the latencies of the
# quiet connections beside a pipelined flood, on server-demo and on two tokio servers, in turns.
#
# Held constant: one server thread on one CPU, both generators on another, where the quiet one has
# priority. Latency counts from the actual send, since a generator's wait for its CPU says nothing
# about a server. 'alone' is the same without the flood. 'turns' is the most turns of its loop that
# a ready connection waited on server-demo. With all 9,001 ready at once it can be 148 (61 are
# polled in a turn, and two tasks serve no connection); more ends the script with an error.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/fairness.sh [options]
  --only LIST      contenders, comma separated (default: demo-helpers,tokio-ct,tokio-mt)
  --rounds N       rounds of each (default: 2)
  --connections N  quiet connections (default: 9000)
  --rate N         their requests per second in total, open loop (default: 3000)
  --duration D     measured time of a run (default: 4s)
  --server-cpu N   CPU of the server (default: 0)
  --load-cpu N     CPU of the generators (default: 1)
  --no-build       use the existing build
  -h, --help       this text
EOT
}

only=demo-helpers,tokio-ct,tokio-mt rounds=2 connections=9000 rate=3000 duration=4s server_cpu=0 load_cpu=1 build=yes
while (($# > 0)); do
	case $1 in
	--only | --rounds | --connections | --rate | --duration | --server-cpu | --load-cpu)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
select_contenders "$only"
need taskset util-linux
build_contenders "$build"

# percentile NAME FILE: prints a percentile of the latencies from the send, in microseconds.
percentile() {
	local ns
	ns=$(sed -n "s/.*\"latency\":{\"raw\":{[^}]*\"$1_ns\":\([0-9]*\).*/\1/p" "$2")
	awk -v ns="${ns:-nan}" 'BEGIN { printf "%.0f", ns / 1000 }'
}

# measure NAME flood|alone: one run, one line of the table.
measure() {
	local flood='' flood_rate=- turns=- most status=0
	start_server "$1" "$server_cpu"
	if [[ $2 == flood ]]; then
		# It runs until it is stopped, which is always after the quiet connections end.
		taskset -c "$load_cpu" nice -n 10 "$LOADGEN" "$SERVER_ADDR" -c 1 -P 64 --size 16k -d 120s --warmup 100ms \
			--format json >"$SCRATCH/flood.json" 2>"$SCRATCH/flood.err" &
		flood=$!
	fi
	taskset -c "$load_cpu" timeout --kill-after=5 100 "$LOADGEN" "$SERVER_ADDR" -c "$connections" -R "$rate" \
		-d "$duration" --arrivals poisson --format json >"$SCRATCH/quiet.json" 2>"$SCRATCH/quiet.err" || status=$?
	if [[ -n $flood ]]; then
		kill -TERM "$flood" 2>/dev/null || die "the flood ended by itself: $(cat "$SCRATCH/flood.err")"
		wait "$flood" || true
		flood_rate=$(sed -n 's/.*"bytes_read_per_s":\([0-9]*\).*/\1/p' "$SCRATCH/flood.json")
		flood_rate=$((flood_rate / 1000000))
	fi
	((status == 0)) || die "loadgen ended with $status: $(cat "$SCRATCH/quiet.err")"
	stop_server "$1"
	if [[ $1 == demo-* ]]; then
		# The column is right-aligned with its heading.
		turns=$(awk '/turns waited/ { end = index($0, "turns waited") + 11 }
			/^ +all / { n = split(substr($0, 1, end), fields, " "); print fields[n] }' "$SCRATCH/server.log")
		most=$(((connections + 3 + 60) / 61))
		((turns <= most)) || die "a ready connection waited $turns turns, and not $most at most"
	fi
	printf '%-14s %-6s %10s %10s %10s %12s %8s\n' "$1" "$2" "$(percentile p50 "$SCRATCH/quiet.json")" \
		"$(percentile p99 "$SCRATCH/quiet.json")" "$(percentile p99_9 "$SCRATCH/quiet.json")" "$flood_rate" "$turns"
}

echo "$connections quiet connections, $rate requests/s; microseconds from the send on"
printf '%-14s %-6s %10s %10s %10s %12s %8s\n' contender beside p50 p99 p99.9 'flood MB/s' turns
for ((round = 1; round <= rounds; round++)); do
	for name in "${SELECTED[@]}"; do
		measure "$name" alone
		measure "$name" flood
	done
done
