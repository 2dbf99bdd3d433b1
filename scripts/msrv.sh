#!/usr/bin/env bash
# Packages the libraries, unpacks the packages, and builds them and their tests with the oldest
# compiler that they declare.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.bash
. scripts/packages.bash

usage() {
	cat <<'EOT'
Usage: scripts/msrv.sh [--run | CARGO OPTIONS...]
The compiler is the `rust-version` of Cargo.toml. It comes from Debian's packages rustc-web and libstd-rust-web,
which are unpacked into the target folder and not installed. Needs apt-get, dpkg and the package libllvm19.
The packages are those that `cargo package` makes, in a workspace without the rest of the repository. Without options,
the libraries, their tests and their examples are built with all features. With --run, the tests also run.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac
readonly BUILD=(test --quiet --workspace --all-features --lib --tests --examples)
case ${1:-} in
"") set -- "${BUILD[@]}" --no-run ;;
--run) set -- "${BUILD[@]}" ;;
esac

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
	mkdir -p "$target/debian"
	(cd "$target/debian" && apt-get download "${packages[@]}" >&2)
	mkdir -p "$toolchain.new"
	for package in "$target"/debian/*.deb; do
		dpkg -x "$package" "$toolchain.new"
	done
	mv -T "$toolchain.new" "$toolchain"
	rm -r "$target/debian"
fi

unpack_packages "$target/packages"
export RUSTC=$toolchain/usr/bin/rustc
LD_LIBRARY_PATH=$(dirname "$(find "$toolchain" -name 'librustc_driver-*.so' -print -quit)")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH CARGO_TARGET_DIR=$target CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
"$RUSTC" --version
[[ $("$RUSTC" --version) == "rustc $version."* ]]
cd "$target/packages"
set -x
cargo "$@"
