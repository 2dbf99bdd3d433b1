#!/usr/bin/env bash
# Measures how evenly each accept policy of server-demo spreads connections over shards, under an
# even load and under two uneven ones. It prints the table of ARCHITECTURE.md.
# server-demo/examples/imbalance.rs describes the loads.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/imbalance.sh [--shards N] [--connections N]
  --shards N       shards of the server (default: 4)
  --connections N  connections to hold (default: 1000)
  -h, --help       this text
Ends with an error after three minutes.
EOT
}

shards=4 connections=1000
while (($# > 0)); do
	case $1 in
	--shards | --connections)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		printf -v "${1#--}" '%s' "$2"
		shift 2
		;;
	-h | --help) usage && exit 0 ;;
	*) echo "error: unknown option '$1'; try --help" >&2 && exit 2 ;;
	esac
done

echo "+ cargo build --locked --package server-demo --bin server-demo --example imbalance" >&2
cargo build --locked --package server-demo --bin server-demo --example imbalance
built=${CARGO_TARGET_DIR:-target}/debug
timeout --kill-after=5 180 "$built/examples/imbalance" "$built/server-demo" "$shards" "$connections"
