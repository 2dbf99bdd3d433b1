#!/usr/bin/env bash
# Measures every budget of the design on this machine, and prints one table: met or missed.
#
# Each figure comes from the script for it (instr.sh, bench.sh, tests that count allocations),
# together with the figures of the bare loop and of tokio. The ratios need a quiet machine; the
# counts do not.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/budgets.sh [--rounds N | --bench FILE] [--no-build] [-h|--help]
  --rounds N    rounds of bench.sh (default: 20, which take about fifteen minutes)
  --bench FILE  take ratios and memory from the bench.json of an earlier run of bench.sh
  --no-build    use the existing build
Exit code 3: a budget is missed.
EOT
}

rounds=20 bench='' build=yes
while (($# > 0)); do
	case $1 in
	--rounds | --bench)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		printf -v "${1#--}" '%s' "$2"
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
need valgrind valgrind
need strace strace
need taskset util-linux
build_contenders "$build"
out=$(target_dir)/budgets
mkdir -p "$out"

scripts/instr.sh --no-build >&2
cp "$(target_dir)/instr/instr.json" "$out/instr.json"
scripts/instr.sh --no-build --only demo-helpers --count instructions --idle 18936 >&2
cp "$(target_dir)/instr/instr.json" "$out/instr-idle.json"

# hot_path NAME: prints the instructions of one round of a path of hot-paths.
hot_path() {
	local rounds
	for rounds in 2000 8000; do
		valgrind --quiet --tool=callgrind --callgrind-out-file="$SCRATCH/$rounds" "$BIN/hot-paths" "$1" "$rounds"
	done
	awk '/^(summary|totals):/ { count[FILENAME] = $2 } END { printf "%.1f\n", (count[ARGV[2]] - count[ARGV[1]]) / 6000 }' \
		"$SCRATCH/2000" "$SCRATCH/8000"
}
register=$(hot_path register),$(hot_path register-tokio),$(hot_path register-bare)

# Two cycles of connections that open, are served once, and close.
start_server demo-helpers 0
churn=()
for cycle in first second; do
	echo "churn, $cycle cycle" >&2
	"$LOADGEN" "$SERVER_ADDR" -c 200 --requests-per-conn 1 -n 20000 --warmup 0 --quiet >&2
	await_quiet
	churn+=("$(sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$(server_process)/status")")
done
stop_server demo-helpers

no_allocations=true
(
	set -x
	cargo test --quiet -p shard-reactor -p server-demo --test allocations
) >&2 || no_allocations=false

if [[ -z $bench ]]; then
	scripts/bench.sh --no-build --scenarios base,rate-80 --rounds "$rounds" >&2
	bench=$(target_dir)/bench/bench.json
fi

"$BIN/budgets" --instr "$out/instr.json" --instr-idle "$out/instr-idle.json" --bench "$bench" \
	--register "$register" --churn-kib "${churn[0]},${churn[1]}" --no-allocations "$no_allocations"
