#!/usr/bin/env bash
# Compares an axum server on shards with the same server on tokio: requests per CPU second of the
# server, over HTTP/1, HTTP/2 and TLS. The load comes from h2load.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ ${1:-} == --no-build ]]; then
	shift
else
	cargo build --release --package benches --features web --bin web-bench --bin web-hello --locked
fi
command -v h2load >/dev/null || {
	echo "error: h2load is needed: install the package 'nghttp2-client'" >&2
	exit 1
}
exec "${CARGO_TARGET_DIR:-target}/release/web-bench" "$@"
