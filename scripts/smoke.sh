#!/usr/bin/env bash
# A short verified load against a separate server-demo process: every --io surface under every
# --accept policy, then the ways to fail that a user meets first. Exit codes are what is checked.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'EOT'
Usage: scripts/smoke.sh [options] [LOADGEN OPTIONS...]
  --connections N  connections per run (default: 400)
  --duration D     length of a run (default: 1s)
  --no-build       use what is built already
  -h, --help       this text
What else is given is passed on to loadgen, for instance --size 4k or -P 8.
EOT
}

connections=400 duration=1s build=yes load_options=()
while (($# > 0)); do
	case $1 in
	--connections | --duration)
		(($# > 1)) || { echo "error: $1 needs a value" >&2 && exit 2; }
		printf -v "${1#--}" '%s' "$2"
		shift 2
		;;
	--no-build) build=no && shift ;;
	-h | --help) usage && exit 0 ;;
	*) load_options+=("$1") && shift ;;
	esac
done

scratch=$(mktemp -d)
server_pid=

# Whatever happens, the one server that was started here does not outlive the script.
finish() {
	if [[ -n $server_pid ]]; then
		kill -KILL "$server_pid" 2>/dev/null || true
	fi
	rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
	echo "error: $*" >&2
	sed 's/^/  server: /' "$scratch"/server.* >&2 2>/dev/null || true
	exit 1
}

# expect CODES COMMAND...: runs it for a minute at most; its exit code is one of CODES, as in 1,2.
expect() {
	local codes=$1 status=0
	shift
	echo "+ $*" >&2
	timeout --kill-after=5 60 "$@" >"$scratch/out" 2>&1 || status=$?
	if [[ ,$codes, != *,$status,* ]]; then
		sed 's/^/  /' "$scratch/out" >&2
		((status == 124 || status == 137)) && die "it did not end within a minute"
		die "it ended with $status and not with $codes"
	fi
}

# start_server FLAGS...: sets server_pid and addr once it listens.
start_server() {
	local deadline=$((SECONDS + 30))
	addr=
	echo "+ $server echo --listen 127.0.0.1:0 $*" >&2
	"$server" echo --listen 127.0.0.1:0 "$@" >"$scratch/server.out" 2>"$scratch/server.err" </dev/null &
	server_pid=$!
	until [[ -n $addr ]]; do
		kill -0 "$server_pid" 2>/dev/null || die "the server did not start"
		((SECONDS < deadline)) || die "the server does not say where it listens"
		sleep 0.05
		addr=$(sed -n 's/^listening on //p' "$scratch/server.out")
	done
}

# stop_server: a clean drain ends with 0, and soon.
stop_server() {
	local status=0 deadline=$((SECONDS + 30))
	kill -TERM "$server_pid"
	while kill -0 "$server_pid" 2>/dev/null; do
		((SECONDS < deadline)) || die "the server does not end"
		sleep 0.05
	done
	wait "$server_pid" || status=$?
	server_pid=
	((status == 0)) || die "the server ended with $status"
}

if [[ $build == yes ]]; then
	echo "+ cargo build --release --locked --package server-demo --package loadgen" >&2
	cargo build --release --locked --package server-demo --package loadgen
fi
server=${CARGO_TARGET_DIR:-target}/release/server-demo
loadgen=${CARGO_TARGET_DIR:-target}/release/loadgen

for accept in reuseport hash round-robin least-loaded hybrid; do
	for io in helpers guards poll; do
		start_server --shards 2 --accept "$accept" --io "$io"
		expect 0 "$loadgen" "$addr" -c "$connections" -d "$duration" --warmup 200ms --io "$io" "${load_options[@]}"
		grep -E '^ *Requests/sec' "$scratch/out" || true
		stop_server
	done
done

# The port is free again and nothing listens there: an error that says so, not a hang.
expect 1 "$loadgen" "$addr" -c 1 -d 1s
expect 2 "$loadgen" --no-such-flag
start_server --shards 1
expect 1,2 "$server" echo --listen "$addr"
expect 1,2 "$server" echo --listen 127.0.0.1:0 --shards 0
expect 1,2 "$server" echo --listen 127.0.0.1:0 --pin 99
stop_server
echo "smoke: all runs verified, all exit codes as they should be"
