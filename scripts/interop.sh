#!/usr/bin/env bash
# Tests the traits of other libraries on this project's streams, and independent stacks on the
# reactor: hyper, axum, rustls, async-tungstenite, quinn and the Redis client, with curl, h2load and
# redis-server. Then it runs the example under loadgen.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/interop.sh [-h|--help] [CARGO OPTIONS...]
Tests asyncfd's features, then the package interop/, which has a lock file of its own. Options are passed on to cargo, for
instance --offline or --jobs 2. Needs curl, h2load (of nghttp2-client) and redis-server.
Exit codes: 0 success, 1 or cargo's own: failure.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac

for needed in curl:curl h2load:nghttp2-client redis-server:redis-server; do
	command -v "${needed%:*}" >/dev/null || {
		echo "error: ${needed%:*} is needed: install the package '${needed#*:}'" >&2
		exit 1
	}
done

scratch=$(mktemp -d)
server=

# The server that this script starts does not outlive it, however the script ends.
finish() {
	[[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	cat "$scratch"/* >&2 2>/dev/null || true
	exit 1
}

run() {
	echo "+ $*" >&2
	"$@"
}

run cargo test --package shard-asyncfd --features full --test compat --locked "$@"
run cargo test --package shard-asyncfd --features full --doc --locked "$@" -- compat

target=${CARGO_TARGET_DIR:-target}
# Separate from the workspace's target folder, since no dependency is shared.
package=(--manifest-path interop/Cargo.toml --target-dir "$target/interop" --locked)
run cargo clippy "${package[@]}" --all-targets "$@" -- -D warnings
run cargo test "${package[@]}" "$@"

# The example serves HTTP/1 to loadgen, HTTP/2 to h2load, and exits cleanly at SIGTERM.
run cargo build --package loadgen --locked "$@"
"$target/interop/debug/examples/hyper" 127.0.0.1:0 >"$scratch/server.out" 2>"$scratch/server.err" &
server=$!
for ((tries = 0; tries < 400; tries++)); do
	grep -q '^listening on ' "$scratch/server.out" && break
	sleep 0.05
done
address=$(sed -n 's/^listening on //p' "$scratch/server.out")
[[ -n $address ]] || die "the example does not listen"
echo "+ loadgen and h2load against interop/examples/hyper.rs" >&2
timeout --kill-after=5 60 "$target/debug/loadgen" "http://$address/" -c 50 -n 5000 --quiet --format json \
	>"$scratch/loadgen" 2>&1 || die "loadgen failed"
grep -q '"answered":5000,' "$scratch/loadgen" || die "loadgen did not get 5000 answers"
timeout --kill-after=5 60 h2load --requests=5000 --clients=8 --max-concurrent-streams=20 "http://$address/" \
	>"$scratch/h2load" 2>&1 || die "h2load failed"
grep -q 'status codes: 5000 2xx' "$scratch/h2load" || die "h2load did not get 5000 answers"
kill -TERM "$server"
status=0
for ((tries = 0; tries < 100; tries++)); do
	kill -0 "$server" 2>/dev/null || break
	sleep 0.05
done
((tries < 100)) || die "the example goes on after SIGTERM"
wait "$server" || status=$?
server=
((status == 0)) || die "the example ended with $status after SIGTERM"
echo "the features' tests passed, and every stack served its clients" >&2
