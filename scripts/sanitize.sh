#!/usr/bin/env bash
# Runs the libraries' tests under a sanitizer of a nightly toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/sanitize.sh [address|leak|thread] [CARGO TEST OPTIONS...]
  address  AddressSanitizer, which also finds leaks (the default)
  leak     LeakSanitizer alone, which is quicker
  thread   ThreadSanitizer, on a standard library built for it, which needs the toolchain's component rust-src
Needs a nightly toolchain. Options are passed on, for instance -p shard-asyncfd --test parity; without any, all tests of the
two libraries run, but for their doc tests; with 'thread' it is reactor/tests/races.rs: libtest's threads would be reported.
EOT
}

sanitizer=address
case ${1:-} in
-h | --help) usage && exit 0 ;;
address | leak | thread) sanitizer=$1 && shift ;;
esac
if (($# == 0)); then
	if [[ $sanitizer == thread ]]; then
		set -- -p shard-reactor --test races
	else
		set -- -p shard-reactor -p shard-asyncfd --tests --features shard-asyncfd/full
	fi
fi

if ! cargo +nightly --version >/dev/null 2>&1; then
	echo "error: a nightly toolchain is needed: 'rustup toolchain install nightly' installs one" >&2
	exit 1
fi

if [[ $sanitizer == thread ]]; then
	sources=$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library
	if [[ ! -d $sources ]]; then
		echo "error: the sources of the standard library are needed: 'rustup component add rust-src --toolchain nightly'" >&2
		exit 1
	fi
	# The prebuilt standard library has fences in its reference counts, which ThreadSanitizer does not
	# understand.
	set -- -Zbuild-std "$@"
	export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
fi

# A separate target folder, since the flags apply to every crate, and another if they also apply to
# the standard library.
folder=sanitize
[[ $sanitizer != thread ]] || folder=sanitize-thread
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/$folder"
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer --cfg reactor_sanitize ${RUSTFLAGS:-}"
echo "+ RUSTFLAGS='$RUSTFLAGS' cargo +nightly test --target x86_64-unknown-linux-gnu --no-fail-fast $*" >&2
cargo +nightly test --quiet --target x86_64-unknown-linux-gnu --no-fail-fast "$@"
