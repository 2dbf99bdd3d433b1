#!/usr/bin/env bash
# Puts each bug of mutants/ into a copy of the sources and expects its test to fail.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/mutants.sh [NAME...]
Each mutants/NAME.patch has a line `Bug:`, which says what is wrong, and a line `Test:`, the arguments of the cargo test
that has to fail with it. A bug that survives, a patch that does not apply or does not compile ends with exit code 1.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
(($# > 0)) || mapfile -t names < <(basename -s .patch mutants/*.patch)
(($# == 0)) || names=("$@")

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/mutants"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git archive HEAD | tar -x -C "$copy"
# The files are as old as the commit, which may be older than the last build.
find "$copy" -name '*.rs' -exec touch {} +
failed=0
for name in "${names[@]}"; do
	patch=$PWD/mutants/$name.patch
	read -r -a test <<<"$(sed -n 's/^Test: //p' "$patch")"
	if ! patch -s -p1 --dry-run -d "$copy" <"$patch" >/dev/null; then
		result='DOES NOT APPLY'
	else
		patch -s -p1 -d "$copy" <"$patch"
		if ! (cd "$copy" && cargo test --quiet --no-run "${test[@]}") &>"$copy/log"; then
			result='DOES NOT COMPILE'
		elif (cd "$copy" && timeout 120 cargo test --quiet "${test[@]}") &>"$copy/log"; then
			result=SURVIVED
		else
			result=killed
		fi
		patch -s -p1 --reverse -d "$copy" <"$patch"
	fi
	[[ $result == killed ]] || failed=1
	printf '%-16s %-24s %s\n' "$result" "$name" "$(sed -n 's/^Bug: //p' "$patch")"
done
exit "$failed"
