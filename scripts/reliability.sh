#!/usr/bin/env bash
# Prints the figures of RELIABILITY.md that the sources determine.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/reliability.sh [--check]
Counts models, seeded bugs, known bugs and fault cases in the sources, and prints a line for each.
--check fails if RELIABILITY.md does not have each of these figures, in these words.
EOT
}

# entries FILE: the number of lines that are neither empty nor comments.
entries() {
	grep -c '^[^#[:space:]]' "$1"
}

figures() {
	local models bugs cases
	models=$(cat reactor/src/loom/*.rs | grep -c "^#\[test\]")
	bugs=$(grep '^[^#[:space:]]' scripts/loom-mutants.txt | awk '{print $1}' | sort -u | wc -l)
	cases=$(cargo xtask faults --list | wc -l)
	echo "$models models"
	echo "$(entries scripts/loom-mutants.txt) pairs of bug and model, $bugs bugs"
	echo "$(entries scripts/sim-mutants.txt) bugs seeded for the simulation"
	echo "$(entries scripts/tsan-seeds.txt) seeded races"
	echo "$(find mutants -name '*.patch' | wc -l) known bugs"
	# Their names are in parentheses.
	echo "$(grep -lE '^Bug: .*\(.+\)$' mutants/*.patch | wc -l) bugs of other projects"
	echo "$cases fault cases"
}

case ${1:-} in
-h | --help) usage ;;
'') figures ;;
--check)
	missing=0
	while read -r figure; do
		if ! grep -qE "(^|[^0-9])$figure([^a-z]|$)" RELIABILITY.md; then
			echo "error: RELIABILITY.md does not say '$figure'" >&2
			missing=1
		fi
	done < <(figures)
	exit "$missing"
	;;
*) usage >&2 && exit 2 ;;
esac
