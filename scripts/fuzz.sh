#!/usr/bin/env bash
# Fuzzes the targets of fuzz/ with libFuzzer and AddressSanitizer, for a bounded time.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/fuzz.sh [TARGET...] [--seconds N]
Builds the targets (fuzz/fuzz_targets/*.rs, all unless some are named) and runs each for N seconds (20), two at a time.
Each starts from fuzz/seeds/TARGET, if it exists, and from the inputs that earlier runs found, which are kept in the build folder.
Prints the executions of each target. Exit code 1: a target failed; the input that did it and how to repeat it are printed.
Needs a nightly toolchain and a C++ compiler. cargo-fuzz is not needed: the flags are given here.
EOT
}

targets=() seconds=20
while (($# > 0)); do
	case $1 in
	-h | --help) usage && exit 0 ;;
	--seconds)
		seconds=${2:-}
		[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "error: --seconds takes a whole number" >&2 && exit 2; }
		shift
		;;
	-*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	*)
		[[ -e fuzz/fuzz_targets/$1.rs ]] || { echo "error: unknown target '$1'; fuzz/fuzz_targets has all targets" >&2 && exit 2; }
		targets+=("$1")
		;;
	esac
	shift
done
if ((${#targets[@]} == 0)); then
	for file in fuzz/fuzz_targets/*.rs; do
		targets+=("$(basename "$file" .rs)")
	done
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
	echo "error: a nightly toolchain is needed: 'rustup toolchain install nightly' installs one" >&2
	exit 1
fi

readonly TRIPLE=x86_64-unknown-linux-gnu
# A separate target folder, since the flags apply to every crate.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz"
# AddressSanitizer, and the coverage that guides libFuzzer: counters of edges taken. Tracing the
# operands of comparisons took up to 70% of the time, and the bytes of these targets are programs,
# so it helps little.
flags=(--cfg fuzzing -Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer -Cpasses=sancov-module
	-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
	-Cllvm-args=-sanitizer-coverage-pc-table)
export RUSTFLAGS="${flags[*]} ${RUSTFLAGS:-}"
echo "+ RUSTFLAGS='$RUSTFLAGS' cargo +nightly build --manifest-path fuzz/Cargo.toml --release --target $TRIPLE" >&2
cargo +nightly build --quiet --locked --manifest-path fuzz/Cargo.toml --release --target "$TRIPLE" "${targets[@]/#/--bin=}"

# fuzz TARGET: runs one target; its output goes to a file, and a failure shows the end of the file.
fuzz() {
	local target=$1 program=$CARGO_TARGET_DIR/$TRIPLE/release/$1
	local found=$CARGO_TARGET_DIR/corpus/$target crashes=$CARGO_TARGET_DIR/artifacts/$target log=$CARGO_TARGET_DIR/$target.log
	local corpora=("$found")
	mkdir -p "$found" "$crashes"
	[[ ! -d fuzz/seeds/$target ]] || corpora+=("fuzz/seeds/$target")
	# A run of 10 s counts as a hang. The outer time limit is for a target that hangs where
	# libFuzzer cannot detect it.
	if timeout --kill-after=5 $((seconds + 60)) "$program" -max_total_time="$seconds" -timeout=10 -max_len=256 -len_control=0 \
		-print_final_stats=1 -artifact_prefix="$crashes/" "${corpora[@]}" >"$log" 2>&1; then
		printf '%-12s %10d executions in %d s, %d inputs kept\n' "$target" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds" "$(find "$found" -type f | wc -l)"
	else
		local input
		input=$(sed -n 's/^.*Test unit written to //p' "$log" | tail -n 1)
		printf '%-12s FAILED; all that it said: %s\n' "$target" "$log"
		grep -m 1 -A 3 -E 'panicked at|^SUMMARY|ERROR: ' "$log" || tail -n 20 "$log"
		[[ -z $input ]] || printf 'again: FUZZ_STEPS=1 %s %s\n' "$program" "$input"
		return 1
	fi
}

status=0 running=()
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
finish_oldest() {
	wait "${running[0]}" || status=1
	running=("${running[@]:1}")
}
for target in "${targets[@]}"; do
	((${#running[@]} < 2)) || finish_oldest
	fuzz "$target" &
	running+=($!)
done
while ((${#running[@]} > 0)); do
	finish_oldest
done
exit "$status"
