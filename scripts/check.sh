#!/usr/bin/env bash
# Checks the sources without running the product: format, lints, documentation, the labels of memory
# orderings, the scripts, and the dependencies' licences and advisories. Warnings are errors only
# here, so that a new compiler never breaks a user's build.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/check.sh [-h|--help] [CARGO OPTIONS...]
Checks format, lints, docs, ordering labels, comments, shell scripts and dependencies; ends at the
first fault.
Options are passed on to cargo's clippy, doc and test, for instance --offline or --jobs 2.
shellcheck, shfmt and cargo-deny are used where they are installed. With CI=true, shellcheck must be.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac

run() {
	echo "+ $*" >&2
	"$@"
}

run cargo fmt --all --check
run cargo fmt --manifest-path fuzz/Cargo.toml --check
run cargo fmt --manifest-path interop/Cargo.toml --check
# Separate packages have their own lock files, which must follow the dependencies of the libraries.
for package in fuzz interop; do
	run cargo metadata --manifest-path "$package/Cargo.toml" --locked --format-version 1 >/dev/null
done
run cargo clippy --workspace --all-targets --locked "$@" -- -D warnings
# Each feature alone, and all together.
for feature in bytes futures-io tokio-io hyper; do
	run cargo clippy --package shard-asyncfd --features "$feature" --locked "$@" -- -D warnings
done
run cargo clippy --package shard-reactor --features macros --all-targets --locked "$@" -- -D warnings
run cargo clippy --package shard-asyncfd --features full --all-targets --locked "$@" -- -D warnings
export RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -D warnings"
run cargo doc --workspace --no-deps --locked "$@"
# The protocol pages are documentation of private modules.
run cargo doc --package shard-reactor --package shard-asyncfd --no-deps --document-private-items --locked "$@"
run cargo doc --package shard-asyncfd --features full --no-deps --locked "$@"
run cargo test --package shard-reactor --test ordering_labels --locked "$@"
run cargo test --package benches --test comments --locked "$@"
run scripts/reliability.sh --check

scripts=(.ci/run scripts/*.sh scripts/*.bash)
if command -v shellcheck >/dev/null; then
	run shellcheck --external-sources "${scripts[@]}"
elif [[ ${CI:-} == true ]]; then
	echo "error: shellcheck is needed: install the package 'shellcheck'" >&2
	exit 1
else
	echo "shellcheck is not installed: the scripts were not checked" >&2
fi
if command -v shfmt >/dev/null; then
	run shfmt --diff "${scripts[@]}"
fi
if command -v cargo-deny >/dev/null; then
	run cargo deny check licenses bans sources
	for package in fuzz interop; do
		(cd "$package" && run cargo deny --config ../deny.toml check licenses sources)
	done
fi
