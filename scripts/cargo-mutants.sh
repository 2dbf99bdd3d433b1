#!/usr/bin/env bash
# Runs the mutants of cargo-mutants in the core of both libraries, the scope of .cargo/mutants.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/cargo-mutants.sh [--file PREFIX]...   all mutants, with one build (scripts/mutant-schemata.py)
       scripts/cargo-mutants.sh --again              its survivors, with the loom models and the simulation
       scripts/cargo-mutants.sh --alone [OPTION...]  each mutant with a build of its own, many hours for all. The options
                                                     are those of cargo mutants, such as --shard 0/8 or --re NAME
The results are in target/mutants.out. mutants/SURVIVORS.md has an answer for each mutant that survives.
Needs cargo-mutants, and the Python packages tree-sitter and tree-sitter-rust for all but --alone.
EOT
}

export CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
out="${CARGO_TARGET_DIR:-$PWD/target}"
case ${1:-} in
-h | --help) usage ;;
--alone)
	shift
	# Doc tests cost a build each and show little of this scope.
	cargo mutants --workspace --output "$out" "$@" -- --lib --tests
	;;
*)
	export CARGO_TARGET_DIR="$out/mutant-schemata"
	exec "${PYTHON:-python3}" scripts/mutant-schemata.py "$out/mutants.out" "$@"
	;;
esac
