#!/usr/bin/env bash
# Type-checks the libraries, the programs and their tests for platforms other than this one.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/platforms.sh [TARGET...]
Without TARGET it checks x86_64-unknown-freebsd, aarch64-apple-darwin and aarch64-unknown-linux-gnu. Nothing
is linked or run, so no other toolchain is needed: the standard library is compiled from its sources.
Needs Debian's packages rustc-web, cargo-web and rust-web-src in a version from 1.88 on.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
(($# > 0)) || set -- x86_64-unknown-freebsd aarch64-apple-darwin aarch64-unknown-linux-gnu

export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/platforms"
for tool in "$RUSTC" /usr/bin/cargo "$("$RUSTC" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock"; do
	[[ -e $tool ]] || { echo "error: $tool is missing: install rustc-web, cargo-web and rust-web-src" >&2 && exit 1; }
done

# Dependencies of the tests have parts in C, which no compiler here could build for another
# platform. Nothing is linked, so an empty object does.
mkdir -p "$CARGO_TARGET_DIR"
no_cc=$(realpath "$CARGO_TARGET_DIR")/no-cc
cat >"$no_cc" <<'EOT'
#!/bin/sh
# Fails for a flag of another family of compilers.
[ "$1" != '-?' ] || exit 1
while [ $# -gt 0 ]; do
	[ "$1" != -o ] || : >"$2"
	shift
done
EOT
chmod +x "$no_cc"

# One call for all platforms compiles the macros and build scripts once.
targets=()
for target in "$@"; do
	export "CC_${target//-/_}=$no_cc"
	targets+=(--target "$target")
done
# The package `benches` compares with servers on bare epoll, so it is for Linux only.
set -x
/usr/bin/cargo check --quiet --locked --keep-going -Zbuild-std=std,panic_abort "${targets[@]}" \
	-p shard-reactor -p shard-asyncfd -p server-demo -p loadgen --all-targets --features shard-asyncfd/full
