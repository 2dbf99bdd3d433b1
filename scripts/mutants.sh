#!/usr/bin/env bash
# Puts each bug of mutants/ into a copy of the sources and expects its test to fail.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/mutants.sh [NAME...]
Each mutants/NAME.patch has a line `Bug:`, which says what is wrong, and a line `Test:`, the arguments of the cargo test
that has to fail with it. A bug that survives, a patch that does not apply or does not compile ends with exit code 1. The
sources are those of HEAD. The output of each test is in target/mutants/logs.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
(($# > 0)) || mapfile -t names < <(basename -s .patch mutants/*.patch)
(($# == 0)) || names=("$@")

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/mutants"
# Seconds for the tests of one bug. The time of the build is not in it.
limit=60
# The path stays the same, since cargo builds a package again when its path changes.
copy=$CARGO_TARGET_DIR/copy
rm -rf "$copy"
mkdir -p "$copy" "$CARGO_TARGET_DIR/logs"
commit=$(git rev-parse --short HEAD)
git archive "$commit" | tar -x -C "$copy"
# The files are as old as the commit, which may be older than the last build.
find "$copy" -name '*.rs' -exec touch {} +

# field NAME FIELD: a line of the head of a patch.
field() {
	sed -n "s/^$2: //p" "mutants/$1.patch"
}

# order NAME...: the names. Bugs in one package and in one test follow each other, so that less is
# built again.
order() {
	local name
	for name in "$@"; do
		printf '%s\t%s\t%s\n' "$(sed -n 's|^+++ b/\([^/]*\).*|\1|p' "mutants/$name.patch" | head -n 1)" "$(field "$name" Test)" "$name"
	done | sort | cut -f 3
}

# run_test LOG WORD...: runs a test in the copy, and prints how it ended.
run_test() {
	local log=$1
	shift
	cd "$copy" || exit
	exec </dev/null
	if ! cargo test --quiet --no-run "$@" &>"$log"; then
		echo 'DOES NOT COMPILE'
	elif cargo test --quiet --config "target.'cfg(all())'.runner = ['timeout', '-k', '5', '$limit']" "$@" &>"$log"; then
		echo SURVIVED
	elif grep -qE 'exit status: (124|137)' "$log"; then
		echo 'killed, no end'
	else
		echo killed
	fi
}

mapfile -t names < <(order "${names[@]}")
killed=0 endless=0
for name in "${names[@]}"; do
	patch=$PWD/mutants/$name.patch
	read -r -a test <<<"$(field "$name" Test)"
	if ! patch -s -p1 --dry-run -d "$copy" <"$patch" >/dev/null; then
		result='DOES NOT APPLY'
	else
		patch -s -p1 -d "$copy" <"$patch"
		result=$(run_test "$CARGO_TARGET_DIR/logs/$name" "${test[@]}")
		patch -s -p1 --reverse -d "$copy" <"$patch"
	fi
	case $result in
	killed) killed=$((killed + 1)) ;;
	'killed, no end') killed=$((killed + 1)) endless=$((endless + 1)) ;;
	esac
	printf '%-16s %-28s %s\n' "$result" "$name" "$(field "$name" Bug)"
done
echo "$commit: $killed of ${#names[@]} bugs killed, $endless of them by a test that did not end in $limit seconds"
((killed == ${#names[@]}))
