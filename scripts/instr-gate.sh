#!/usr/bin/env bash
# Fails if a hot path costs more instructions than scripts/instr-baselines.txt says, and names the
# functions that grew.
#
# Each path runs twice under callgrind, for two numbers of rounds; the difference is the cost of the
# additional rounds. The echoes are server-demo's on each I/O surface, driven as by instr.sh. The
# other paths are those of benches/src/bin/hot-paths.rs. instr-gate.rs compares the instructions of
# the program's own code.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/instr-gate.sh [--update] [--no-build] [-h|--help]
  --update    write the counts to scripts/instr-baselines.txt instead of comparing: commit it with the
              change that is worth them
  --no-build  use the existing build
Exit code 1: a path costs over 2% more than its baseline (10% where another compiler made the baselines).
The profiles stay in target/instr-gate/, for callgrind_annotate.
EOT
}

build=yes flags=()
while (($# > 0)); do
	case $1 in
	--update) flags+=(--update) && shift ;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

# shellcheck source=scripts/contenders.bash
source scripts/contenders.bash
need valgrind valgrind
need taskset util-linux
need chrt util-linux
if [[ $build == yes ]]; then
	(
		set -x
		cargo build --release -p benches -p server-demo --bin server-demo --bin lockstep --bin hot-paths --bin instr-gate
	) >&2
fi
BIN=$(target_dir)/release
out=$(target_dir)/instr-gate
mkdir -p "$out"

readonly ECHOES=(6400 19200) ROUNDS=(2000 8000) SERVER_CPU=0
readonly CALLGRIND=(valgrind --quiet --tool=callgrind)
paths=()

# gate NAME ROUNDS_1 ROUNDS_2: adds the two profiles of a path to the comparison.
gate() {
	paths+=("$1:$out/$1.$2:$out/$1.$3:$(($3 - $2))")
}

# As in instr.sh, server and client share a CPU, and the server runs only when the client has
# nothing to do. With one connection an echo is a whole turn of the shard, and its wait.
for path in demo-helpers demo-poll demo-guards turn; do
	name=$path connections=64
	[[ $path != turn ]] || name=demo-helpers connections=1
	echo "counting $path" >&2
	for echoes in "${ECHOES[@]}"; do
		start_server "$name" "$SERVER_CPU" chrt --idle 0 taskset -c "$SERVER_CPU" \
			"${CALLGRIND[@]}" --callgrind-out-file="$out/$path.$echoes"
		taskset -c "$SERVER_CPU" "$BIN/lockstep" "$SERVER_ADDR" --connections "$connections" --requests "$echoes"
		await_quiet
		stop_server "$name"
	done
	gate "$path" "${ECHOES[@]}"
done
for name in register spawn wake timer; do
	echo "counting $name" >&2
	for rounds in "${ROUNDS[@]}"; do
		"${CALLGRIND[@]}" --callgrind-out-file="$out/$name.$rounds" "$BIN/hot-paths" "$name" "$rounds"
	done
	gate "$name" "${ROUNDS[@]}"
done

"$BIN/instr-gate" scripts/instr-baselines.txt --compiler "$(rustc --version)" "${flags[@]}" "${paths[@]}"
