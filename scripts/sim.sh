#!/usr/bin/env bash
# Tests whole reactors on the simulated driver (reactor/src/driver_sim.rs), which makes no system
# call, has a clock of its own, and lets a seed choose the schedule of all threads.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/sim.sh                       all tests of reactor/src/sim/, 20,000 seeds, and all seeded bugs
       scripts/sim.sh --seeds N [FIRST]     N seeds of the plays with work stealing, from FIRST on (0)
       scripts/sim.sh --seed N              one seed, to replay a failure
       scripts/sim.sh --mutants [NAME]      turns on each bug of scripts/sim-mutants.txt (or only NAME), which
                                            a seed has to find
Builds shard-reactor with --cfg reactor_sim. A failure names its seed.
EOT
}

# A separate target folder: the cfg applies to every crate.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sim"
export RUSTFLAGS="--cfg reactor_sim ${RUSTFLAGS:-}"
export CARGO_PROFILE_TEST_OPT_LEVEL=3 CARGO_PROFILE_TEST_DEBUG=0
readonly PLAYS=sim::stealing::tasks_end_once_and_nothing_is_lost_under_any_schedule

build() {
	echo "+ RUSTFLAGS='$RUSTFLAGS' cargo test -p shard-reactor --lib sim::" >&2
	program=$(cargo test --quiet -p shard-reactor --lib --no-run --message-format=json |
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
}

mutants() {
	local missed=0 name seeds
	while read -r name seeds; do
		[[ -n $name && $name != \#* ]] || continue
		[[ -z ${1:-} || $name == "$1" ]] || continue
		# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
		if REACTOR_MUTANT=$name SIM_SEEDS=$seeds timeout 300 bash -c '"$0" "$@" &>/dev/null || exit 1' "$program" "$PLAYS" --exact 2>/dev/null; then
			echo "MISSED  $name in $seeds seeds"
			missed=1
		else
			echo "found   $name"
		fi
	done <scripts/sim-mutants.txt
	return "$missed"
}

case ${1:-} in
-h | --help) usage ;;
--seeds)
	build
	SIM_SEEDS=${2:?the number of seeds} SIM_FIRST_SEED=${3:-0} "$program" "$PLAYS" --exact --nocapture
	;;
--seed)
	build
	SIM_SEED=${2:?the seed} "$program" "$PLAYS" --exact --nocapture
	;;
--mutants)
	build
	mutants "${2:-}"
	;;
'')
	build
	SIM_SEEDS=${SIM_SEEDS:-20000} "$program" sim:: --nocapture
	mutants
	;;
*) usage >&2 && exit 2 ;;
esac
