#!/usr/bin/env bash
# Explores the crate's lock-free protocols with loom, on the code that ships.
#
# usage: scripts/loom.sh [MODEL]     run the models (those whose path contains MODEL)
#        scripts/loom.sh --mutants [NAME]
#                                    turn on each bug of scripts/loom-mutants.txt (or only
#                                    NAME) and expect the model beside it to fail
#
# LOOM_MAX_PREEMPTIONS bounds the search; without it the search is complete. Exit code 1: a
# model failed, or a seeded bug was not found.
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
-h | --help)
	sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
	exit 0
	;;
esac

# A separate target folder: the cfg applies to every crate, and would rebuild the usual one each
# time.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export RUSTFLAGS="--cfg reactor_loom ${RUSTFLAGS:-}"
export CARGO_PROFILE_TEST_OPT_LEVEL=3 CARGO_PROFILE_TEST_DEBUG=0

program=$(cargo test --quiet -p shard-reactor --lib --no-run --message-format=json |
	sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')

if [[ "${1:-}" != --mutants ]]; then
	"$program" "loom::${1:-}"
	exit
fi

models=$("$program" --list)
missed=0
while read -r mutant model; do
	[[ -z "$mutant" || "$mutant" == \#* ]] && continue
	[[ -n "${2:-}" && "$mutant" != "$2" ]] && continue
	# shellcheck disable=SC2016 # $0 and $@ are the inner shell's
	if [[ "$models" != *"loom::$model: test"* ]]; then
		echo "no such model: $model"
		missed=1
	elif REACTOR_MUTANT=$mutant timeout 300 bash -c '"$0" "$@" &>/dev/null || exit 1' "$program" "loom::$model" --exact 2>/dev/null; then
		echo "MISSED  $mutant by $model"
		missed=1
	else
		echo "found   $mutant by $model"
	fi
done <scripts/loom-mutants.txt
exit "$missed"
