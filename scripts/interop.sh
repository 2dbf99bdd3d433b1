#!/usr/bin/env bash
# Tests the traits of other libraries on this project's streams, and independent stacks on the
# reactor: hyper, axum, rustls, async-tungstenite, quinn and the Redis client, with curl, h2load and
# redis-server; and libraries that need tokio's runtime, with PostgreSQL. Then it runs the examples
# under loadgen, curl, h2load and the Python package websockets.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/interop.sh [-h|--help] [CARGO OPTIONS...]
Tests asyncfd's features, then the package interop/, which has a lock file of its own. Options are passed on to cargo, for
instance --offline or --jobs 2. Needs curl, h2load (of nghttp2-client), nginx, redis-server, postgresql, and a Python with the
package websockets ($PYTHON, by default python3; without the package, that client is skipped).
Exit codes: 0 success, 1 or cargo's own: failure.
EOT
}

case ${1:-} in
-h | --help) usage && exit 0 ;;
esac

for needed in curl:curl h2load:nghttp2-client nginx:nginx python3:python3 redis-server:redis-server; do
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

run cargo test --package shard-asyncfd --package shard-reactor --features shard-asyncfd/full,shard-reactor/metrics \
	--test compat --test serve_http --test serve_timed --test blocked_shard --test tokio_rt --test traced --test tracing \
	--test facade --locked "$@"
run cargo test --package server-demo --features http --test http --locked "$@"
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
# The example of a web server: HTTP/1, HTTP/2, TLS and WebSocket, and a drain.
run cargo build --package shard-asyncfd --features full --example web --example fetch --locked "$@"
: >"$scratch/server.out"
"$target/debug/examples/web" 127.0.0.1:0 127.0.0.1:0 >"$scratch/server.out" 2>"$scratch/server.err" &
server=$!
for ((tries = 0; tries < 400; tries++)); do
	grep -q '^listening on https' "$scratch/server.out" && break
	sleep 0.05
done
plain=$(sed -n 's/^listening on \(http:.*\)/\1/p' "$scratch/server.out")
secure=$(sed -n 's/^listening on \(https:.*\)/\1/p' "$scratch/server.out")
[[ -n $plain && -n $secure ]] || die "the web example does not listen"
echo "+ curl, h2load and websockets against asyncfd/examples/web.rs" >&2
for options in --http1.1 --http2-prior-knowledge; do
	[[ $(curl --silent --noproxy '*' --max-time 30 "$options" "$plain/") == hello ]] || die "no answer to curl $options"
done
for version in 1.1 2; do
	answer=$(curl --silent --noproxy '*' --max-time 30 --insecure "--http$version" --write-out ' %{http_version}' "$secure/")
	[[ $answer == $'hello\n'" $version" ]] || die "curl over TLS wants HTTP/$version and gets: $answer"
done
for url in "$plain/" "$secure/"; do
	for version in '' --h1; do
		# shellcheck disable=SC2086
		timeout --kill-after=5 60 h2load $version --requests=5000 --clients=8 "$url" >"$scratch/h2load" 2>&1 ||
			die "h2load failed"
		grep -q 'status codes: 5000 2xx' "$scratch/h2load" || die "h2load did not get 5000 answers from $url"
	done
done
# The example of a pooled client.
fetched=$(timeout --kill-after=5 60 "$target/debug/examples/fetch" "$plain/" 100) || die "the fetch example failed"
[[ $fetched == '100 answers, 600 bytes' ]] || die "the fetch example says: $fetched"
python=${PYTHON:-python3}
if "$python" -c 'import websockets.sync.client' 2>/dev/null; then
	"$python" - "$plain" "$secure" <<-'EOT' || die "websockets failed"
		import ssl, sys
		from websockets.sync.client import connect
		trusting = ssl.create_default_context()
		trusting.check_hostname = False
		trusting.verify_mode = ssl.CERT_NONE
		for url in sys.argv[1:]:
		    context = trusting if url.startswith("https") else None
		    with connect(url.replace("http", "ws", 1) + "/ws", ssl=context, proxy=None, max_size=None) as socket:
		        for size in (0, 125, 126, 65535, 65536, 1_000_000):
		            message = bytes(i % 251 for i in range(size))
		            socket.send(message)
		            assert socket.recv() == message, size
		        socket.send("text")
		        assert socket.recv() == "text"
	EOT
else
	echo "warning: $python has no package websockets: that client is skipped" >&2
fi
# A request is under way when the signal comes, and is answered whole.
mkfifo "$scratch/body"
curl --silent --noproxy '*' --max-time 30 --header 'expect:' --request POST \
	--upload-file . "$plain/echo" <"$scratch/body" >"$scratch/drained" &
client=$!
exec 3>"$scratch/body"
printf 'before ' >&3
sleep 0.5
kill -TERM "$server"
sleep 0.5
printf 'after' >&3
exec 3>&-
wait "$client" || die "a request that was under way at SIGTERM failed"
[[ $(<"$scratch/drained") == 'before after' ]] || die "a request that was under way at SIGTERM was cut"
status=0
wait "$server" || status=$?
server=
((status == 0)) || die "the web example ended with $status after SIGTERM"
# The demo's web pages, for the same clients, plain and over TLS.
for scheme in http https; do
	flags=(--listen 127.0.0.1:0 --shards 2)
	[[ $scheme == http ]] || flags+=(--tls)
	: >"$scratch/server.out"
	"$target/debug/server-demo" http "${flags[@]}" >"$scratch/server.out" 2>"$scratch/server.err" &
	server=$!
	for ((tries = 0; tries < 400; tries++)); do
		grep -q '^listening on ' "$scratch/server.out" && break
		sleep 0.05
	done
	url=$scheme://$(sed -n 's/^listening on //p' "$scratch/server.out")
	echo "+ curl and h2load against server-demo http, $url" >&2
	versions=(--http1.1 --http2-prior-knowledge)
	[[ $scheme == http ]] || versions=(--http1.1 --http2)
	for version in "${versions[@]}"; do
		ask=(curl --silent --noproxy '*' --max-time 30 --insecure "$version")
		[[ $("${ask[@]}" "$url/") == 'hello, world' ]] || die "no greeting to curl $version"
		[[ $("${ask[@]}" "$url/size/3000000" | wc -c) == 3000000 ]] || die "not 3,000,000 bytes for curl $version"
		[[ $("${ask[@]}" --json ' { "a" : [1, 2] } ' "$url/json") == '{"a":[1,2]}' ]] || die "no JSON for curl $version"
	done
	for version in '' --h1; do
		# shellcheck disable=SC2086
		timeout --kill-after=5 60 h2load $version --requests=5000 --clients=8 "$url/size/100" >"$scratch/h2load" 2>&1 ||
			die "h2load failed"
		grep -q 'status codes: 5000 2xx' "$scratch/h2load" || die "h2load did not get 5000 answers from $url"
	done
	kill -TERM "$server"
	status=0
	wait "$server" || status=$?
	server=
	((status == 0)) || die "server-demo http ended with $status after SIGTERM"
done
echo "the features' tests passed, and every stack served its clients" >&2
