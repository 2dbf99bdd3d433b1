#!/usr/bin/env bash
# Prints the figures of RELIABILITY.md, and checks those that the sources determine.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/reliability.sh [--check]
Prints each promise of RELIABILITY.md with its last figures and their commit. Then counts models, seeded bugs, known bugs
and fault cases in the sources, and prints a line for each.
--check fails if RELIABILITY.md does not have each of these counts, in these words, or if a row names no commit.
EOT
}

# entries FILE: the number of lines that are neither empty nor comments.
entries() {
	grep -c '^[^#[:space:]]' "$1"
}

# table: the promise, the figures and the commit of each row, between tabs.
table() {
	sed -nE '/^\| promise /,/^$/s/^\| ([^|]*) \|.*\| ([^|]*) \| ([^|]*) \|$/\1\t\2\t\3/p' RELIABILITY.md | tail -n +2
}

counts() {
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
'')
	table | while IFS=$'\t' read -r promise figures commit; do
		printf '%s\n    %s (%s)\n' "$promise" "$figures" "$commit"
	done
	echo
	counts
	;;
--check)
	missing=0
	while read -r count; do
		if ! grep -qE "(^|[^0-9])$count([^a-z]|$)" RELIABILITY.md; then
			echo "error: RELIABILITY.md does not say '$count'" >&2
			missing=1
		fi
	done < <(counts)
	while IFS=$'\t' read -r promise _ commit; do
		if [[ ! $commit =~ ^[0-9a-f]{7,}$ ]]; then
			echo "error: RELIABILITY.md names no commit for '$promise'" >&2
			missing=1
		fi
	done < <(table)
	exit "$missing"
	;;
*) usage >&2 && exit 2 ;;
esac
