#!/usr/bin/env bash
# Tests a whole reactor on the simulated driver (reactor/src/driver_sim.rs), which makes no system
# call and has a clock of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
-h | --help)
	cat <<'EOT'
Usage: scripts/sim.sh [TEST OPTIONS...]
Builds shard-reactor with --cfg reactor_sim and runs the tests of reactor/src/sim/. Options go to cargo test.
EOT
	exit 0
	;;
esac

# A separate target folder: the cfg applies to every crate.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sim"
export RUSTFLAGS="--cfg reactor_sim ${RUSTFLAGS:-}"
echo "+ RUSTFLAGS='$RUSTFLAGS' cargo test -p shard-reactor --lib sim:: $*" >&2
cargo test --quiet -p shard-reactor --lib sim:: "$@"
