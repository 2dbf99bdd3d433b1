#!/usr/bin/env bash
# Explores the crate's lock-free protocols with loom, on the code that ships.
#
# usage: scripts/loom.sh [MODEL]     run the models (those whose path contains MODEL)
#        scripts/loom.sh --mutants [NAME]
#                                    build each bug listed in scripts/loom-mutants.txt (or NAME alone) and expect the
#                                    model beside it to fail
#
# LOOM_MAX_PREEMPTIONS bounds the search where it is set; by default it is complete. Exit code 1: a model failed, or a
# seeded bug was not found.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
	exit 0
	;;
esac

# A target folder of its own: the cfg reaches every crate, and would rebuild the ordinary one each time.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export RUSTFLAGS="--cfg reactor_loom ${RUSTFLAGS:-}"
# `cargo rustc` gives the mutant's cfg to this one crate, so the dependencies are built once. It builds tests in the test
# profile only, hence the optimisation is asked for here.
export CARGO_PROFILE_TEST_OPT_LEVEL=3 CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_PROFILE_DEV_DEBUG=0

# Builds the tests, with the seeded bug $1 if one is given, and prints the program's path.
build() {
	local cfg=()
	[[ -n "${1:-}" ]] && cfg=(--cfg "reactor_mutant=\"$1\"")
	cargo rustc --quiet -p shard-reactor --lib --profile test --message-format=json -- \
		--cap-lints allow ${cfg[@]+"${cfg[@]}"} |
		sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

if [[ "${1:-}" != --mutants ]]; then
	program=$(build)
	"$program" "loom::${1:-}"
	exit
fi

missed=0
built=
while read -r mutant model; do
	[[ -z "$mutant" || "$mutant" == \#* ]] && continue
	[[ -n "${2:-}" && "$mutant" != "$2" ]] && continue
	if [[ "$mutant" != "$built" ]]; then
		program=$(build "$mutant")
		built=$mutant
	fi
	if [[ "$("$program" --list "loom::$model" --exact)" != *": test"* ]]; then
		echo "no such model: $model"
		missed=1
	elif timeout 300 "$program" "loom::$model" --exact >/dev/null 2>&1; then
		echo "MISSED  $mutant by $model"
		missed=1
	else
		echo "found   $mutant by $model"
	fi
done <scripts/loom-mutants.txt
exit "$missed"
