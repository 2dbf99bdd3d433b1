#!/usr/bin/env bash
# server-demo's three I/O surfaces against a bare epoll loop and three tokio servers, in turns.
#
# Measured: echoes per second, latency, the server's CPU time per echo (user, system) and its memory
# per connection, by loadgen, which verifies every byte. Held still: one server thread on one CPU,
# one generator thread on another; every round runs every contender once, each in a fresh process,
# so that what the machine does meanwhile meets all of them (A B C … A B C …). Ratios are those of
# 'loadgen compare': pseudomedians over the paired rounds, with a 95% interval of signed ranks.
# Noise looks like this: other work on the machine, most of all on the two CPUs. It widens the
# intervals, and one wider than ±5% is called inconclusive: run more rounds on a quieter machine.
# CPU per echo holds even where the generator was the bottleneck; echoes per second then do not.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOF'
Usage: scripts/bench.sh [options] [-- LOADGEN OPTIONS...]
  --quick            few short rounds: ends within two minutes once built
  --only LIST        contenders, comma separated (default: all)
  --rounds N         rounds of each contender (default: 20)
  --duration D       measured time of a round (default: 3s)
  --warmup D         start of a round that is thrown away (default: 500ms)
  --connections N    connections, all active (default: 64)
  --memory A,B       connections of the two memory runs, 'none' for no such runs (default: 1000,19000)
  --server-cpu N     CPU of the server (default: the first one this process may use)
  --load-cpu N       CPU of the generator (default: the second)
  --no-build         use what is built already
  -h, --help         this text
What follows -- goes to every loadgen run, for instance -- --size 1k -P 8.
A table goes to the terminal. target/bench/ gets bench.json, all rounds of a contender as NAME.json
(as 'loadgen compare A.json B.json' takes them), and table.txt.
EOF
}

original_command="scripts/bench.sh${*:+ $*}"
quick=no only='' rounds='' duration='' warmup='' connections=64 memory='' server_cpu='' load_cpu='' build=yes
while (($# > 0)); do
	case $1 in
	--only | --rounds | --duration | --warmup | --connections | --memory | --server-cpu | --load-cpu)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		name=${1#--}
		printf -v "${name//-/_}" '%s' "$2"
		shift 2
		;;
	--quick) quick=yes && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	--) shift && break ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done
load_options=("$@")
if [[ $quick == yes ]]; then
	: "${rounds:=12}" "${duration:=700ms}" "${warmup:=200ms}" "${memory:=1000,6000}"
else
	: "${rounds:=20}" "${duration:=3s}" "${warmup:=500ms}" "${memory:=1000,19000}"
fi
if ! [[ $rounds =~ ^[1-9][0-9]*$ && $memory =~ ^(none|[0-9]+,[0-9]+)$ ]]; then
	echo "error: --rounds takes a number, --memory two numbers or 'none'" >&2 && exit 2
fi

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
select_contenders "$only"
need taskset util-linux

# pick_cpus: the first two CPUs of this process's mask, where they were not named.
pick_cpus() {
	local list part cpus=()
	list=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
	for part in ${list//,/ }; do
		mapfile -t -O "${#cpus[@]}" cpus < <(seq "${part%-*}" "${part#*-}")
	done
	: "${server_cpu:=${cpus[0]}}" "${load_cpu:=${cpus[1]:-${cpus[0]}}}"
	if [[ $server_cpu == "$load_cpu" ]]; then
		echo "warning: server and generator share CPU $server_cpu: they slow each other down" >&2
	fi
}
pick_cpus
build_contenders "$build"

out=$(target_dir)/bench
mkdir -p "$out"
for name in "${CONTENDERS[@]}"; do
	rm -f "$out/$name.json" "$out/$name.memory.json"
done

# load FILE OPTIONS...: loads the running server and appends the report to FILE.
load() {
	local file=$1
	shift
	taskset -c "$load_cpu" "$LOADGEN" "$SERVER_ADDR" --server-pid "$(server_process)" --quiet \
		--format json "$@" "${load_options[@]}" >>"$file" || {
		cat "$SCRATCH/server.err" >&2
		die "loadgen failed against ${COMMAND[*]}"
	}
}

# measure_memory NAME: two fresh servers, two numbers of connections, each served once.
measure_memory() {
	local count
	for count in ${memory/,/ }; do
		start_server "$1" "$server_cpu" taskset -c "$server_cpu"
		load "$out/$1.memory.json" -c "$count" --active 1 -n 1 --warmup 0 --timeout 30
		await_quiet
		stop_server "$1"
	done
}

begun=$SECONDS
if [[ $memory != none ]]; then
	echo "memory per connection: ${memory/,/ and } connections" >&2
	for name in "${SELECTED[@]}"; do
		measure_memory "$name"
	done
fi
# A slow machine gets fewer rounds of --quick, all of them whole, rather than more than two minutes.
slowest=0
for ((round = 1; round <= rounds; round++)); do
	round_begun=$SECONDS
	if [[ $quick == yes ]] && ((round > 2 && SECONDS - begun + slowest > 110)); then
		echo "two minutes are nearly over: $((round - 1)) rounds it is" >&2
		break
	fi
	echo "round $round of $rounds" >&2
	for name in "${SELECTED[@]}"; do
		start_server "$name" "$server_cpu" taskset -c "$server_cpu"
		load "$out/$name.json" -c "$connections" -d "$duration" --warmup "$warmup"
		stop_server "$name"
	done
	((SECONDS - round_begun <= slowest)) || slowest=$((SECONDS - round_begun))
done

selected=$(
	IFS=,
	echo "${SELECTED[*]}"
)
"$BIN/bench-report" --dir "$out" --contenders "$selected" --commit "$(commit)" \
	--command "$original_command" | tee "$out/table.txt"
echo "JSON: $out/bench.json; rounds: $out/*.json; $((SECONDS - begun)) s"
