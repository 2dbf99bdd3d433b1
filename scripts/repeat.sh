#!/usr/bin/env bash
# Runs every test program of a package many times in a row, to find tests that fail rarely.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/repeat.sh [ROUNDS] [PACKAGE]
  ROUNDS   how many times each test program runs (default: 200)
  PACKAGE  whose tests (default: shard-asyncfd)
Ends at the first failure, with its output and exit code 1. A program that takes more than a minute has failed.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
rounds=${1:-200} package=${2:-shard-asyncfd}
if ! [[ $rounds =~ ^[1-9][0-9]*$ ]]; then
	echo "error: ROUNDS is a number, not '$rounds'" >&2
	exit 2
fi

mapfile -t programs < <(cargo test --quiet --package "$package" --tests --no-run --message-format=json |
	sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | sort -u)
((${#programs[@]} > 0)) || { echo "error: $package has no test programs" >&2 && exit 1; }
# As with cargo test, tests find their files from the package's own folder.
cd "$(cargo pkgid --package "$package" | sed 's|.*file://\([^#]*\)#.*|\1|')"
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for ((round = 1; round <= rounds; round++)); do
	for program in "${programs[@]}"; do
		if ! timeout 60 "$program" --quiet >"$output" 2>&1; then
			cat "$output" >&2
			echo "error: round $round: $(basename "$program") failed" >&2
			exit 1
		fi
	done
done
echo "$rounds rounds of ${#programs[@]} test programs passed"
