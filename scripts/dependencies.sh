#!/usr/bin/env bash
# Checks what the libraries ask of other packages, and of the combinations of their features.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.bash
. scripts/packages.bash

usage() {
	cat <<'EOT'
Usage: scripts/dependencies.sh [users|oldest|features]...
  users     what a user's lock file contains: a bounded number of packages, and none that only tests need
  oldest    each library compiles with the lowest version of every dependency that its Cargo.toml allows
            (cargo -Z direct-minimal-versions), `tokio-io` with tokio 1.0.1, and `tokio-rt` with tokio 1.47.0
  features  each library compiles with every feature alone and with every pair of features (cargo-hack, which is
            built into the target folder)
All of them, unless some are named.
EOT
}

# The packages in a user's lock file, besides the user's own. Before a change that adds one, its
# use has to be worth it.
readonly REACTOR_MAX=29 ASYNCFD_MAX=32

checks=()
for argument in "$@"; do
	case $argument in
	-h | --help) usage && exit 0 ;;
	users | oldest | features) checks+=("$argument") ;;
	*) echo "error: unknown check '$argument'; try --help" >&2 && exit 2 ;;
	esac
done
((${#checks[@]} > 0)) || checks=(users oldest features)

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/dependencies")
unpack_packages "$target/packages"
export CARGO_TARGET_DIR=$target RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=0

# user DEPENDENCY FEATURES: makes a package that depends on one library, and nothing else.
user() {
	mkdir -p "$target/user/src"
	echo 'fn main() {}' >"$target/user/src/main.rs"
	rm -f "$target/user/Cargo.lock"
	cat >"$target/user/Cargo.toml" <<EOT
[package]
name = "user"
version = "0.1.0"
edition = "2024"
rust-version = "1.85"
[workspace]
[dependencies]
$1 = { version = "0.1", features = [$2] }
${3:-}
[patch.crates-io]
shard-reactor-macros = { path = "../packages/shard-reactor-macros" }
shard-reactor = { path = "../packages/shard-reactor" }
shard-asyncfd = { path = "../packages/shard-asyncfd" }
EOT
}

users() {
	local library max count
	while read -r library max; do
		user "$library" ""
		(cd "$target/user" && cargo generate-lockfile --quiet)
		count=$(grep -c '^\[\[package\]\]' "$target/user/Cargo.lock")
		count=$((count - 1))
		echo "$library: $count packages in a user's lock file, at most $max"
		if ((count > max)) || grep -E '^name = "(loom|proptest|criterion|generator|tokio)"' "$target/user/Cargo.lock"; then
			echo "error: a package was added to users' lock files" >&2
			exit 1
		fi
	done <<-EOT
		shard-reactor $REACTOR_MAX
		shard-asyncfd $ASYNCFD_MAX
	EOT
}

# Removes what only the tests of a package need.
without_tests() {
	awk '/^\[/ { skip = /^\[\[(test|bench|example)\]\]|dev-dependencies/ } !skip' "$1" >"$1.new"
	mv "$1.new" "$1"
}

oldest() {
	local library
	with_tokio 1.0.1 '"tokio-io"'
	with_tokio 1.47.0 '"full"'
	for library in "${LIBRARIES[@]}"; do
		without_tests "$target/packages/$library/Cargo.toml"
	done
	# A feature cannot raise a lower bound. `tokio-io` takes any tokio 1; `http` and `tokio-rt`
	# need a newer one.
	sed -i '/^\[dependencies.tokio\]/,/^$/s/^version = "1"/version = "1.47"/' "$target/packages/shard-asyncfd/Cargo.toml"
	rm -f "$target/packages/Cargo.lock"
	(
		cd "$target/packages"
		cargo generate-lockfile --quiet -Z direct-minimal-versions
		for library in "${LIBRARIES[@]}"; do
			echo "+ the lowest versions: $library" >&2
			cargo check --quiet --locked --package "$library" --lib
			cargo check --quiet --locked --package "$library" --lib --all-features
		done
	)
}

# with_tokio VERSION FEATURES: compiles asyncfd with one release of tokio.
with_tokio() {
	echo "+ tokio $1: $2" >&2
	user shard-asyncfd "$2" "tokio = { version = \"=$1\", default-features = false }"
	(cd "$target/user" && cargo check --quiet)
}

features() {
	local tools=$target/tools
	[[ -x $tools/bin/cargo-hack ]] || cargo install --quiet --locked --root "$tools" cargo-hack
	PATH=$tools/bin:$PATH RUSTFLAGS="${RUSTFLAGS:-} -D warnings" cargo hack check --quiet --locked \
		--package shard-reactor --package shard-asyncfd --lib --feature-powerset --depth 2 --exclude-features full
}

for check in "${checks[@]}"; do
	"$check"
done
