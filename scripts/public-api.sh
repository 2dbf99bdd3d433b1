#!/usr/bin/env bash
# Compares the public names of the libraries with the lists in scripts/public-api/.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/public-api.sh [--write]
Fails with a diff if a public name was added, changed or removed. With --write, it writes the lists; commit them with the
change. All features are on. rustdoc's JSON comes from Debian's compiler: install rustc-web and cargo-web.
EOT
}

write=no
case ${1:-} in
-h | --help) usage && exit 0 ;;
--write) write=yes ;;
"") ;;
*) usage >&2 && exit 2 ;;
esac

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/public-api")
export CARGO_TARGET_DIR=$target
cargo build --quiet --locked --manifest-path scripts/public-api/Cargo.toml
changed=()
for library in reactor asyncfd; do
	RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$target/json /usr/bin/cargo \
		rustdoc --quiet --locked --package "shard-$library" --lib --all-features -- -Z unstable-options --output-format json
	"$target/debug/public-api-list" "$target/json/doc/$library.json" >"$target/$library.txt"
	if [[ $write == yes ]]; then
		cp "$target/$library.txt" "scripts/public-api/$library.txt"
	elif ! diff --unified=0 "scripts/public-api/$library.txt" "$target/$library.txt"; then
		changed+=("$library")
	fi
done
if ((${#changed[@]} > 0)); then
	echo "error: public names have changed: ${changed[*]}. If that is intended, run scripts/public-api.sh --write" >&2
	exit 1
fi
