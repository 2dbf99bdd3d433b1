#!/usr/bin/env bash
# Builds the libraries and their tests with the oldest compiler that they declare.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/msrv.sh [CARGO OPTIONS...]
The compiler is the `rust-version` of Cargo.toml. It comes from Debian's packages rustc-web and libstd-rust-web,
which are unpacked into the target folder and not installed. Needs apt-get, dpkg and the package libllvm19.
Without options, `cargo test --no-run` builds both libraries with their tests and all features.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
(($# > 0)) || set -- test --quiet --no-run --tests -p shard-reactor -p shard-asyncfd --features shard-asyncfd/full

version=$(sed -n '/^\[workspace\.package\]/,/^\[/s/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml)
target=$(realpath -m "${CARGO_TARGET_DIR:-target}/msrv")
toolchain=$target/rust-$version

if [[ ! -x $toolchain/usr/bin/rustc ]]; then
	packages=()
	for package in rustc-web "libstd-rust-web-$version" libstd-rust-web-dev; do
		debian=$(apt-cache madison "$package" | awk -v version="$version." 'index($3, version) == 1 { print $3; exit }')
		[[ -n $debian ]] || { echo "error: apt-get has no $package of version $version: try 'apt-get update'" >&2 && exit 1; }
		packages+=("$package=$debian")
	done
	mkdir -p "$target/packages"
	(cd "$target/packages" && apt-get download "${packages[@]}" >&2)
	mkdir -p "$toolchain.new"
	for package in "$target"/packages/*.deb; do
		dpkg -x "$package" "$toolchain.new"
	done
	mv -T "$toolchain.new" "$toolchain"
	rm -r "$target/packages"
fi

export RUSTC=$toolchain/usr/bin/rustc
LD_LIBRARY_PATH=$(dirname "$(find "$toolchain" -name 'librustc_driver-*.so' -print -quit)")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
"$RUSTC" --version
[[ $("$RUSTC" --version) == "rustc $version."* ]]
set -x
cargo "$@"
