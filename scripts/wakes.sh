#!/usr/bin/env bash
# Measures the cost of waking a task from another thread, compared with tokio: time, and system
# calls.
#
# Measured: nanoseconds per wake, by the `wakes` program, which describes its scenarios, with every
# side in every round. Then calls of write(2) per wake, by strace, as the difference between two
# runs with different numbers of wakes. Waking a sleeping thread has to write to its eventfd; waking
# a running one does not.
#
# Noise: a thread that is woken from sleep waits for the kernel, the hypervisor and other work on
# its CPU, so times differ by half from one minute to the next. The counts of calls are stable.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/wakes.sh [options]
  --rounds N     rounds of each side and scenario (default: 20)
  --wakes N      wakes of a round (default: 10000)
  --no-build     use the existing build
  -h, --help     this text
EOT
}

rounds=20 wakes=10000 build=yes
while (($# > 0)); do
	case $1 in
	--rounds | --wakes)
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
need strace strace
if [[ $build == yes ]]; then
	(set -x && cargo build --release -p benches --bins) >&2
fi
program=$(target_dir)/release/wakes

echo "time a wake, $rounds rounds of $wakes wakes, commit $(commit)"
"$program" --rounds "$rounds" --wakes "$wakes"

# writes SIDE SCENARIO WAKES: prints the number of calls of write(2).
writes() {
	strace --quiet=all -f -c -e trace=write -o "$SCRATCH/strace" \
		"$program" --side "$1" --scenario "$2" --wakes "$3" --rounds 1 >/dev/null
	awk '$NF == "write" { print $4 }' "$SCRATCH/strace"
}

few=1000 many=6000
echo "calls of write(2) a wake"
for scenario in ping-pong foreign busy; do
	for side in here tokio-ct tokio-mt; do
		awk -v a="$(writes "$side" "$scenario" $few)" -v b="$(writes "$side" "$scenario" $many)" \
			-v n=$((many - few)) -v side="$side" -v scenario="$scenario" \
			'BEGIN { printf "%-10s %-9s %8.3f\n", scenario, side, (b - a) / n }'
	done
done
