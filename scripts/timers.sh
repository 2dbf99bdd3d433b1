#!/usr/bin/env bash
# Measures the cost of a million armed timers: bytes per timer, and instructions per busy turn
# compared with none.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/timers.sh [TIMERS]
Runs reactor/benches/armed_timers.rs under callgrind with no timer, with one, and with TIMERS (default: 1000000), each with
two numbers of rounds; the difference is what the rounds took. Prints the bytes of a timer and the instructions of a turn, as
'NAME VALUE' lines. Fails where a timer takes more than 100 bytes, or the timers add more than 2% to a turn.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
timers=${1:-1000000}
readonly BYTES_MAX=100 PERCENT_MAX=2 FEW=50 MANY=350

command -v valgrind >/dev/null || { echo "error: valgrind is needed: install it with 'apt-get install valgrind'" >&2 && exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

echo "+ cargo bench --no-run -p shard-reactor --bench armed_timers" >&2
cargo bench --no-run --quiet -p shard-reactor --bench armed_timers --message-format=json >"$scratch/build"
program=$(sed -n 's/.*"name":"armed_timers".*"executable":"\([^"]*\)".*/\1/p' "$scratch/build")
[[ -x $program ]] || { echo "error: cargo did not say where armed_timers is" >&2 && exit 1; }

# counted TIMERS ROUNDS: prints the instructions and the turns of one run; the program's output
# stays in $scratch/printed.
counted() {
	valgrind --quiet --tool=callgrind --callgrind-out-file="$scratch/profile" \
		"$program" --timers "$1" --rounds "$2" >"$scratch/printed"
	awk '/^(summary|totals):/ { print $2; exit }' "$scratch/profile"
	awk '$1 == "turns" { print $2 }' "$scratch/printed"
}

# per_turn TIMERS: sets PER_TURN.
per_turn() {
	counted "$1" "$FEW" >"$scratch/few"
	counted "$1" "$MANY" >"$scratch/many"
	PER_TURN=$(paste -s "$scratch/few" "$scratch/many" | tr '\n' '\t' |
		awk '{ printf "%.1f", ($3 - $1) / ($4 - $2) }')
}

per_turn 0
none=$PER_TURN
echo "instructions_per_turn_no_timer $none"
per_turn 1
echo "instructions_per_turn_one_timer $PER_TURN"
per_turn "$timers"
echo "instructions_per_turn_all_timers $PER_TURN"
bytes=$(awk '$1 == "bytes_per_timer" { print $2 }' "$scratch/printed")
percent=$(awk -v a="$none" -v b="$PER_TURN" 'BEGIN { printf "%.2f", (b - a) * 100 / a }')
echo "percent_more_per_turn $percent"
echo "bytes_per_timer $bytes"
awk -v bytes="$bytes" -v percent="$percent" -v bytes_max="$BYTES_MAX" -v percent_max="$PERCENT_MAX" \
	'BEGIN { exit !(bytes > 0 && bytes <= bytes_max && percent <= percent_max) }' ||
	{ echo "error: at most $BYTES_MAX bytes and $PERCENT_MAX% were allowed" >&2 && exit 1; }
