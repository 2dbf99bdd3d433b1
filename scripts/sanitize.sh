#!/usr/bin/env bash
# The libraries' tests under a sanitizer of a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/sanitize.sh [address|leak] [CARGO TEST OPTIONS...]
  address  AddressSanitizer, which looks for leaks as well (the default)
  leak     LeakSanitizer alone, which is quicker
Needs a nightly toolchain. Options are passed on, for instance -p shard-asyncfd --test parity; without any, all tests of the
two libraries run, but for their doc tests.
EOT
}

sanitizer=address
case ${1:-} in
-h | --help) usage && exit 0 ;;
address | leak) sanitizer=$1 && shift ;;
esac
(($# > 0)) || set -- -p shard-reactor -p shard-asyncfd --tests --features shard-asyncfd/full

if ! cargo +nightly --version >/dev/null 2>&1; then
	echo "error: a nightly toolchain is needed: 'rustup toolchain install nightly' installs one" >&2
	exit 1
fi

# A target folder of its own, as the flags reach every crate.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitize"
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg reactor_sanitize ${RUSTFLAGS:-}"
echo "+ RUSTFLAGS='$RUSTFLAGS' cargo +nightly test --target x86_64-unknown-linux-gnu --no-fail-fast $*" >&2
cargo +nightly test --quiet --target x86_64-unknown-linux-gnu --no-fail-fast "$@"
